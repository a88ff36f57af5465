"""No doubt holds an exit back for long, and what turns out later is closed too (SPEC 6a)."""

import pytest

from orders.models import ExitGoal, Order, Position
from tests.crash import track
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, open_desk
from tests.waiting import LONG_S

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = "/fapi/v1/order"
ONE, TWO = {"qty_per": None, "qty": "1"}, {"qty_per": None, "qty": "2"}
TAKE_PROFIT = BTC_CLOSE | {"order_type": "LIMIT", "price": "110000"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def other(paper, solo):
    return open_desk(paper, "A1", owner=solo.strategy.owner, group_name="other")


def held(desk):
    quantity = Position.objects.get(strategy_account=desk.strategy_account("A1")).quantity
    return f"{quantity.normalize():f}"


def all_end(runs):
    return all(run.finished.wait(LONG_S) for run in runs)


def test_a_full_exit_cancels_the_entry_that_still_fills(deliver, paper, solo):
    paper.set_liquidity({"BTCUSDT": "4"})
    deliver(solo.alert(BTC_LIMIT, qty_per=None, qty="10", price="95000"))
    paper.set_liquidity({"BTCUSDT": None})

    answer = deliver(solo.alert(BTC_CLOSE)).json()
    paper.set_prices({"BTCUSDT": "94000"})
    track()

    (close,) = answer["results"]
    assert (close["status"], close["filled"], close["remaining"]) == ("success", "4", "0")
    entry = Order.objects.get(goal__isnull=True)
    assert (entry.status, entry.reason) == ("canceled", "exit_makes_room")
    assert any(entry.client_order_id in warning for warning in answer["warnings"])
    assert solo.held("A1") == "0"


def test_a_repeated_delivery_tells_the_same_warning(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_LIMIT, ONE))

    first, second = (deliver(solo.alert(BTC_CLOSE, id="close-1")).json() for _ in range(2))

    assert second["duplicate"] is True
    assert first["warnings"] == second["warnings"] != []


@pytest.mark.parametrize("leg", [BTC_CLOSE | {"qty_per": -50}, TAKE_PROFIT])
def test_partial_and_resting_exits_leave_entries(deliver, paper, solo, leg):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_LIMIT, ONE))

    answer = deliver(solo.alert(leg)).json()

    assert answer["warnings"] == []
    assert Order.objects.get(order_type="LIMIT", goal__isnull=True).status == "accepted"


def test_a_full_exit_cancels_an_entry_that_waits_for_a_pause(deliver, paper, solo, settings, runs, edge):
    deliver(solo.alert(BTC_MARKET, ONE))
    settings.WEBHOOK_ANSWER_BUDGET_MS = 200
    edge.pause()
    deliver(solo.alert(BTC_LIMIT, ONE))

    answer = deliver(solo.alert(BTC_CLOSE)).json()
    edge.end_pauses()

    assert all_end(runs)
    assert Order.objects.get(order_type="LIMIT").status == "canceled"
    assert solo.held("A1") == "0"
    assert len(answer["warnings"]) == 1


def test_an_exit_goes_although_the_exchange_forgot_the_take_profit(deliver, paper, solo, other):
    deliver(other.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(solo.alert(TAKE_PROFIT))
    paper.forget(client_order_id=Order.objects.get(order_type="LIMIT").client_order_id)

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert (close["status"], close["remaining"]) == ("success", "0")
    placed, sold = Order.objects.filter(goal__isnull=False).order_by("pk")
    assert (sold.submitted_at - placed.submitted_at).total_seconds() < 15
    assert (held(solo), held(other), solo.held("A1")) == ("0", "1", "1")


def test_an_entry_that_turns_out_filled_is_closed_by_the_same_goal(deliver, paper, solo, settings, runs):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fault(path=ORDER, method="POST", action="drop", when="after")
    paper.fault(path=ORDER, method="GET", action="status", value=503, times=None)
    settings.WEBHOOK_ANSWER_BUDGET_MS = 500
    deliver(solo.alert(BTC_MARKET, TWO))

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    assert close["status"] == "pending"
    assert all_end(runs)
    between = (solo.held("A1"), ExitGoal.objects.get().state)
    paper.clear_faults()
    track(after_s=40)
    track(after_s=45)

    assert between == ("2", "working")
    assert (solo.held("A1"), held(solo), ExitGoal.objects.get().state) == ("0", "0", "reached")


def test_nothing_held_and_an_entry_in_doubt_is_not_over(deliver, paper, solo, settings, runs):
    paper.fault(path=ORDER, method="POST", action="drop", when="after")
    for path in (ORDER, "/fapi/v1/allOrders", "/fapi/v1/userTrades"):
        paper.fault(path=path, method="GET", action="status", value=503, times=None)
    settings.WEBHOOK_ANSWER_BUDGET_MS = 500
    deliver(solo.alert(BTC_MARKET, TWO))
    deliver(solo.alert(BTC_CLOSE))
    assert all_end(runs)
    track(after_s=15)
    between = ExitGoal.objects.get()
    paper.clear_faults()
    track(after_s=60)
    track(after_s=65)

    assert (between.state, between.reason) == ("working", "entry_in_doubt")
    assert (solo.held("A1"), ExitGoal.objects.get().state) == ("0", "reached")


def test_an_entry_is_refused_while_a_full_exit_is_not_over(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fault(path=ORDER, method="POST", action="code", value=-2015, times=None)
    deliver(solo.alert(BTC_CLOSE))
    paper.clear_faults()

    (entry,) = deliver(solo.alert(BTC_MARKET, ONE)).json()["results"]

    assert (entry["status"], entry["error_code"]) == ("failed", "exit_working")
    assert solo.held("A1") == "1"


def test_an_entry_behind_an_exit_waits_until_the_exit_is_over(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.set_liquidity({"BTCUSDT": "0.4"})

    answer = deliver(
        solo.alert({"orders": [BTC_CLOSE, BTC_MARKET | {"side": "sell"} | ONE | {"qty": "0.3"}]})
    ).json()

    assert [row["status"] for row in answer["results"]] == ["success", "success"]
    assert solo.held("A1") == "-0.3"


def test_two_half_exits_leave_a_quarter_also_when_the_first_is_slow(deliver, paper, solo, settings, runs):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.set_liquidity({"BTCUSDT": "0.2"})
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100

    for _ in range(2):
        deliver(solo.alert(BTC_CLOSE, qty_per=-50))

    assert all_end(runs)
    for after_s in (5, 10, 15, 20, 30, 45):  # a slow machine begins late
        track(after_s=after_s)
    assert solo.held("A1") == "0.25"
