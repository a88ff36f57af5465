"""No question to an exchange while a transaction is open."""

import pytest
from django.db import connection

from orders.turns import submission
from tests.desk import BTC_MARKET

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("dry_run", [True, False])
def test_markets_are_opened_outside_of_transactions(deliver, test1, monkeypatch, dry_run):
    real, inside = submission.open_catalogs, []

    def note(*args, **kwargs):
        inside.append(connection.in_atomic_block)
        return real(*args, **kwargs)

    monkeypatch.setattr(submission, "open_catalogs", note)

    deliver(test1.alert(BTC_MARKET, dry_run=dry_run))

    assert inside
    assert not any(inside)
