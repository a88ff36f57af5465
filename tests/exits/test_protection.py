"""Protective exits follow the entry's fills (SPEC 4, 6a): at the exchange, within the position, or an alarm."""

import pytest
from django.utils import timezone

from exchanges.enums import MarketType
from orders.models import Batch, ExitGoal, Order, OrderEvent, Position, Protection
from orders.protection.upkeep import keep_protections
from orders.reconciliation.tracker import Tracker
from strategies.models import Strategy
from tests.crash import track
from tests.desk import BTC_CLOSE, BTC_MARKET, open_desk
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = {"path": "/fapi/v1/order", "method": "POST"}
ALGO = {"path": "/fapi/v1/algoOrder", "method": "POST"}
ONE, TWO = {"qty_per": None, "qty": "1"}, {"qty_per": None, "qty": "2"}
STOP = {"stop_loss": {"percent": 5}}
BOTH = STOP | {"take_profit": {"percent": 10}}
STEPS = STOP | {"take_profit": [{"price": 104000, "portion": 50}, {"price": 110000, "portion": 50}]}
LTC_BUY = {"symbol": "LTC/USDT", "side": "buy", "order_type": "MARKET", "qty": "1"}


@pytest.fixture
def solo(paper):
    paper.set_prices({"BTCUSDT": "100000"})
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def spot(paper):
    desk = open_desk(paper, "A1", group_name="spot", market_type=MarketType.SPOT)
    paper.set_prices({"LTCUSDT": "100"})
    return desk


@pytest.fixture
def enter(deliver, runs):
    """Delivers an entry, and waits until the runs of its protective exits are done."""

    def deliver_and_wait(alert):
        response = deliver(alert)
        for run in runs:
            assert run.finished.wait(30)
        return response.json()["results"]

    return deliver_and_wait


def resting(desk):
    """Type, quantity and trigger or limit price of what rests at the exchange."""
    return sorted(
        (row["type"], row["origQty"], f"{float(row['stopPrice']) or float(row['price']):g}")
        for row in desk.ledger_orders("A1")
        if row["status"] == "NEW"
    )


def states():
    return list(ExitGoal.objects.order_by("pk").values_list("state", flat=True))


def test_stop_and_take_profit_rest_as_soon_as_the_entry_is_filled(enter, solo):
    enter(solo.alert(BTC_MARKET, ONE, BOTH))

    average = Position.objects.get().entry_price
    kinds = [(kind, quantity) for kind, quantity, _ in resting(solo)]
    assert kinds == [("LIMIT", "1"), ("STOP_MARKET", "1")]
    stop = ExitGoal.objects.get(step=0)
    assert (stop.actor, stop.state) == ("protection", "resting")
    assert 0 <= average * 95 / 100 - stop.stop_price < 1
    assert Batch.objects.unfinished().count() == 0


def test_a_short_position_is_protected_above(enter, paper, solo):
    enter(solo.alert(BTC_MARKET, ONE, BOTH, side="sell"))

    paper.set_prices({"BTCUSDT": "106000"})
    track()
    track(after_s=5)

    assert (solo.held("A1"), resting(solo)) == ("0", [])
    assert states() == ["reached", "superseded"]


def test_the_take_profits_are_canceled_when_the_stop_fires(enter, paper, solo):
    enter(solo.alert(BTC_MARKET, ONE, STEPS))

    paper.set_prices({"BTCUSDT": "94000"})
    track()
    track(after_s=5)

    assert (solo.held("A1"), resting(solo)) == ("0", [])
    assert "needs_person" not in states()
    assert Protection.objects.get().state == "over"


def test_the_stop_shrinks_when_a_take_profit_is_filled(enter, paper, solo):
    enter(solo.alert(BTC_MARKET, ONE, STEPS))

    paper.set_prices({"BTCUSDT": "105000"})
    track()
    track(after_s=5)

    assert [(kind, quantity) for kind, quantity, _ in resting(solo)] == [
        ("LIMIT", "0.5"),
        ("STOP_MARKET", "0.5"),
    ]
    paper.set_prices({"BTCUSDT": "111000"})
    track(after_s=10)
    track(after_s=15)
    assert (solo.held("A1"), resting(solo)) == ("0", [])


def test_a_hand_close_ends_the_protection(enter, solo):
    enter(solo.alert(BTC_MARKET, ONE, BOTH))

    enter(solo.alert(BTC_CLOSE))
    track()
    track(after_s=5)

    assert (solo.held("A1"), resting(solo)) == ("0", [])
    assert "needs_person" not in states()
    assert Protection.objects.get().state == "over"


def test_an_added_entry_moves_quantity_and_prices(enter, paper, solo):
    enter(solo.alert(BTC_MARKET, ONE, BOTH))
    paper.set_prices({"BTCUSDT": "104000"})

    enter(solo.alert(BTC_MARKET, ONE))
    track()
    track(after_s=5)

    kinds = [(kind, quantity) for kind, quantity, _ in resting(solo)]
    assert kinds == [("LIMIT", "2"), ("STOP_MARKET", "2")]
    average = Position.objects.get().entry_price
    stop = ExitGoal.objects.filter(step=0, state="resting").get()
    assert 0 <= average * 95 / 100 - stop.stop_price < 1


def test_a_newer_protection_takes_over(enter, solo):
    enter(solo.alert(BTC_MARKET, ONE, BOTH))

    enter(solo.alert(BTC_MARKET, ONE, {"stop_loss": {"price": 90000}}))
    track()
    track(after_s=5)

    assert resting(solo) == [("STOP_MARKET", "2", "90000")]
    assert list(Protection.objects.order_by("pk").values_list("state", flat=True)) == ["over", "active"]


def test_a_gap_through_the_stop_before_it_rests_closes_at_the_market(enter, paper, solo):
    enter(solo.alert(BTC_MARKET, ONE, {"stop_loss": {"price": 99000}}))
    Order.objects.filter(goal__isnull=False)

    paper.set_prices({"BTCUSDT": "90000"})
    track()
    track(after_s=5)

    assert (solo.held("A1"), resting(solo)) == ("0", [])


def test_a_refused_stop_is_retried_and_told(enter, paper, solo):
    paper.fault(**ALGO, action="code", value=-2015, times=None)
    enter(solo.alert(BTC_MARKET, ONE, BOTH))

    track(after_s=1)
    track(after_s=15)

    assert [kind for kind, _, _ in resting(solo)] == ["LIMIT"]
    assert Protection.objects.get().told_at is not None
    paper.clear_faults()
    track(after_s=80)
    track(after_s=81)
    assert [kind for kind, _, _ in resting(solo)] == ["LIMIT", "STOP_MARKET"]
    assert Protection.objects.get().told_at is None


def test_an_unprotected_position_is_closed_by_setting(enter, paper, solo):
    Strategy.objects.update(unprotected="close")
    paper.fault(**ALGO, action="code", value=-2015, times=None)
    enter(solo.alert(BTC_MARKET, ONE, STOP))

    track(after_s=1)
    track(after_s=12)
    track(after_s=14)

    assert solo.held("A1") == "0"


def test_a_stop_canceled_at_the_exchange_is_an_alarm(enter, paper, solo):
    enter(solo.alert(BTC_MARKET, ONE, STOP))
    paper.cancel_by_hand(solo.key("A1"), symbol="BTCUSDT")

    track(after_s=1)
    track(after_s=12)

    assert resting(solo) == []
    assert Protection.objects.get().told_at is not None


def test_a_trailing_stop_follows_and_never_loosens(enter, paper, solo):
    enter(solo.alert(BTC_MARKET, ONE, {"trailing_stop": {"offset": 1000}}))
    paper.set_prices({"BTCUSDT": "103000"})
    track(after_s=6)
    track(after_s=7)
    moved = resting(solo)
    paper.set_prices({"BTCUSDT": "102500"})
    track(after_s=14)
    track(after_s=15)

    assert moved == [("STOP_MARKET", "1", "102000")]
    assert resting(solo) == moved


def test_breakeven_moves_the_stop_to_the_average(enter, paper, solo):
    enter(solo.alert(BTC_MARKET, ONE, STOP, breakeven_after={"percent": 2}))
    paper.set_prices({"BTCUSDT": "103000"})
    track(after_s=6)
    track(after_s=7)

    average = Position.objects.get().entry_price
    ((kind, quantity, price),) = resting(solo)
    assert (kind, quantity) == ("STOP_MARKET", "1")
    assert 0 <= float(average) - float(price) < 1


def test_a_partly_filled_entry_is_protected_step_by_step(enter, paper, solo):
    paper.set_liquidity({"BTCUSDT": "0.4"})
    enter(solo.alert(BTC_MARKET, ONE, BOTH, order_type="LIMIT", price="100500"))
    track()
    first = sorted((kind, quantity) for kind, quantity, _ in resting(solo) if quantity != "1")
    held = solo.held("A1")
    paper.set_liquidity({"BTCUSDT": "100"})
    paper.set_prices({"BTCUSDT": "100400"})
    track(after_s=6)
    track(after_s=12)

    assert held == "0.4"
    assert first == [("LIMIT", "0.4"), ("STOP_MARKET", "0.4")]
    assert sorted((kind, quantity) for kind, quantity, _ in resting(solo)) == [
        ("LIMIT", "1"),
        ("STOP_MARKET", "1"),
    ]


# Spot


def test_on_spot_the_stop_rests_and_the_take_profit_is_watched(enter, paper, spot):
    enter(spot.alert(LTC_BUY, stop_loss={"price": 90}, take_profit={"price": 110}))
    before = resting(spot)

    paper.set_prices({"LTCUSDT": "112"})
    track()
    track(after_s=5)

    assert [kind for kind, _, _ in before] == ["STOP_LOSS"]
    assert resting(spot) == []
    assert Position.objects.tradable().count() == 0
    assert Protection.objects.get().state == "over"


def test_on_spot_the_stop_comes_back_after_a_part_is_taken(enter, paper, spot):
    steps = [{"price": 110, "portion": 50}, {"price": 120, "portion": 50}]
    enter(spot.alert(LTC_BUY, qty="2", stop_loss={"price": 90}, take_profit=steps))

    paper.set_prices({"LTCUSDT": "112"})
    track()
    track(after_s=5)

    ((kind, quantity, _),) = resting(spot)
    assert (kind, quantity) == ("STOP_LOSS", "0.999")
    paper.set_prices({"LTCUSDT": "88"})
    track(after_s=10)
    assert Position.objects.tradable().count() == 0


def test_on_spot_take_profits_without_a_stop_rest(enter, spot):
    enter(spot.alert(LTC_BUY, take_profit={"price": 110}))

    assert [(kind, price) for kind, _, price in resting(spot)] == [("LIMIT", "110")]


# Others who take from the position, or stop the trade


def test_canceled_protective_exits_stay_canceled_and_are_told(enter, solo):
    enter(solo.alert(BTC_MARKET, ONE, BOTH))

    enter(solo.alert({"order_type": "CANCEL_ALL_ORDER"}))
    track(after_s=1)
    track(after_s=12)
    track(after_s=40)

    assert (resting(solo), solo.held("A1")) == ([], "1")
    assert Protection.objects.get().told_at is not None


def test_a_new_entry_after_a_full_exit_is_not_protected_by_the_old_terms(enter, solo):
    enter(solo.alert(BTC_MARKET, ONE, BOTH))
    enter(solo.alert(BTC_CLOSE))
    enter(solo.alert(BTC_MARKET, ONE))

    track(after_s=1)
    track(after_s=6)

    assert (resting(solo), solo.held("A1")) == ([], "1")
    assert Protection.objects.get().state == "over"


def test_a_partial_exit_trims_the_protective_exits(enter, solo):
    enter(solo.alert(BTC_MARKET, TWO, BOTH))

    enter(solo.alert(BTC_CLOSE, qty_per=-50))
    track(after_s=1)
    track(after_s=6)

    assert [(kind, quantity) for kind, quantity, _ in resting(solo)] == [("LIMIT", "1"), ("STOP_MARKET", "1")]


def test_a_position_turned_by_an_entry_is_not_protected_on_its_old_side(enter, solo):
    enter(solo.alert(BTC_MARKET, ONE, BOTH))

    enter(solo.alert(BTC_MARKET, TWO, side="sell"))
    track(after_s=1)
    track(after_s=6)

    assert (resting(solo), solo.held("A1")) == ([], "-1")
    assert Protection.objects.get().state == "over"


def test_a_stop_of_a_delivery_and_the_protective_stop_share_the_position(enter, solo):
    enter(solo.alert(BTC_MARKET, TWO, STOP))

    enter(solo.alert(BTC_CLOSE, order_type="STOP_MARKET", stop_price="97000", qty_per=-50))
    for after_s in (1, 6, 12):
        track(after_s=after_s)

    assert sum(float(quantity) for _, quantity, _ in resting(solo)) == 2
    assert Protection.objects.get().told_at is None


def test_a_halted_trailing_stop_stays_where_it_is(enter, paper, solo):
    enter(solo.alert(BTC_MARKET, ONE, {"trailing_stop": {"offset": 1000}}))
    before = resting(solo)
    Strategy.objects.update(trading_state="halted", state_reason="test")

    paper.set_prices({"BTCUSDT": "103000"})
    track(after_s=6)
    track(after_s=7)

    assert resting(solo) == before
    assert len(before) == 1


def test_protected_positions_of_two_strategies_keep_apart(enter, paper, solo):
    other = open_desk(paper, "A1", owner=solo.strategy.owner, group_name="other")
    enter(solo.alert(BTC_MARKET, TWO, STOP))
    enter(other.alert(BTC_MARKET, ONE, {"stop_loss": {"percent": 20}}))

    paper.set_prices({"BTCUSDT": "94000"})
    track()
    track(after_s=6)

    assert solo.held("A1") == "1"
    assert [(kind, quantity) for kind, quantity, _ in resting(solo)] == [("STOP_MARKET", "1")]


def test_a_follow_up_look_changes_nothing(enter, solo):
    enter(solo.alert(BTC_MARKET, ONE, STEPS))
    before = (Order.objects.count(), ExitGoal.objects.count(), Batch.objects.count())

    for after_s in (1, 6, 12):
        track(after_s=after_s)

    assert (Order.objects.count(), ExitGoal.objects.count(), Batch.objects.count()) == before


def test_the_loop_of_the_tracker_watches_prices_without_waiting(enter, paper, spot):
    enter(spot.alert(LTC_BUY, stop_loss={"price": 90}, take_profit={"price": 110}))
    paper.set_prices({"LTCUSDT": "112"})
    tracker = Tracker(clock=timezone.now)

    eventually(
        lambda: tracker.step(for_s=0.2) or not Position.objects.tradable().exists(),
        what="the take profit is taken",
    )
    while tracker._running_batches():
        tracker.step(for_s=0.2)


def test_an_entry_that_is_filled_late_is_protected_late(enter, paper, solo):
    enter(solo.alert(BTC_MARKET, ONE, STOP, order_type="LIMIT", price="99000"))
    Order.objects.update(status="canceled", closed_at=timezone.now())
    OrderEvent.objects.create(
        order=Order.objects.get(), at=timezone.now(), from_status="accepted", to_status="canceled",
        evidence="query", actor="test",
    )  # fmt: skip
    keep_protections(now=timezone.now(), prices={})
    assert Protection.objects.get().state == "over"
    paper.set_prices({"BTCUSDT": "98900"})
    track(after_s=1)
    track(after_s=6)

    assert solo.held("A1") == "1"
    assert [(kind, quantity) for kind, quantity, _ in resting(solo)] == [("STOP_MARKET", "1")]
    assert Protection.objects.get().state == "active"


def test_each_account_is_protected_from_its_own_average(enter, paper, solo):
    desk = open_desk(paper, "B1", "B2", owner=solo.strategy.owner, group_name="pair")

    enter(desk.alert(BTC_MARKET, STEPS))
    track(after_s=1)

    stops = ExitGoal.objects.filter(step=0, state="resting")
    assert {goal.account.name for goal in stops} == {"B1", "B2"}
    for goal in stops:
        position = Position.objects.get(strategy_account=goal.strategy_account)
        assert goal.wanted == position.quantity
        assert 0 <= position.entry_price * 95 / 100 - goal.stop_price < 1
    assert ExitGoal.objects.filter(step__gt=0, state="resting").count() == 4
