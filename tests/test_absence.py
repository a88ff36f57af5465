"""What else an account does must not keep an order unknown for ever."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from exchanges.gateway import gateway
from orders.models import Order, Position
from orders.reconciliation import absence
from orders.reconciliation.by_person import declare_absent
from tests.crash import track, track_at
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, PERSON, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ONE = {"qty_per": None, "qty": "1"}


def test_a_fill_of_an_older_order_does_not_forbid_the_proof_of_absence(deliver, paper, test1, monkeypatch):
    monkeypatch.setattr(
        absence, "_LOOK_BACK", timedelta(0)
    )  # the resting order is older than what is asked for
    deliver(test1.alert(BTC_LIMIT, price="94000"))
    paper.fault(action="drop", when="before", method="POST", path="/fapi/v1/order", times=2)
    deliver(test1.alert(BTC_MARKET))
    paper.set_prices({"BTCUSDT": "93900"})

    for after_s in (12, 24, 36, 48, 70, 90):
        track(after_s=after_s)

    found = set(Order.objects.values_list("order_type", "status", "reason"))
    assert found == {("LIMIT", "filled", ""), ("MARKET", "rejected", "not_found_at_exchange")}


def test_three_looks_in_a_blink_prove_nothing(deliver, paper, test1):
    paper.fault(action="drop", when="before", method="POST", path="/fapi/v1/order", times=2)
    deliver(test1.alert(BTC_LIMIT))
    later = timezone.now() + timedelta(hours=1)

    for after_s in (0, 0.1, 0.2):
        track_at(later + timedelta(seconds=after_s))

    assert set(Order.objects.values_list("status", "absent_reads")) == {("submitted", 1)}


# Orders that the exchange had, and does not know any more


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


def look(*seconds):
    for after_s in seconds:
        track(after_s=after_s)


UNTIL_PROVED = (11, 22, 33, 44, 55, 66, 77)


def forget(desk, **limits):
    name = Order.objects.latest("pk").client_order_id
    desk.paper.forget(client_order_id=name, **limits)


def outcome():
    order = Order.objects.latest("pk")
    return order.status, order.reason, str(order.filled)


def test_a_resting_order_that_the_exchange_forgot_is_canceled_after_a_horizon_of_looks(deliver, solo):
    deliver(solo.alert(BTC_LIMIT, ONE))
    forget(solo)

    look(*UNTIL_PROVED[:-1])
    before = outcome()
    look(UNTIL_PROVED[-1])

    assert before == ("accepted", "", "0")
    assert outcome() == ("canceled", "forgotten_by_exchange", "0")
    event = Order.objects.get().events.latest("pk")
    assert (event.evidence, event.from_status) == ("absence", "accepted")
    assert deliver(solo.alert(CANCEL_ALL)).json()["results"] == []


def test_seven_looks_in_a_blink_prove_nothing(deliver, solo):
    deliver(solo.alert(BTC_LIMIT, ONE))
    forget(solo)
    moment = timezone.now() + timedelta(minutes=2)

    for tenth in range(9):
        track_at(moment + timedelta(seconds=tenth / 10))

    assert outcome() == ("accepted", "", "0")


def test_fills_of_a_forgotten_order_are_booked_before_the_conclusion(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT, ONE))
    name = Order.objects.get().client_order_id
    paper.fill_in_parts(solo.key("A1"), "BTCUSDT", 4, client_order_id=name, quantity="0.4")
    forget(solo)

    look(*UNTIL_PROVED)

    assert outcome() == ("canceled", "forgotten_by_exchange", "0.4")
    assert str(Position.objects.get().quantity) == solo.held("A1") == "0.4"


def test_a_forgotten_order_that_was_filled_ends_as_filled(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT, ONE))
    paper.set_prices({"BTCUSDT": "89000"})
    forget(solo)

    look(*UNTIL_PROVED)

    assert outcome()[::2] == ("filled", "1")


def test_a_forgotten_stop_is_canceled(deliver, solo):
    stop = {
        "symbol": "BTC/USDT",
        "side": "buy",
        "order_type": "STOP_MARKET",
        "stop_price": "99000",
        "qty": "1",
    }
    deliver(solo.alert(stop))
    forget(solo)

    look(*UNTIL_PROVED)

    assert outcome() == ("canceled", "forgotten_by_exchange", "0")


def test_an_order_in_cancel_that_the_exchange_forgot_is_canceled(deliver, solo):
    deliver(solo.alert(BTC_LIMIT, ONE))
    forget(solo)
    deliver(solo.alert(CANCEL_ALL))
    assert outcome()[0] == "pending_cancel"

    look(*UNTIL_PROVED, 88, 99)

    assert outcome() == ("canceled", "forgotten_by_exchange", "0")


def test_a_forgotten_take_profit_neither_holds_up_the_exit_nor_stays_open(deliver, paper, solo):
    other = open_desk(paper, "A1", owner=solo.strategy.owner, group_name="other")
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(other.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_CLOSE, order_type="LIMIT", price="99000"))
    take_profit = Order.objects.get(order_type="LIMIT")
    paper.forget(client_order_id=take_profit.client_order_id)

    exit_result = deliver(solo.alert(BTC_CLOSE)).json()["results"][0]
    look(*UNTIL_PROVED, 88, 99)

    take_profit.refresh_from_db()
    assert exit_result["status"] == "success"
    assert (take_profit.status, take_profit.reason) == ("canceled", "forgotten_by_exchange")
    assert solo.held("A1") == "1"
    assert sorted(str(row.quantity) for row in Position.objects.all()) == ["0", "1"]


@pytest.mark.parametrize("path", ["/fapi/v1/allOrders", "/fapi/v1/userTrades"])
def test_a_history_without_an_answer_proves_nothing(deliver, paper, solo, path):
    deliver(solo.alert(BTC_LIMIT, ONE))
    forget(solo)
    paper.fault(path=path, method="GET", action="status", value=500, times=None)

    look(*UNTIL_PROVED)

    assert outcome() == ("accepted", "", "0")


def test_an_order_that_is_found_again_starts_over(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT, ONE))
    paper.fault(path="/fapi/v1/order", method="GET", action="code", value=-2013, times=None)
    look(*UNTIL_PROVED[:3])
    assert Order.objects.get().absent_reads == 3
    paper.clear_faults()

    look(44)

    assert (Order.objects.get().absent_reads, outcome()) == (0, ("accepted", "", "0"))


def test_an_order_that_only_the_history_knows_has_the_status_of_the_history(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT, ONE))
    paper.cancel_by_hand(solo.key("A1"))
    paper.fault(path="/fapi/v1/order", method="GET", action="code", value=-2013, times=None)

    look(*UNTIL_PROVED)

    assert outcome() == ("canceled", "", "0")


@pytest.fixture
def short_history(monkeypatch):
    """An exchange that lists the orders of a day only, and orders that are two days old."""

    def shorten():
        real = gateway.capabilities
        monkeypatch.setattr(gateway, "capabilities", lambda *line: replace(real(*line), history_days=1))
        old = timezone.now() - timedelta(days=2)
        Order.objects.update(submitted_at=old, answered_at=None)

    return shorten


def test_beyond_the_reach_of_the_orders_the_fills_and_an_agreed_holding_prove_the_end(
    deliver, solo, short_history
):
    deliver(solo.alert(BTC_LIMIT, ONE))
    forget(solo)
    short_history()

    look(*(11 * turn for turn in range(8)))

    assert outcome() == ("canceled", "forgotten_by_exchange", "0")


def test_beyond_the_reach_of_the_orders_a_person_decides_where_the_holding_differs(
    deliver, paper, solo, short_history
):
    deliver(solo.alert(BTC_LIMIT, ONE))
    paper.hand(solo.key("A1"), "futures", "BTCUSDT", "BUY", "0.2")
    forget(solo)
    short_history()

    look(*(11 * turn for turn in range(8)))

    assert outcome() == ("accepted", "absence_unproved", "0")
    assert declare_absent([Order.objects.get()], actor=PERSON, now=timezone.now())
    assert outcome() == ("canceled", "forgotten_by_exchange", "0")
