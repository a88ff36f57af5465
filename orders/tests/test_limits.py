"""Limits as a delivery meets them: own, strategy's, system's; each denial names the limit and the value."""

from decimal import Decimal

import pytest

from orders.models import Order
from strategies.models import Strategy, StrategyAccount, SystemRisk
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, ETH_MARKET

pytestmark = pytest.mark.django_db(transaction=True)


def limit(desk, name="A1", **limits):
    StrategyAccount.objects.filter(pk=desk.strategy_account(name).pk).update(**limits)


def codes(response):
    return {result["account_name"]: result["error_code"] for result in response.json()["results"]}


def test_an_order_above_the_maximum_notional_is_denied_with_both_numbers(deliver, test1):
    limit(test1, max_order_notional=Decimal(500_000))

    response = deliver(test1.alert(BTC_LIMIT))

    assert codes(response) == {"A1": "max_order_notional", "A2": None}
    order = Order.objects.get(account__name="A1")
    assert order.reason_params == {"notional": "999990", "limit": "500000", "quote": "USDT"}


def test_open_orders_count_toward_the_position_limit(deliver, test1):
    limit(test1, max_position_notional=Decimal(1_500_000))

    first, second = deliver(test1.alert(BTC_LIMIT)), deliver(test1.alert(BTC_LIMIT, price="89000"))

    assert codes(first)["A1"] is None
    assert codes(second)["A1"] == "max_position_notional"


def test_a_close_is_no_risk_to_limit(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    limit(test1, max_order_notional=Decimal(1), max_open_orders=0, max_orders_per_minute=0)

    response = deliver(test1.alert(BTC_CLOSE))

    assert codes(response)["A1"] is None


def test_the_maximum_of_open_orders_counts_what_is_open(deliver, test1):
    limit(test1, max_open_orders=1)
    deliver(test1.alert(BTC_LIMIT))

    denied = deliver(test1.alert(BTC_LIMIT))
    deliver(test1.alert(CANCEL_ALL))
    allowed = deliver(test1.alert(BTC_LIMIT))

    assert codes(denied)["A1"] == "max_open_orders"
    assert codes(allowed)["A1"] is None


def test_the_maximum_of_orders_per_minute_counts_what_was_sent(deliver, test1):
    limit(test1, max_orders_per_minute=2)

    answers = [codes(deliver(test1.alert(BTC_LIMIT, price=str(90000 - n))))["A1"] for n in range(3)]

    assert answers == [None, None, "max_orders_per_minute"]


def test_a_symbol_beyond_the_maximum_is_denied_and_one_in_use_is_not(deliver, test1):
    limit(test1, max_symbols=1)
    deliver(test1.alert(BTC_LIMIT))

    another, same = deliver(test1.alert(ETH_MARKET)), deliver(test1.alert(BTC_LIMIT))

    assert codes(another)["A1"] == "max_symbols"
    assert codes(same)["A1"] is None


def test_a_price_far_from_the_market_is_denied(deliver, test1):
    limit(test1, max_price_distance_percent=Decimal(3))

    far, near = deliver(test1.alert(BTC_LIMIT)), deliver(test1.alert(BTC_LIMIT, price="94000"))

    assert codes(far)["A1"] == "max_price_distance"
    assert codes(near)["A1"] is None


def test_a_narrower_level_overrides_a_wider_one(deliver, test1):
    SystemRisk.objects.update(max_open_orders=0)
    Strategy.objects.filter(pk=test1.strategy.pk).update(max_open_orders=0)
    limit(test1, max_open_orders=5)

    response = deliver(test1.alert(BTC_LIMIT))

    assert codes(response) == {"A1": None, "A2": "max_open_orders"}


def test_a_dry_run_meets_the_same_limits(deliver, test1):
    limit(test1, max_order_notional=Decimal(1))

    response = deliver(test1.alert(BTC_LIMIT, dry_run=True))

    assert codes(response) == {"A1": "max_order_notional", "A2": None}
