"""Two strategies on one account and symbol: what one of them leaves or cancels is never the other's."""

import pytest

from orders.models import Order, Position
from tests.crash import track
from tests.desk import BTC, BTC_CLOSE, BTC_LIMIT, BTC_MARKET, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ONE = {"qty_per": None, "qty": "1"}
POST = {"path": "/fapi/v1/order", "method": "POST"}
STOP = {"order_type": "STOP_MARKET", "stop_price": "94000"}
TAKE_PROFIT = {"order_type": "LIMIT", "price": "96000"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def other(paper, solo):
    return open_desk(paper, "A1", owner=solo.strategy.owner, group_name="other")


def held(desk, symbol=BTC):
    row = Position.objects.filter(strategy_account=desk.strategy_account("A1"), symbol=symbol).first()
    return str(row.quantity) if row else "0"


def test_an_exit_after_an_exit_without_an_answer_does_not_sell_the_others(deliver, paper, solo, other):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(other.alert(BTC_MARKET, ONE))
    paper.fault(**POST, action="drop", when="after")
    deliver(solo.alert(BTC_CLOSE))

    deliver(solo.alert(BTC_CLOSE))
    track()

    assert (held(solo), held(other), solo.held("A1")) == ("0", "1", "1")


def test_an_exit_after_a_take_profit_that_filled_unseen_does_not_sell_the_others(deliver, paper, solo, other):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(other.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_CLOSE, TAKE_PROFIT))
    paper.set_prices({"BTCUSDT": "96001"})

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    track()

    assert close["error_code"] == "no_long_position"
    assert (held(solo), held(other), solo.held("A1")) == ("0", "1", "1")


def test_on_spot_an_exit_after_a_take_profit_that_filled_unseen_sells_nobody_elses_coins(deliver, paper):
    spot = {"market_type": "SPOT", "capital": 100_000}
    first = open_desk(paper, "A1", group_name="first", **spot)
    second = open_desk(paper, "A1", owner=first.strategy.owner, group_name="second", **spot)
    deliver(first.alert(BTC_MARKET, ONE))
    deliver(second.alert(BTC_MARKET, ONE))
    kept = held(second, "BTC/USDT")
    deliver(first.alert(BTC_CLOSE, TAKE_PROFIT))
    paper.set_prices({"BTCUSDT": "96001"})

    deliver(first.alert(BTC_CLOSE))
    track()

    assert float(held(first, "BTC/USDT")) < 0.001  # what is below the lot stays
    assert held(second, "BTC/USDT") == kept


def test_a_stop_is_canceled_when_its_strategys_position_is_gone(deliver, paper, solo, other):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(other.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_CLOSE, STOP))
    deliver(solo.alert(BTC_CLOSE))

    track()
    paper.set_prices({"BTCUSDT": "93900"})
    track()

    assert Order.objects.get(order_type="STOP_MARKET").status == "canceled"
    assert (held(solo), held(other), solo.held("A1")) == ("0", "1", "1")


def test_a_stop_that_the_exchange_does_not_bound_never_opens_a_position(deliver, paper, solo, other):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(other.alert(BTC_MARKET, ONE, side="sell"))
    deliver(solo.alert(BTC_CLOSE, STOP))  # against the account's net of zero reduce-only would be refused
    deliver(solo.alert(BTC_CLOSE))
    deliver(other.alert(BTC_CLOSE, side="buy"))

    track()
    paper.set_prices({"BTCUSDT": "93900"})
    track()

    assert (held(solo), held(other), solo.held("A1")) == ("0", "0", "0")


def test_a_stop_shrinks_with_its_position_and_stays_while_the_position_does(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_CLOSE, STOP))
    deliver(solo.alert(BTC_CLOSE, qty_per=-50))

    track()

    larger, smaller = Order.objects.filter(order_type="STOP_MARKET").order_by("attempt")
    assert (larger.status, smaller.status) == ("canceled", "accepted")
    assert smaller.quantity == larger.quantity / 2


def test_an_exit_goes_out_although_the_others_order_filled_unseen(deliver, paper, solo, other):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(other.alert(BTC_LIMIT, ONE, side="sell", price="96000"))
    paper.set_prices({"BTCUSDT": "96001"})

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    track()

    assert close["order_status"] == "filled"
    assert (held(solo), held(other), solo.held("A1")) == ("0", "-1", "-1")
