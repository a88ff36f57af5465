"""From fills to trades, positions and profit, whenever they come."""

from decimal import Decimal

import pytest

from exchanges.enums import MarketType
from orders.models import Order, Position, Trade
from tests.crash import track
from tests.desk import BTC, BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

SMALL = {"qty_per": None, "qty": "1"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def spot(paper):
    return open_desk(paper, "A1", group_name="spot", market_type=MarketType.SPOT, capital=100_000)


def position(desk, symbol=BTC):
    return Position.objects.get(strategy_account=desk.strategy_account("A1"), symbol=symbol)


def test_a_resting_order_that_fills_later_is_found(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT, SMALL))
    paper.set_prices({"BTCUSDT": "89000"})

    track()

    order = Order.objects.get()
    assert (order.status, order.filled, order.average) == ("filled", 1, 90000)
    trade = order.trades.get()
    assert (trade.price, trade.is_maker, trade.fee) == (90000, True, 18)
    assert (position(solo).quantity, position(solo).cost) == (1, 90000)


def test_a_resting_order_that_fills_bit_by_bit_counts_each_fill_once(deliver, paper, solo):
    paper.set_liquidity({"BTCUSDT": "0.4"})
    deliver(solo.alert(BTC_LIMIT, SMALL))
    seen = []

    for price in ("89999", "89998", "89997"):
        paper.set_prices({"BTCUSDT": price})
        paper.fault(path="/fapi/v1/userTrades", action="duplicate_fills")
        track()
        seen.append((Order.objects.get().status, str(Order.objects.get().filled)))
    track()

    assert seen == [("partially_filled", "0.4"), ("partially_filled", "0.8"), ("filled", "1")]
    assert sorted(trade.quantity for trade in Trade.objects.all()) == [
        Decimal("0.2"),
        Decimal("0.4"),
        Decimal("0.4"),
    ]


def test_a_market_order_that_finds_too_little_expires_with_what_it_got(deliver, paper, solo):
    paper.set_liquidity({"BTCUSDT": "0.4"})

    (row,) = deliver(solo.alert(BTC_MARKET, SMALL)).json()["results"]

    assert (row["status"], row["order_status"], row["filled"]) == ("success", "expired", "0.4")
    assert str(position(solo).quantity) == solo.held("A1") == "0.4"


def test_a_partly_filled_order_keeps_its_fills_when_the_rest_is_canceled(deliver, paper, solo):
    paper.set_liquidity({"BTCUSDT": "0.4"})
    deliver(solo.alert(BTC_LIMIT, SMALL))
    paper.set_prices({"BTCUSDT": "89999"})

    (row,) = deliver(solo.alert(CANCEL_ALL)).json()["results"]

    assert (row["status"], row["order_status"], row["filled"]) == ("success", "canceled", "0.4")
    assert position(solo).quantity == Decimal("0.4")


def test_an_order_that_filled_before_its_cancel_arrived_says_so(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT, SMALL))
    paper.set_prices({"BTCUSDT": "89000"})

    (row,) = deliver(solo.alert(CANCEL_ALL)).json()["results"]

    assert (row["status"], row["error_code"], row["order_status"]) == ("failed", "order_not_open", "filled")
    assert position(solo).quantity == 1


@pytest.mark.parametrize("order_type", ["STOP_LIMIT", "STOP_MARKET"])
@pytest.mark.parametrize(
    ("side", "stop", "price", "trigger"), [("buy", 96000, 96100, 96000), ("sell", 94000, 93900, 93950)]
)
def test_a_stop_rests_until_its_price_comes_and_then_fills(
    deliver, paper, solo, order_type, side, stop, price, trigger
):
    alert = solo.alert(BTC_LIMIT, SMALL, order_type=order_type, side=side, stop_price=stop, price=price)
    deliver(alert)
    track()
    resting = Order.objects.get().status

    paper.set_prices({"BTCUSDT": str(trigger)})
    track()

    order = Order.objects.get()
    assert (resting, order.status, order.filled) == ("accepted", "filled", 1)
    assert str(position(solo).quantity) == solo.held("A1") == ("1" if side == "buy" else "-1")


@pytest.mark.parametrize("order_type", ["STOP_LIMIT", "STOP_MARKET"])
@pytest.mark.parametrize("is_triggered", [False, True])
def test_a_stop_is_canceled_before_and_after_it_triggered(deliver, paper, solo, order_type, is_triggered):
    paper.set_liquidity({"BTCUSDT": "0.4"})
    deliver(solo.alert(BTC_LIMIT, SMALL, order_type=order_type, stop_price=96000, price=96100))
    if is_triggered:
        paper.set_prices({"BTCUSDT": "96000"})

    deliver(solo.alert(CANCEL_ALL))

    order = Order.objects.get()
    track()
    expected = "0.4" if is_triggered else "0"
    assert Order.objects.get().status in ("canceled", "expired")
    assert (str(Order.objects.get().filled), solo.held("A1")) == (expected, expected)
    assert order.status in ("canceled", "expired")


def test_a_closing_limit_is_reduce_only_and_never_more_than_held(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, SMALL))

    deliver(solo.alert(BTC_CLOSE, order_type="LIMIT", price="96000"))

    closing = solo.ledger_orders("A1")[-1]
    assert (closing["reduceOnly"], closing["origQty"], closing["side"]) == (True, "1", "SELL")


def test_part_of_a_position_is_closed_by_percent_rounded_down(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, SMALL))

    deliver(solo.alert(BTC_CLOSE, qty_per="-33.37"))

    assert (str(position(solo).quantity), solo.held("A1")) == ("0.667", "0.667")


def test_a_short_is_bought_back_with_its_profit(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, SMALL, side="sell"))
    paper.set_prices({"BTCUSDT": "94000"})

    deliver(solo.alert(BTC_CLOSE, side="buy"))

    held = position(solo)
    assert (held.quantity, held.cost, held.realized_profit) == (0, 0, 1000)
    assert held.fees == Decimal("94.5")  # 0.05 % of 95,000 and of 94,000


def test_one_strategy_closes_only_what_it_holds_itself(deliver, paper, solo):
    other = open_desk(paper, "A1", group_name="other")
    deliver(solo.alert(BTC_MARKET, SMALL))
    deliver(other.alert(BTC_MARKET, SMALL, qty="3"))

    deliver(solo.alert(BTC_CLOSE))

    assert (position(solo).quantity, position(other).quantity, solo.held("A1")) == (0, 3, "3")


def test_a_spot_buy_pays_its_fee_in_base_and_closes_to_what_the_lot_leaves(deliver, paper, spot):
    deliver(spot.alert(BTC_MARKET, SMALL))
    bought = position(spot, "BTC/USDT").quantity

    (row,) = deliver(spot.alert(BTC_CLOSE)).json()["results"]

    assert bought == Decimal("0.999")
    assert (row["status"], row["quantity"]) == ("success", "0.999")
    assert position(spot, "BTC/USDT").quantity == 0
    assert Decimal(spot.ledger("A1")["balances"]["spot"]["BTC"]["free"]) == 0


def test_a_spot_stop_rests_and_triggers(deliver, paper, spot):
    deliver(spot.alert(BTC_LIMIT, SMALL, order_type="STOP_LIMIT", stop_price=96000, price=96100))
    resting = Order.objects.get().status

    paper.set_prices({"BTCUSDT": "96000"})
    track()

    assert (resting, Order.objects.get().status) == ("accepted", "filled")
    assert position(spot, "BTC/USDT").quantity == Decimal("0.999")
