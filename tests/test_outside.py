"""What happens at the exchange without us is booked to whom it belongs, or waits for a person."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from exchanges.enums import MarketType
from orders.domain.keys import AccountSymbol, HoldingKey
from orders.models import Adjustment, HoldingCheck, Order, OutsideEvent, Position, PositionDifference, Trade
from orders.outside.books import external_holdings, waiting_symbols
from orders.outside.holdings import compare_holdings, compare_wanted, want_comparison
from orders.outside.income import collect_income
from orders.outside.subjects import Subject
from orders.reconciliation.comparison import compare_accounts
from orders.reconciliation.position_differences import declare_events_external, declare_external
from orders.reconciliation.tracker import Tracker
from tests.crash import later, track
from tests.desk import BTC, BTC_CLOSE, BTC_MARKET, PERSON, open_desk
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

SOL = "SOL/USDT:USDT"
ONE, TWO = {"qty_per": None, "qty": "1"}, {"qty_per": None, "qty": "2"}
SHORT = {"symbol": "BTC/USDT", "side": "sell", "order_type": "MARKET"}
SOL_MARKET = {"symbol": "SOL/USDT", "side": "buy", "order_type": "MARKET", "qty": "10"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def other(paper, solo):
    return open_desk(paper, "A1", owner=solo.strategy.owner, group_name="other")


def position(desk, symbol=BTC):
    row = Position.objects.filter(strategy_account=desk.strategy_account("A1"), symbol=symbol).first()
    return row or Position(symbol=symbol)


def held(desk, symbol=BTC):
    return str(position(desk, symbol).quantity)


def key_of(desk, symbol=BTC, kind="FUTURES"):
    return HoldingKey(desk.accounts["A1"].pk, kind, symbol)


def hand(desk, side, quantity, symbol="BTCUSDT", market="futures", **more):
    return desk.paper.hand(desk.key("A1"), market, symbol, side, quantity, **more)


def compare(*, minutes=1):
    """A regular comparison, when trades of now are not fresh any more."""
    compare_accounts(clock=later(60 * minutes))


# A single holder


def test_a_hand_trade_that_reduces_the_only_position_is_booked_to_it(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.set_prices({"BTCUSDT": "96000"})
    made = hand(solo, "SELL", "0.4")

    compare()

    event, row = OutsideEvent.objects.get(), Adjustment.objects.get()
    assert (event.kind, event.client_order_id, event.settled_by) == (
        "hand_trade", made["clientOrderId"], "rule",
    )  # fmt: skip
    assert (row.quantity, row.price, row.realized_profit, row.event) == (
        Decimal("-0.4"), Decimal(96000), Decimal(400), event,
    )  # fmt: skip
    assert (row.fee, position(solo).fees > row.fee) == (Decimal("19.2"), True)
    assert held(solo) == solo.held("A1") == "0.6"
    assert not PositionDifference.objects.exists()


def test_a_second_comparison_books_nothing_more(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "SELL", "0.4")

    compare()
    compare(minutes=2)

    assert (held(solo), Adjustment.objects.count()) == ("0.6", 1)


def test_two_trackers_that_find_a_hand_trade_at_once_book_it_once(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "SELL", "0.4")
    want_comparison([key_of(solo)], now=timezone.now())

    with ThreadPoolExecutor(3) as threads:
        for look in [threads.submit(compare_and_close) for _ in range(3)]:
            look.result()

    assert (held(solo), Adjustment.objects.count(), OutsideEvent.objects.count()) == ("0.6", 1, 1)


def compare_and_close():
    try:
        compare_wanted(clock=timezone.now)
    finally:
        connections.close_all()


def test_a_hand_trade_beyond_the_position_is_booked_up_to_zero_and_the_rest_waits(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "SELL", "1.5")

    compare()

    difference = PositionDifference.objects.get()
    assert (held(solo), solo.held("A1")) == ("0", "-0.5")
    assert [event.settled_at for event in OutsideEvent.objects.all()] == [None]
    assert (difference.theirs - difference.ours, difference.freezes) == (Decimal("-0.5"), True)
    assert waiting_symbols([BTC]) == {AccountSymbol(solo.accounts["A1"].pk, BTC)}


def test_a_hand_trade_that_increases_a_position_waits(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "BUY", "0.5")

    compare()
    compare(minutes=2)

    assert (held(solo), Adjustment.objects.count()) == ("1", 0)
    assert [event.quantity for event in OutsideEvent.objects.waiting()] == [Decimal("0.5")]


def test_a_known_event_is_not_looked_up_again(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "BUY", "0.5")
    compare()
    before = len(paper.requests())

    compare(minutes=2)

    assert not [row for row in paper.requests()[before:] if row["path"] == "/fapi/v1/userTrades"]


def test_what_was_sold_by_hand_is_known_to_the_exit_that_was_refused(deliver, solo):
    """Case 11: books, exchange and the next trade agree."""
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "SELL", "1")

    deliver(solo.alert(BTC_CLOSE))
    track()
    deliver(solo.alert(SHORT, ONE))

    assert (held(solo), solo.held("A1")) == ("-1", "-1")
    deliver(solo.alert(BTC_CLOSE, side="buy"))
    assert (held(solo), solo.held("A1")) == ("0", "0")
    assert Position.objects.get().is_dust is False


def test_on_spot_a_sale_by_hand_is_booked_as_far_as_it_takes_the_strategys_coins(deliver, paper):
    spot = open_desk(paper, "A1", group_name="spot", market_type="SPOT", capital=100_000)
    hand(spot, "BUY", "1", "LTCUSDT", "spot")
    deliver(spot.alert(symbol="LTCUSDT", side="buy", order_type="MARKET", qty="2"))
    compare()
    hand(spot, "SELL", "1.5", "LTCUSDT", "spot")

    compare(minutes=2)

    (event,) = OutsideEvent.objects.all()
    left = Decimal(spot.ledger("A1")["balances"]["spot"]["LTC"]["free"])
    assert (event.kind, event.settled_by) == ("hand_trade", "rule")
    assert position(spot, "LTC/USDT").quantity == left
    check = HoldingCheck.objects.get(symbol="LTC/USDT")
    assert (check.theirs, check.free) == (left, left)


def test_coins_moved_out_of_a_spot_account_stay_a_difference(deliver, paper):
    spot = open_desk(paper, "A1", group_name="spot", market_type="SPOT", capital=100_000)
    deliver(spot.alert(symbol="LTCUSDT", side="buy", order_type="MARKET", qty="2"))
    paper.transfer(spot.key("A1"), "spot", "LTC", "-1.5")

    compare()

    row = PositionDifference.objects.get()
    assert (row.freezes, row.theirs - row.ours, OutsideEvent.objects.count()) == (True, Decimal("-1.5"), 0)


# Liquidation, ADL, delivery


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda paper, key: paper.liquidate(key, "BTCUSDT", price="90000"), "liquidation"),
        (lambda paper, key: paper.adl(key, "BTCUSDT", quantity="1"), "adl"),
        (lambda paper, key: paper.deliver_contract("BTCUSDT"), "delivery"),
    ],
    ids=["liquidation", "adl", "delivery"],
)
def test_what_the_exchange_closes_is_booked_to_the_only_holder(deliver, paper, solo, act, kind):
    deliver(solo.alert(BTC_MARKET, ONE))
    act(paper, solo.key("A1"))

    compare()

    assert (held(solo), Adjustment.objects.get().kind) == ("0", kind)
    assert not OutsideEvent.objects.waiting().exists()


def test_a_liquidation_of_everything_closes_the_position_of_every_strategy(deliver, paper, solo, other):
    deliver(solo.alert(BTC_MARKET, TWO))
    deliver(other.alert(BTC_MARKET, ONE))
    paper.liquidate(solo.key("A1"), "BTCUSDT", price="90000")

    compare()

    assert (held(solo), held(other)) == ("0", "0")
    assert {row.realized_profit for row in Adjustment.objects.all()} == {Decimal(-10000), Decimal(-5000)}
    assert not OutsideEvent.objects.waiting().exists()


def test_a_liquidation_of_a_part_waits_for_a_person_where_two_strategies_hold(deliver, paper, solo, other):
    deliver(solo.alert(BTC_MARKET, TWO))
    deliver(other.alert(BTC_MARKET, ONE))
    paper.liquidate(solo.key("A1"), "BTCUSDT", quantity="1.5", price="90000")

    compare()
    waiting = OutsideEvent.objects.waiting().count()
    paper.liquidate(solo.key("A1"), "BTCUSDT", price="89000")
    compare(minutes=2)

    assert waiting == 1
    assert (held(solo), held(other)) == ("0", "0")
    assert not OutsideEvent.objects.waiting().exists()


# Income


def test_funding_is_shared_by_what_each_strategy_holds(deliver, paper, solo, other):
    deliver(solo.alert(BTC_MARKET, TWO))
    deliver(other.alert(BTC_MARKET, ONE))
    before = position(solo).realized_profit
    paper.fund("BTCUSDT", "0.0001")

    collect_income(clock=timezone.now)

    amounts = {row.strategy_account_id: row.amount for row in Adjustment.objects.all()}
    assert amounts == {
        solo.strategy_account("A1").pk: Decimal(-19),
        other.strategy_account("A1").pk: Decimal("-9.5"),
    }
    assert (held(solo), position(solo).realized_profit - before) == ("2", Decimal(-19))
    assert OutsideEvent.objects.get().settled_at is not None


def test_funding_counts_once_and_is_asked_for_every_ten_minutes(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fund("BTCUSDT", "0.0001")
    before = len(paper.requests())

    for minutes in (0, 1, 9, 11):
        collect_income(clock=later(60 * minutes))

    asked = [row for row in paper.requests()[before:] if row["path"] == "/fapi/v1/income"]
    assert (len(asked), Adjustment.objects.count()) == (2, 1)


def test_funding_for_what_is_held_no_more_goes_to_whoever_held_it(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fund("BTCUSDT", "0.0001")
    deliver(solo.alert(BTC_CLOSE))

    collect_income(clock=timezone.now)

    assert [row.amount for row in Adjustment.objects.all()] == [Decimal("-9.5")]


def test_a_liquidated_position_pays_the_insurance_fund(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.liquidate(solo.key("A1"), "BTCUSDT", price="90000")

    track(after_s=60)

    kinds = {(row.quantity, row.amount) for row in Adjustment.objects.filter(kind="liquidation")}
    assert kinds == {(Decimal(-1), Decimal(0)), (Decimal(0), Decimal(-1125))}


def test_a_transfer_is_recorded_and_booked_to_nobody(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.transfer(solo.key("A1"), "futures", "USDT", "-1000")

    collect_income(clock=timezone.now)

    event = OutsideEvent.objects.get()
    assert (event.kind, event.amount, event.settled_by) == ("transfer", Decimal(-1000), "rule")
    assert not Adjustment.objects.exists()


# Several holders, and what belongs to no strategy


def test_a_hand_trade_waits_where_two_strategies_hold(deliver, solo, other):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(other.alert(BTC_MARKET, ONE))
    hand(solo, "SELL", "0.5")

    compare()

    assert (held(solo), held(other), Adjustment.objects.count()) == ("1", "1", 0)
    assert OutsideEvent.objects.waiting().count() == 1


def test_what_a_person_declares_external_is_expected_and_settles_its_events(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "BUY", "0.5")
    compare()

    declare_external(PositionDifference.objects.get(), actor=PERSON, now=timezone.now())
    compare(minutes=2)

    assert not PositionDifference.objects.unresolved().exists()
    assert OutsideEvent.objects.get().settled_by == "user:1"
    assert external_holdings([BTC]) == {key_of(solo): Decimal("0.5")}


def test_an_event_that_a_person_declares_external_is_expected_from_then_on(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "BUY", "0.5")
    compare()

    settled = declare_events_external(OutsideEvent.objects.all(), actor=PERSON, now=timezone.now())
    again = declare_events_external(OutsideEvent.objects.all(), actor=PERSON, now=timezone.now())
    compare(minutes=2)

    assert (len(settled), again) == (1, [])
    assert not PositionDifference.objects.unresolved().exists()
    assert external_holdings([BTC]) == {key_of(solo): Decimal("0.5")}


def test_beside_an_external_holding_of_the_same_side_a_hand_trade_waits(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "BUY", "0.5")
    compare()
    declare_external(PositionDifference.objects.get(), actor=PERSON, now=timezone.now())

    hand(solo, "SELL", "0.5")
    compare(minutes=2)

    assert (held(solo), OutsideEvent.objects.waiting().count()) == ("1", 1)


def test_an_external_short_beside_a_long_position_is_no_difference(deliver, solo):
    """Case 12, the comparison."""
    deliver(solo.alert(BTC_MARKET, TWO))
    deliver(solo.alert(BTC_CLOSE))
    hand(solo, "SELL", "1")
    compare()
    declare_external(PositionDifference.objects.get(), actor=PERSON, now=timezone.now())
    deliver(solo.alert(BTC_MARKET, ONE))

    compare(minutes=2)

    assert (solo.held("A1"), held(solo)) == ("0", "1")
    assert not PositionDifference.objects.unresolved().exists()


# Orders of ours


def test_an_order_of_unknown_outcome_blinds_only_its_own_symbol(deliver, paper, solo):
    """Case 15."""
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fault(path="/fapi/v1/order", method="POST", action="drop", when="before", times=1)
    paper.fault(path="/fapi/v1/order", method="GET", action="status", value=503, times=None)
    deliver(solo.alert(SOL_MARKET))
    hand(solo, "SELL", "1")
    hand(solo, "BUY", "5", "SOLUSDT")

    compare()

    assert Order.objects.get(symbol=SOL).unknown_since is not None
    assert (held(solo), Adjustment.objects.get().symbol) == ("0", BTC)
    assert not PositionDifference.objects.unresolved().exists()
    paper.clear_faults()


def test_a_fill_of_our_own_order_is_booked_to_the_order(deliver, paper, solo):
    paper.fault(path="/fapi/v1/order", method="POST", action="drop", when="after", times=1)
    paper.fault(path="/fapi/v1/order", method="GET", action="status", value=503, times=None)
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "BUY", "0.25")

    compare()

    order = Order.objects.get()
    assert (order.status, order.unknown_since, held(solo)) == ("filled", None, "1")
    assert [event.quantity for event in OutsideEvent.objects.all()] == [Decimal("0.25")]
    paper.clear_faults()


def test_a_triggered_stop_is_our_own_order(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_CLOSE, order_type="STOP_MARKET", stop_price="94000"))
    paper.set_prices({"BTCUSDT": "93000"})

    compare()

    assert (held(solo), solo.held("A1"), OutsideEvent.objects.count()) == ("0", "0", 0)
    assert Trade.objects.count() == 2


def test_a_switched_off_account_is_compared_as_long_as_it_holds_something(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    solo.accounts["A1"].is_active = False
    solo.accounts["A1"].save()
    hand(solo, "SELL", "1")

    compare()

    assert held(solo) == "0"


def test_the_tracker_makes_a_wanted_comparison_within_a_turn(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "SELL", "1")
    want_comparison([key_of(solo)], now=timezone.now())
    tracker = Tracker(clock=timezone.now)
    tracker._compare_at = float("inf")

    eventually(lambda: tracker.step(for_s=0.1) or held(solo) == "0", what="the hand trade is booked")

    eventually(lambda: not HoldingCheck.objects.wanted().exists(), what="nothing is wanted any more")


def test_an_exchange_that_does_not_answer_leaves_the_comparison_wanted_for_a_minute(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    want_comparison([key_of(solo)], now=timezone.now())
    paper.fault(path="/fapi/v3/positionRisk", method="GET", action="status", value=503, times=None)

    compare_wanted(clock=timezone.now)
    wanted = HoldingCheck.objects.wanted().count()
    compare_wanted(clock=lambda: timezone.now() + timedelta(minutes=2))

    assert (wanted, HoldingCheck.objects.wanted().count()) == (1, 0)
    paper.clear_faults()


def test_a_comparison_takes_as_many_statements_for_2_as_for_12_accounts(deliver, paper):
    counts = []
    for accounts in (2, 12):
        desk = open_desk(paper, *(f"N{accounts}-{n}" for n in range(accounts)), group_name=f"n{accounts}")
        deliver(desk.alert(BTC_MARKET, ONE))
        with CaptureQueriesContext(connection) as captured:
            compare_holdings(
                [Subject(account, MarketType.FUTURES) for account in desk.accounts.values()], clock=later(60)
            )
        counts.append(len(captured))

    assert counts[0] == counts[1] < 20


@pytest.mark.parametrize(("side", "events"), [("BUY", 0), ("SELL", 1)])
def test_a_fill_without_a_name_may_be_of_an_order_of_unknown_outcome(deliver, paper, solo, side, events):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fault(path="/fapi/v1/order", method="POST", action="drop", when="before", times=1)
    paper.fault(path="/fapi/v1/order", method="GET", action="status", value=503, times=None)
    deliver(solo.alert(BTC_MARKET, TWO))
    made = hand(solo, side, "0.5")
    paper.forget(api_key=solo.key("A1"), client_order_id=made["clientOrderId"])

    compare()

    assert OutsideEvent.objects.count() == events
    assert not PositionDifference.objects.exists()
    paper.clear_faults()


def test_a_liquidation_takes_the_external_part_along(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    hand(solo, "BUY", "0.5")
    compare()
    declare_external(PositionDifference.objects.get(), actor=PERSON, now=timezone.now())
    paper.liquidate(solo.key("A1"), "BTCUSDT", price="90000")

    compare(minutes=2)

    assert (held(solo), external_holdings([BTC])) == ("0", {})
    assert not OutsideEvent.objects.waiting().exists()
    assert not PositionDifference.objects.unresolved().exists()


def test_a_resting_exit_is_trimmed_to_what_a_hand_trade_left(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, TWO))
    deliver(solo.alert(BTC_CLOSE, order_type="LIMIT", price="99000"))
    hand(solo, "SELL", "1.5")

    track(after_s=60)
    track(after_s=61)
    paper.set_prices({"BTCUSDT": "99001"})
    track(after_s=62)

    assert (held(solo), solo.held("A1")) == ("0", "0")


def test_the_tracker_books_funding_by_itself(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fund("BTCUSDT", "0.0001")
    tracker = Tracker(clock=timezone.now)

    eventually(lambda: tracker.step(for_s=0.1) or Adjustment.objects.exists(), what="the funding is booked")

    assert Adjustment.objects.get().amount == Decimal("-9.5")
