"""Questions about an account count for the share of the account's owner: nobody waits for another's comparison."""

import pytest

from exchanges.enums import MarketType
from orders.models import Order
from orders.outside.subjects import Subject
from orders.reconciliation.absence import _history_calls
from tests.desk import BTC_LIMIT

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_comparison_counts_for_the_owner_of_the_account(test1):
    account = test1.accounts["A1"]

    assert Subject(account, MarketType.FUTURES).call("fetch_positions").owner == account.owner_id


def test_a_look_into_the_history_counts_for_the_owner_of_the_account(deliver, test1):
    deliver(test1.alert(BTC_LIMIT))
    order = Order.objects.select_related("account").first()

    assert {call.owner for call in _history_calls(order)} == {order.account.owner_id}
