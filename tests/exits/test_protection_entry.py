"""An entry whose protective exits cannot be carried out is denied before it is sent."""

import pytest

from tests.desk import BTC_MARKET, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ONE = {"qty_per": None, "qty": "1"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


def test_an_entry_with_a_protection_that_nobody_carries_out_is_not_sent(deliver, solo):
    (row,) = deliver(solo.alert(BTC_MARKET, ONE, stop_loss={"percent": 5})).json()["results"]

    assert (row["order_status"], row["error_code"]) == ("denied", "protection_unsupported")
    assert solo.posts("A1") == []
