"""Resting exits never block an exit and never exceed what is held (SPEC 6a)."""

import pytest

from exchanges.enums import MarketType
from orders.models import ExitGoal, Order, Position
from strategies.models import Strategy
from tests.crash import track
from tests.desk import BTC_CLOSE, BTC_MARKET, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = {"path": "/fapi/v1/order", "method": "POST"}
TWO, ONE = {"qty_per": None, "qty": "2"}, {"qty_per": None, "qty": "1"}
TAKE_PROFIT = BTC_CLOSE | {"order_type": "LIMIT", "price": "110000"}
STOP = BTC_CLOSE | {"order_type": "STOP_MARKET", "stop_price": "90000"}
LTC_BUY = {"symbol": "LTC/USDT", "side": "buy", "order_type": "MARKET", "qty": "1"}
LTC_TAKE_PROFIT = {
    "symbol": "LTCUSDT",
    "side": "sell",
    "order_type": "LIMIT",
    "price": "110",
    "qty_per": -100,
}
LTC_STOP = {
    "symbol": "LTCUSDT", "side": "sell", "order_type": "STOP_LIMIT", "price": "70", "stop_price": "71", "qty_per": -100,
}  # fmt: skip
LTC_CLOSE = {"symbol": "LTCUSDT", "side": "sell", "order_type": "MARKET", "qty_per": -100}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def other(paper, solo):
    return open_desk(paper, "A1", owner=solo.strategy.owner, group_name="other")


@pytest.fixture
def spot(paper):
    desk = open_desk(paper, "A1", group_name="spot", market_type=MarketType.SPOT)
    paper.set_prices({"LTCUSDT": "100"})
    return desk


def resting(desk):
    """Type and quantity of what rests at the exchange, the strategy's own."""
    ours = set(Order.objects.filter(strategy=desk.strategy).values_list("client_order_id", flat=True))
    return sorted(
        (order["type"], order["origQty"])
        for order in desk.ledger_orders("A1")
        if order["status"] == "NEW" and order["clientOrderId"] in ours
    )


def held(desk):
    quantity = Position.objects.get(strategy_account=desk.strategy_account("A1")).quantity
    return f"{quantity.normalize():f}"


def states():
    return list(ExitGoal.objects.order_by("pk").values_list("state", flat=True))


# Futures


def test_a_market_exit_cancels_the_take_profit_first_and_the_stop_last(deliver, paper, solo):
    for leg in (BTC_MARKET | ONE, TAKE_PROFIT, STOP):
        deliver(solo.alert(leg))

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    track()

    assert (close["status"], close["remaining"]) == ("success", "0")
    assert (solo.held("A1"), resting(solo)) == ("0", [])
    assert states() == ["reached", "reached", "reached"]
    wire = [
        (row["method"], row["path"].rpartition("/")[2])
        for row in paper.requests()
        if row["method"] in ("POST", "DELETE")
    ]
    assert wire[3:] == [("DELETE", "order"), ("POST", "order"), ("DELETE", "algoOrder")]


def test_an_exit_that_finds_no_room_beside_the_stop_takes_the_stop_away(deliver, paper, solo):
    paper.open_account(solo.key("A1"), "secret-of-A1", poor=True)
    deliver(solo.alert(BTC_MARKET, qty_per=None, qty="0.002"))
    deliver(solo.alert(STOP))
    paper.fault(**ORDER, action="code", value=-4118)

    deliver(solo.alert(BTC_CLOSE))
    track(after_s=20)

    assert (solo.held("A1"), resting(solo)) == ("0", [])
    assert ExitGoal.objects.latest("pk").state == "reached"
    deletes = [row["path"] for row in paper.requests() if row["method"] == "DELETE"]
    assert deletes == ["/fapi/v1/algoOrder"]


def test_a_take_profit_is_trimmed_by_what_takes_from_the_position(deliver, paper, solo, other):
    deliver(other.alert(BTC_MARKET | TWO))
    deliver(solo.alert(BTC_MARKET | TWO))
    deliver(solo.alert(TAKE_PROFIT))

    deliver(solo.alert(BTC_CLOSE, qty_per=-50))
    track()
    trimmed = resting(solo)
    paper.set_prices({"BTCUSDT": "110000"})
    track()

    assert trimmed == [("LIMIT", "1")]
    assert (held(solo), held(other), solo.held("A1")) == ("0", "2", "2")
    assert states() == ["reached", "reached"]


def test_stops_shrink_with_the_position(deliver, paper, solo, other):
    deliver(other.alert(BTC_MARKET | TWO))
    for leg in (BTC_MARKET | TWO, STOP, BTC_CLOSE | {"qty_per": -50}):
        deliver(solo.alert(leg))
    track()
    shrunk = resting(solo)
    paper.set_prices({"BTCUSDT": "89000"})
    track()

    assert shrunk == [("STOP_MARKET", "1")]
    assert (held(solo), held(other), solo.held("A1")) == ("0", "2", "2")


def test_the_farthest_of_several_take_profits_gives_way(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET | TWO))
    for price in ("101000", "102000"):
        deliver(solo.alert(TAKE_PROFIT, price=price, qty_per=-50))

    deliver(solo.alert(BTC_CLOSE, qty_per=-75))
    track()

    open_orders = [row for row in solo.ledger_orders("A1") if row["status"] == "NEW"]
    assert [(row["price"], row["origQty"]) for row in open_orders] == [("101000", "0.5")]
    assert states() == ["resting", "superseded", "reached"]


def test_a_new_take_profit_takes_the_place_of_the_old_one(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET | ONE))
    deliver(solo.alert(TAKE_PROFIT))

    (newer,) = deliver(solo.alert(TAKE_PROFIT, price="105000")).json()["results"]
    track()

    open_orders = [row for row in solo.ledger_orders("A1") if row["status"] == "NEW"]
    assert newer["status"] == "success"
    assert [(row["price"], row["origQty"]) for row in open_orders] == [("105000", "1")]
    assert states() == ["superseded", "resting"]


def test_a_stop_that_fires_in_a_thin_book_is_finished_at_the_market(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET | ONE))
    deliver(solo.alert(STOP))
    paper.set_liquidity({"BTCUSDT": "0.4"})
    paper.set_prices({"BTCUSDT": "89000"})

    track()
    track(after_s=5)

    assert (solo.held("A1"), states()) == ("0", ["reached"])


@pytest.mark.parametrize(("setting", "left"), [("market", "0"), ("ask", "1")])
def test_a_stop_beyond_its_trigger_is_sent_at_the_market_or_put_before_a_person(
    deliver, paper, solo, setting, left
):
    Strategy.objects.update(passed_stop=setting)
    deliver(solo.alert(BTC_MARKET | ONE))

    (stop,) = deliver(solo.alert(STOP, stop_price="99000")).json()["results"]
    track(after_s=5)
    track(after_s=40)

    assert solo.held("A1") == left
    if setting == "ask":
        assert (stop["status"], stop["error_code"]) == ("failed", "stop_would_trigger")
        assert states() == ["needs_person"]
        assert len(solo.posts("A1")) == 2
    else:
        assert states() == ["reached"]


def test_a_resting_exit_that_is_canceled_at_the_exchange_is_put_before_a_person(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET | ONE))
    deliver(solo.alert(TAKE_PROFIT))
    paper.cancel_by_hand(solo.key("A1"), symbol="BTCUSDT")

    track()
    track(after_s=40)

    assert (resting(solo), states()) == ([], ["needs_person"])
    assert ExitGoal.objects.get().reason == "exit_ended_at_exchange"


# Spot: resting exits lock the coins


@pytest.mark.parametrize("first", [LTC_TAKE_PROFIT, LTC_STOP])
def test_a_spot_exit_gets_the_coins_that_a_resting_exit_locks(deliver, paper, spot, first):
    deliver(spot.alert(LTC_BUY))
    deliver(spot.alert(first))

    (close,) = deliver(spot.alert(LTC_CLOSE)).json()["results"]

    assert (close["status"], close["filled"]) == ("success", "0.999")
    assert resting(spot) == []


def test_a_partial_spot_exit_takes_only_what_it_needs(deliver, paper, spot):
    deliver(spot.alert(LTC_BUY, qty="2"))
    deliver(spot.alert(LTC_TAKE_PROFIT))

    deliver(spot.alert(LTC_CLOSE, qty_per=-50))
    track()

    assert resting(spot) == [("LIMIT", "0.999")]


def test_a_stop_has_the_first_right_to_the_coins(deliver, paper, spot):
    deliver(spot.alert(LTC_BUY))
    deliver(spot.alert(LTC_TAKE_PROFIT))

    (stop,) = deliver(spot.alert(LTC_STOP)).json()["results"]
    track()
    (take_profit,) = deliver(spot.alert(LTC_TAKE_PROFIT)).json()["results"]

    assert stop["status"] == "success"
    assert [kind for kind, _ in resting(spot)] == ["STOP_LOSS_LIMIT"]
    assert (take_profit["status"], take_profit["error_code"]) == ("failed", "coins_locked_by_stop")


def test_a_stop_that_took_room_comes_back_while_a_person_has_to_mend_the_exit(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET | ONE))
    deliver(solo.alert(STOP))
    paper.fault(**ORDER, action="code", value=-4118)
    paper.fault(**ORDER, action="code", value=-2015, times=None)

    deliver(solo.alert(BTC_CLOSE))
    track(after_s=10)
    track(after_s=20)

    assert solo.held("A1") == "1"
    assert resting(solo) == [("STOP_MARKET", "1")]
    paper.clear_faults()
    track(after_s=90)
    track(after_s=95)
    assert (solo.held("A1"), resting(solo)) == ("0", [])
