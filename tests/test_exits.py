"""Exits that must not be lost, undersized or refused."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connections
from django.utils import timezone

from exchanges.adapters.binance import BinanceFutures
from exchanges.enums import TradingState
from exchanges.errors import NotSent
from exchanges.gateway import gateway
from orders.controls.trading_state import change_trading_state
from orders.execution import batch_run, client
from orders.execution.client import ExecutionClient
from orders.models import Batch, Order, Position
from orders.reconciliation.tracker import Tracker
from orders.turns import state_lock
from tests.crash import abandon_all, dying_at, track
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, PERSON, open_desk
from tests.waiting import LONG_S, eventually

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = {"path": "/fapi/v1/order"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


def all_end(runs):
    return all(run.finished.wait(LONG_S) for run in runs)


def test_an_exit_closes_what_a_resting_entry_filled_a_moment_ago(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    paper.set_prices({"BTCUSDT": "89999"})

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert (close["order_status"], close["filled"]) == ("filled", "11.111")
    assert solo.held("A1") == "0"


def test_an_exit_waits_for_trades_that_the_exchange_lists_late(deliver, paper, solo, monkeypatch):
    real, asked = BinanceFutures.fetch_order_fills, []

    async def late(self, *args):
        asked.append(args)
        return [] if len(asked) == 1 else await real(self, *args)

    monkeypatch.setattr(BinanceFutures, "fetch_order_fills", late)
    deliver(solo.alert(BTC_MARKET))

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert close["order_status"] == "filled"
    assert (solo.held("A1"), Position.objects.get().quantity) == ("0", 0)


def test_an_exit_that_was_told_to_come_later_is_sent_again_as_a_new_attempt(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET))
    paper.fault(**ORDER, method="POST", action="status", value=429, retry_after=1)

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert close["order_status"] == "filled"
    assert solo.held("A1") == "0"
    closes = Order.objects.filter(qty_per__lt=0).order_by("attempt")
    assert [(order.attempt, order.status) for order in closes] == [(1, "rejected"), (2, "filled")]


def test_strategies_that_hold_against_each_other_on_one_account_can_both_leave(deliver, paper, solo):
    other = open_desk(paper, "A1", owner=solo.strategy.owner, group_name="other")
    deliver(solo.alert(BTC_MARKET))
    deliver(other.alert(BTC_MARKET, side="sell"))

    first = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    second = deliver(other.alert(BTC_CLOSE, side="buy")).json()["results"]

    assert [row["order_status"] for row in (*first, *second)] == ["filled", "filled"]
    assert not Position.objects.held().exists()
    assert solo.held("A1") == "0"


def test_a_cancel_that_the_exchange_keeps_refusing_is_sent_in_measure(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    paper.fault(**ORDER, method="DELETE", action="code", value=-2011, times=None)
    deliver(solo.alert(CANCEL_ALL))
    before = len(paper.requests())

    track()

    assert len(paper.requests()) - before < 12
    paper.clear_faults()
    Tracker(clock=timezone.now).pass_once()
    assert Order.objects.get().status == "canceled"


def test_questions_wait_while_the_exchange_wants_a_pause(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    paper.fault(**ORDER, method="POST", action="status", value=429, retry_after=30)
    deliver(solo.alert(BTC_LIMIT))
    before = len(paper.requests())

    track()

    assert len(paper.requests()) == before


# Exits whose first attempt proves not to exist


def assert_closed_by_the_second_attempt(desk, first="rejected"):
    closes = Order.objects.filter(qty_per__lt=0).order_by("attempt")
    assert [(order.attempt, order.status) for order in closes] == [(1, first), (2, "filled")]
    assert desk.held("A1") == "0"


def test_an_exit_that_was_refused_for_our_clock_is_sent_again(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET))
    paper.fault(**ORDER, method="POST", action="code", value=-1021)

    deliver(solo.alert(BTC_CLOSE))

    assert_closed_by_the_second_attempt(solo)


def test_an_exit_that_provably_never_left_is_sent_again_at_once(deliver, paper, solo, monkeypatch):
    deliver(solo.alert(BTC_MARKET))
    real, calls = BinanceFutures.place_order, []

    async def refuse_once(self, request):
        calls.append(request)
        if len(calls) == 1:
            raise NotSent("The exchange could not be reached.")
        return await real(self, request)

    with monkeypatch.context() as patch:
        patch.setattr(BinanceFutures, "place_order", refuse_once)
        (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert (close["status"], close["order_status"], close["remaining"]) == ("success", "filled", "0")
    assert_closed_by_the_second_attempt(solo)
    first, second = Order.objects.filter(qty_per__lt=0).order_by("attempt")
    assert second.submitted_at - first.closed_at < timedelta(seconds=1)


def test_an_exit_that_never_arrived_is_sent_again_once_that_is_proved(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET))
    paper.fault(**ORDER, method="POST", action="drop")
    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    assert (close["status"], close["order_status"]) == ("pending", "submitted")

    for seconds in (12, 24, 36, 90, 91):
        track(after_s=seconds)

    assert_closed_by_the_second_attempt(solo)


def test_an_exit_is_not_sent_again_once_it_was_to_be_canceled(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET))
    paper.fault(**ORDER, method="POST", action="drop")
    deliver(solo.alert(BTC_CLOSE))
    deliver(solo.alert(CANCEL_ALL))

    for seconds in (12, 24, 36, 90):
        track(after_s=seconds)

    assert [order.status for order in Order.objects.filter(qty_per__lt=0)] == ["canceled"]


def test_a_process_that_dies_between_a_refusal_and_the_next_attempt_loses_no_exit(deliver, paper, solo, edge):
    deliver(solo.alert(BTC_MARKET))
    paper.fault(**ORDER, method="POST", action="status", value=429, retry_after=1)

    with dying_at(client, "store_attempts"):
        deliver(solo.alert(BTC_CLOSE))
    abandon_all()
    edge.end_pauses()
    for seconds in (12, 24, 36, 90, 91):
        track(after_s=seconds)

    assert_closed_by_the_second_attempt(solo)


def test_an_attempt_that_was_added_to_a_finished_batch_is_run(
    deliver, paper, solo, settings, runs, edge, monkeypatch
):
    deliver(solo.alert(BTC_MARKET))
    sleeper = sleep_before_collecting(monkeypatch)
    paper.fault(**ORDER, method="POST", action="status", value=429, retry_after=600)
    settings.WEBHOOK_ANSWER_BUDGET_MS = 10
    deliver(solo.alert(BTC_CLOSE))
    eventually(gateway.pauses, what="the refusal, which nobody has read yet")
    abandon_all()
    track()
    assert Batch.objects.latest("pk").finished_at

    # It wakes after its lease, and finds that others took over.
    monkeypatch.setattr(batch_run, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 3600))
    sleeper.set()
    edge.end_pauses()
    assert all_end(runs)
    track(after_s=12)

    assert_closed_by_the_second_attempt(solo)


def sleep_before_collecting(monkeypatch):
    """Whoever runs a delivery sends, and then sleeps until the test wakes it; trackers stay awake."""
    collect, awake = ExecutionClient.collect, threading.Event()

    def collect_awake(self, *, timeout_s):
        if not self.actor.startswith("tracker"):
            awake.wait(LONG_S)
        return collect(self, timeout_s=timeout_s)

    monkeypatch.setattr(ExecutionClient, "collect", collect_awake)
    return awake


# What is known of a resting order is as old as the question


def test_an_exit_does_not_trust_an_answer_that_is_older_than_itself(
    deliver, paper, solo, settings, runs, edge
):
    deliver(solo.alert(BTC_LIMIT))
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100
    with ThreadPoolExecutor(1) as threads:
        old_answer = edge.hold("fetch_order", times=1)
        pass_of_a_tracker = threads.submit(track_and_close)
        old_answer.wait_for()  # answered "open", and on its way
        paper.set_prices({"BTCUSDT": "89999"})
        own_question = edge.hold("fetch_order", before=True)
        deliver(solo.alert(BTC_CLOSE, qty_per=-50))  # a full exit cancels the entry instead of asking
        own_question.wait_for()

        old_answer.release()
        pass_of_a_tracker.result()

    assert len(solo.posts("A1")) == 1
    own_question.release()
    assert all_end(runs)
    assert Order.objects.latest("pk").status == "filled"
    assert solo.held("A1") == "5.556"


def track_and_close():
    try:
        track()
    finally:
        connections.close_all()


def test_a_half_exit_waits_for_what_became_of_the_one_before(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, qty_per=None, qty="1"))
    paper.fault(**ORDER, method="POST", action="drop", when="after")
    deliver(solo.alert(BTC_CLOSE, qty_per="-50"))

    deliver(solo.alert(BTC_CLOSE, qty_per="-50"))

    assert solo.held("A1") == "0.25"


def test_an_exit_that_cannot_learn_what_is_held_keeps_no_thread(
    deliver, paper, solo, settings, runs, monkeypatch
):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 300
    monkeypatch.setattr(batch_run, "time", SimpleNamespace(monotonic=lambda: 20 * time.monotonic()))
    deliver(solo.alert(BTC_LIMIT))
    paper.fault(**ORDER, method="GET", action="code", value=-2015, times=None)
    before = len(paper.requests())

    deliver(solo.alert(BTC_CLOSE, qty_per=-50))

    assert all_end(runs)
    assert len(paper.requests()) - before < 10
    assert Order.objects.latest("pk").status == "initialized"


# Halting with everything closed


def halt(desk):
    return change_trading_state(
        desk.strategy,
        TradingState.HALTED,
        reason="drill",
        actor=PERSON,
        clock=timezone.now,
        cancel_all=True,
        close_all=True,
    )


def test_a_halt_closes_what_is_held_and_holds(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET))

    halt(solo)

    assert solo.held("A1") == "0"
    assert solo.strategy.trading_state == TradingState.HALTED


def test_a_halt_lets_exits_through_until_what_was_on_its_way_is_known(deliver, solo, settings, runs, edge):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100
    slow = edge.hold("place_order", before=True, times=1)
    deliver(solo.alert(BTC_MARKET))
    slow.wait_for()

    halt(solo)
    assert solo.strategy.trading_state == TradingState.REDUCE_ONLY
    slow.release()
    assert all_end(runs)
    track()
    halt(solo)

    assert solo.held("A1") == "0"
    assert solo.strategy.trading_state == TradingState.HALTED


# A pause that begins between an order's turn and its leaving


def test_what_a_pause_overtakes_waits_like_what_comes_behind_it(
    deliver, solo, settings, runs, edge, monkeypatch
):
    deliver(solo.alert(BTC_LIMIT, dry_run=True))  # markets are known
    hold = state_lock.shared_hold

    def pause_and_hold():  # the order's turn has come, and it is not written as submitted yet
        monkeypatch.setattr(state_lock, "shared_hold", hold)
        edge.pause()
        return hold()

    monkeypatch.setattr(state_lock, "shared_hold", pause_and_hold)
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100

    deliver(solo.alert(BTC_LIMIT))

    eventually(Order.objects.filter(status="queued").exists, what="the next attempt waits")
    edge.end_pauses()
    assert all_end(runs)
    orders = Order.objects.order_by("attempt")
    assert [(order.status, order.reason) for order in orders] == [("rejected", "throttled"), ("accepted", "")]
    assert len(solo.posts("A1")) == 1


# Cancel all


def test_cancel_all_reaches_an_entry_before_it_is_sent(deliver, solo, settings, runs, edge):
    deliver(solo.alert(BTC_MARKET, dry_run=True))  # markets and prices are known
    settings.WEBHOOK_ANSWER_BUDGET_MS = 200
    edge.pause()
    deliver(solo.alert(BTC_MARKET))
    settings.WEBHOOK_ANSWER_BUDGET_MS = 30_000

    (canceled,) = deliver(solo.alert(CANCEL_ALL)).json()["results"]

    assert (canceled["status"], canceled["order_status"]) == ("success", "canceled")
    edge.end_pauses()
    assert all_end(runs)
    assert solo.posts("A1") == []


def test_cancel_all_leaves_an_exit_that_waits(deliver, solo, settings, runs, edge):
    deliver(solo.alert(BTC_MARKET))
    settings.WEBHOOK_ANSWER_BUDGET_MS = 200
    edge.pause()
    deliver(solo.alert(BTC_CLOSE))

    deliver(solo.alert(CANCEL_ALL))

    edge.end_pauses()
    assert all_end(runs)
    assert solo.held("A1") == "0"
