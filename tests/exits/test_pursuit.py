"""An exit is pursued until the position is closed, whatever the exchange answers (SPEC 6a)."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connections
from django.utils import timezone

from exchanges.enums import MarketType
from orders.domain.enums import Evidence, OrderStatus
from orders.execution import batch_run, batches
from orders.exits.pursuit import pursue
from orders.models import ExitGoal, Order, Position
from orders.models.transitions import Companions, Transition
from tests.crash import abandon_all, dying_at, later, never_run, track
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, open_desk
from tests.waiting import LONG_S

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = {"path": "/fapi/v1/order", "method": "POST"}
NOWHERE = "http://127.0.0.1:9"
SPOT_BUY = {"symbol": "BTC/USDT", "side": "buy", "order_type": "MARKET", "qty": "1"}
ONE = {"qty_per": None, "qty": "1"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def spot(paper):
    return open_desk(paper, "A1", group_name="spot", market_type=MarketType.SPOT)


def all_end(runs):
    return all(run.finished.wait(LONG_S) for run in runs)


def attempts():
    return list(Order.objects.filter(goal__isnull=False).order_by("attempt"))


def assert_flat(desk):
    goal = ExitGoal.objects.latest("pk")
    assert (goal.state, goal.remaining) == ("reached", 0)
    assert desk.held("A1") == "0"
    assert not Position.objects.held().exists()


def test_a_goal_is_sized_only_where_its_order_is_sent(deliver, paper, monkeypatch):
    desk = open_desk(paper, "A1", "A2", group_name="two")
    deliver(desk.alert(BTC_MARKET, ONE))
    with monkeypatch.context() as patch:
        patch.setattr(batches, "start_run", never_run)
        deliver(desk.alert(BTC_CLOSE))
    now, (ours, overtaken) = timezone.now(), attempts_with_goals()

    def queued(order):
        return Transition(order, OrderStatus.QUEUED, now, Evidence.LOCAL, "test")

    Order.objects.transition([queued(Order.objects.get(pk=overtaken.pk))])  # another process
    for order in (ours, overtaken):
        order.goal.wanted = Decimal(7)
    goals = {order.pk: order.goal for order in (ours, overtaken)}
    moved = Order.objects.transition(
        [queued(ours), queued(overtaken)], companions=Companions(goals, ["wanted"])
    )

    assert moved == {ours.pk}
    assert list(ExitGoal.objects.order_by("pk").values_list("wanted", flat=True)) == [7, None]


def attempts_with_goals():
    return list(Order.objects.filter(goal__isnull=False).select_related("goal").order_by("pk"))


# Thin books and large positions


def test_an_exit_in_a_thin_book_is_sent_again_until_the_position_is_closed(
    deliver, paper, solo, settings, runs
):
    deliver(solo.alert(BTC_MARKET))
    paper.set_liquidity({"BTCUSDT": "3"})
    settings.WEBHOOK_ANSWER_BUDGET_MS = 500

    (first,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    assert all_end(runs)

    assert (first["status"], first["order_status"], first["filled"]) == ("pending", "expired", "3")
    assert first["remaining"] == "7.526"
    assert [str(order.filled) for order in attempts()] == ["3", "3", "3", "1.526"]
    assert_flat(solo)


def test_an_exit_in_an_empty_book_is_paced_and_never_given_up(deliver, paper, solo, settings):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.set_liquidity({"BTCUSDT": "0"})
    settings.WEBHOOK_ANSWER_BUDGET_MS = 500

    deliver(solo.alert(BTC_CLOSE))
    for after_s in (5, 15, 40, 80, 150, 220, 290):
        track(after_s=after_s)
    tried, goal = len(solo.posts("A1")) - 1, ExitGoal.objects.get()
    paper.set_liquidity({"BTCUSDT": None})
    track(after_s=330)

    assert goal.state == "needs_person"
    assert 6 <= tried <= 12
    assert_flat(solo)


def test_a_thin_spot_book_is_sold_into_until_nothing_is_left(deliver, paper, spot):
    deliver(spot.alert(SPOT_BUY))
    paper.set_liquidity({"BTCUSDT": "0.4"})

    (close,) = deliver(spot.alert(BTC_CLOSE)).json()["results"]

    assert (close["status"], close["filled"], close["remaining"]) == ("success", "0.999", "0")
    assert [str(order.filled) for order in attempts()] == ["0.4", "0.4", "0.199"]


def test_an_exit_above_the_market_maximum_is_sent_in_parts(deliver, paper, solo):
    paper.set_markets({"BTCUSDT": {"futures": {"market_max_qty": "1000"}}})
    deliver(solo.alert(BTC_MARKET, qty_per=None, qty="3"))
    paper.set_markets({"BTCUSDT": {"futures": {"market_max_qty": "1.2"}}})

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert (close["status"], close["quantity"], close["filled"]) == ("success", "3", "3")
    assert [str(order.quantity) for order in attempts() if order.filled] == ["1.2", "1.2", "0.6"]
    assert_flat(solo)


# Refusals: the next attempt is sized again, paced, and sent


REFUSALS = [
    ({"action": "code", "value": -1021}, 1), ({"action": "code", "value": -1021}, 2),
    ({"action": "code", "value": -5028}, 1), ({"action": "code", "value": -4131}, 2),
    ({"action": "code", "value": -2019}, 1), ({"action": "code", "value": -2020}, 1),
    ({"action": "code", "value": -1111}, 1), ({"action": "code", "value": -4118}, 1),
    ({"action": "code", "value": -2022}, 1), ({"action": "code", "value": -4061}, 1),
    ({"action": "unavailable", "value": "service"}, 1), ({"action": "unavailable", "value": "internal"}, 1),
    ({"action": "status", "value": 429, "retry_after": 1}, 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "times"), REFUSALS, ids=[f"{fault['value']}-{times}" for fault, times in REFUSALS]
)
def test_a_refused_exit_is_sent_again(deliver, paper, solo, fault, times):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fault(**ORDER, **fault, times=times)

    deliver(solo.alert(BTC_CLOSE))
    track(after_s=65)

    closes = attempts()
    assert [order.status for order in closes] == ["rejected"] * times + ["filled"]
    sent = [order.submitted_at for order in closes]
    assert all((later - earlier).total_seconds() >= 0.9 for earlier, later in itertools.pairwise(sent))
    assert_flat(solo)


def test_a_changed_step_is_read_anew_and_the_exit_sized_by_it(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, qty_per=None, qty="1.234"))
    paper.set_markets({"BTCUSDT": {"futures": {"step": "0.01", "min_qty": "0.01"}}})

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert [(order.status, str(order.quantity)) for order in attempts()] == [
        ("rejected", "1.234"), ("filled", "1.23"),
    ]  # fmt: skip
    assert (close["status"], close["filled"]) == ("success", "1.23")
    assert Position.objects.get().is_dust


def test_an_exit_goes_on_where_the_market_list_cannot_be_read(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, qty_per=None, qty="1.234"))
    paper.set_markets({"BTCUSDT": {"futures": {"step": "0.01", "min_qty": "0.01"}}})
    paper.fault(path="/fapi/v1/exchangeInfo", action="status", value=500, times=1)

    deliver(solo.alert(BTC_CLOSE))
    track(after_s=5)

    assert [(order.status, str(order.quantity)) for order in attempts()] == [
        ("rejected", "1.234"), ("rejected", "1.234"), ("filled", "1.23"),
    ]  # fmt: skip
    assert Position.objects.get().is_dust


@pytest.fixture
def one_thread(paper, settings):
    """One thread for all runs of this process."""
    batches.shut_down()
    settings.RUN_THREADS = 1
    yield
    batches.shut_down()


def test_a_market_list_that_hangs_holds_no_thread_of_the_runs(
    deliver, paper, solo, bob, settings, runs, edge, one_thread
):
    other = open_desk(paper, "B1", owner=bob, group_name="other")
    deliver(solo.alert(BTC_MARKET, qty_per=None, qty="1.234"))
    paper.set_markets({"BTCUSDT": {"futures": {"step": "0.01", "min_qty": "0.01"}}})
    settings.WEBHOOK_ANSWER_BUDGET_MS = 500
    market_list = edge.hold("load_markets", times=1)

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    market_list.wait_for()
    deliver(other.alert(BTC_LIMIT))
    assert runs[-1].finished.wait(LONG_S)  # nobody else waits for the list
    is_over = runs[-2].finished.is_set()
    market_list.release()
    assert all_end(runs)

    assert (close["status"], is_over) == ("pending", False)
    assert [(order.status, str(order.quantity)) for order in attempts()] == [
        ("rejected", "1.234"), ("filled", "1.23"),
    ]  # fmt: skip


def test_only_the_goal_whose_refusal_contradicts_its_market_waits_for_the_list(
    deliver, paper, solo, bob, edge, runs
):
    other = open_desk(paper, "B1", owner=bob, group_name="other")
    for desk in (solo, other):
        deliver(desk.alert(BTC_MARKET, ONE))
        paper.fault(**ORDER, action="code", value=-1013 if desk is solo else -1021)
        with dying_at(batch_run, "pursue"):
            deliver(desk.alert(BTC_CLOSE))
            assert all_end(runs)
    stale, refused = ExitGoal.objects.order_by("pk")
    market_list, arrived = edge.hold("load_markets", times=1), threading.Event()

    def look():
        found = pursue([stale.pk, refused.pk], now=later(5)(), list_arrived=arrived.set)
        return found.waiting, {attempt.goal_id for attempt in found.attempts}

    first, second = look(), look()
    market_list.release()
    assert arrived.wait(LONG_S)
    third = look()
    abandon_all()
    track(after_s=10)

    assert (first, second, third) == (
        ({stale.pk}, {refused.pk}), ({stale.pk}, set()), (set(), {stale.pk}),
    )  # fmt: skip
    assert market_list.waiting == 1
    assert (solo.held("A1"), other.held("B1")) == ("0", "0")


def test_a_pass_of_the_tracker_waits_for_the_lists_that_it_asked_for(deliver, paper, solo, runs):
    deliver(solo.alert(BTC_MARKET, qty_per=None, qty="1.234"))
    paper.set_markets({"BTCUSDT": {"futures": {"step": "0.01", "min_qty": "0.01"}}})
    with dying_at(batch_run, "pursue"):
        deliver(solo.alert(BTC_CLOSE))
        assert all_end(runs)
    abandon_all()

    track(after_s=10)

    assert [str(order.quantity) for order in attempts()] == ["1.234", "1.23"]
    assert Position.objects.get().is_dust


def test_an_exit_refused_by_a_price_band_goes_when_the_band_moves(deliver, paper, solo, settings, runs):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.set_bands({"BTCUSDT": "200000"})
    settings.WEBHOOK_ANSWER_BUDGET_MS = 500

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    paper.set_bands({"BTCUSDT": None})
    assert all_end(runs)
    track(after_s=5)

    assert (close["status"], close["error_code"], close["remaining"]) == ("pending", "price_band", "1")
    assert_flat(solo)


@pytest.mark.parametrize("code", [-2015, -4141])
def test_a_person_is_told_at_once_and_the_exit_tried_slowly(deliver, paper, solo, code):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fault(**ORDER, action="code", value=code, times=None)

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    track(after_s=30)
    before = len(solo.posts("A1"))
    track(after_s=70)

    assert close["status"] == "failed"
    assert "before a person" in close["error"] or "담당자" in close["error"]
    assert ExitGoal.objects.get().state == "needs_person"
    assert (before, len(solo.posts("A1"))) == (2, 3)
    paper.clear_faults()
    track(after_s=200)
    assert_flat(solo)


def test_an_exit_that_nobody_can_reach_the_exchange_for_goes_as_soon_as_somebody_can(
    deliver, paper, solo, settings, new_process, runs
):
    deliver(solo.alert(BTC_MARKET, ONE))
    settings.PAPER_EXCHANGE_URL = NOWHERE
    new_process()
    settings.WEBHOOK_ANSWER_BUDGET_MS = 500

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    assert all_end(runs)
    settings.PAPER_EXCHANGE_URL = paper.url
    new_process()
    track(after_s=5)

    assert (close["status"], close["error_code"], close["remaining"]) == ("pending", "not_sent", "1")
    first, second, *_ = attempts()
    assert (second.submitted_at - first.closed_at).total_seconds() < 1
    assert_flat(solo)


def test_two_trackers_on_one_goal_send_once(deliver, paper, solo, settings, runs):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fault(**ORDER, action="code", value=-2015)
    deliver(solo.alert(BTC_CLOSE))
    assert all_end(runs)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: track_and_close(), range(4)))

    assert len(solo.posts("A1")) == 3
    assert_flat(solo)


def track_and_close():
    try:
        track(after_s=70)
    finally:
        connections.close_all()
