"""Exits that must not be lost, undersized or refused."""

import threading
import time

import pytest
from django.utils import timezone

from exchanges.adapters.binance import BinanceFutures
from exchanges.enums import TradingState
from exchanges.errors import NotSent
from exchanges.gateway import gateway
from orders.controls.trading_state import change_trading_state
from orders.execution import batches, client, submission
from orders.models import Batch, Order, Position
from orders.reconciliation.tracker import Tracker
from tests.crash import abandon_all, dying_at, track
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = {"path": "/fapi/v1/order"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def paused():
    """The exchange wants to hear nothing for so many seconds."""

    return lambda seconds: gateway.pause("paper", seconds)


def test_an_exit_closes_what_a_resting_entry_filled_a_moment_ago(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    paper.set_prices({"BTCUSDT": "89999"})

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert (close["order_status"], close["filled"]) == ("filled", "11.111")
    assert solo.held("A1") == "0"


def test_an_exit_waits_for_trades_that_the_exchange_lists_late(deliver, paper, solo, monkeypatch):
    real, asked = BinanceFutures._fills, []

    async def late(self, *args):
        asked.append(args)
        return [] if len(asked) == 1 else await real(self, *args)

    monkeypatch.setattr(BinanceFutures, "_fills", late)
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


def test_an_exit_that_never_arrived_is_sent_again_once_that_is_proved(deliver, paper, solo, monkeypatch):
    deliver(solo.alert(BTC_MARKET))

    async def refuse(self, request):
        raise NotSent("The exchange could not be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(BinanceFutures, "place_order", refuse)
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


def test_a_process_that_dies_between_a_refusal_and_the_next_attempt_loses_no_exit(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET))
    paper.fault(**ORDER, method="POST", action="status", value=429, retry_after=1)

    with dying_at(client, "store_attempts"):
        deliver(solo.alert(BTC_CLOSE))
    abandon_all()
    time.sleep(1.2)
    for seconds in (12, 24, 36, 90, 91):
        track(after_s=seconds)

    assert_closed_by_the_second_attempt(solo)


def test_an_attempt_that_was_added_to_a_finished_batch_is_run(deliver, paper, solo, monkeypatch, settings):
    deliver(solo.alert(BTC_MARKET))
    paper.fault(**ORDER, method="POST", action="status", value=429, retry_after=1)
    started = []
    with monkeypatch.context() as patch:
        patch.setattr(batches, "start_run", started.append)
        settings.WEBHOOK_ANSWER_BUDGET_MS = 10
        deliver(solo.alert(BTC_CLOSE))
    (sleeper,) = started
    sleeper._begin(sleeper._ready())
    time.sleep(0.5)  # the answer is here, and the process that waits for it sleeps
    abandon_all()
    track()
    assert Batch.objects.get(pk=sleeper.batch.pk).finished_at

    sleeper._collect(0)  # it wakes, and finds that others took over
    sleeper._renew_at = 0
    sleeper.run()
    time.sleep(1.2)
    track(after_s=12)

    assert_closed_by_the_second_attempt(solo)


# What is known of a resting order is as old as the question


def test_an_exit_does_not_trust_an_answer_that_is_older_than_itself(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    tracker = Tracker(clock=timezone.now)
    paper.fault(**ORDER, method="GET", when="after", action="delay", value=1)
    # The exchange answers "open", and the answer is on its way for a second.
    tracker._start_look_ups(tracker._working_orders(everything=True))
    time.sleep(0.3)
    paper.set_prices({"BTCUSDT": "89999"})
    paper.fault(**ORDER, method="GET", when="before", action="delay", value=2)
    writer = threading.Thread(target=lambda: tracker._finish_calls(tracker._client.collect(timeout_s=5)))
    writer.start()

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    writer.join()

    assert close["order_status"] == "filled"
    assert solo.held("A1") == "0"


def test_a_half_exit_waits_for_what_became_of_the_one_before(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, qty_per=None, qty="1"))
    paper.fault(**ORDER, method="POST", action="drop", when="after")
    deliver(solo.alert(BTC_CLOSE, qty_per="-50"))

    deliver(solo.alert(BTC_CLOSE, qty_per="-50"))

    assert solo.held("A1") == "0.25"


def test_an_exit_that_cannot_learn_what_is_held_keeps_no_thread(deliver, paper, solo, settings, runs):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 300
    deliver(solo.alert(BTC_LIMIT))
    paper.fault(**ORDER, method="GET", action="code", value=-2015, times=None)
    before = len(paper.requests())

    deliver(solo.alert(BTC_CLOSE))

    assert runs[-1].finished.wait(25)
    assert len(paper.requests()) - before < 10
    assert Order.objects.latest("pk").status == "initialized"


# Halting with everything closed


def halt(desk):
    return change_trading_state(
        desk.strategy,
        TradingState.HALTED,
        reason="drill",
        actor="user:1",
        clock=timezone.now,
        cancel_all=True,
        close_all=True,
    )


def test_a_halt_closes_what_is_held_and_holds(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET))

    halt(solo)

    assert solo.held("A1") == "0"
    assert solo.strategy.trading_state == TradingState.HALTED


def test_a_halt_lets_exits_through_until_what_was_on_its_way_is_known(deliver, paper, solo, settings, runs):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 300
    paper.fault(**ORDER, method="POST", action="delay", when="before", value=2)
    deliver(solo.alert(BTC_MARKET))

    halt(solo)
    assert solo.strategy.trading_state == TradingState.REDUCE_ONLY
    assert all(run.finished.wait(20) for run in runs)
    track()
    halt(solo)

    assert solo.held("A1") == "0"
    assert solo.strategy.trading_state == TradingState.HALTED


# A pause that begins between an order's turn and its leaving


def test_what_a_pause_overtakes_waits_like_what_comes_behind_it(deliver, paper, solo, paused, monkeypatch):
    deliver(solo.alert(BTC_LIMIT, dry_run=True))  # markets are known
    blind = iter([False])
    real = submission._is_paused
    monkeypatch.setattr(submission, "_is_paused", lambda order: next(blind, real(order)))
    paused(1)

    (result,) = deliver(solo.alert(BTC_LIMIT)).json()["results"]

    assert result["order_status"] == "accepted"
    orders = Order.objects.order_by("attempt")
    assert [(order.status, order.reason) for order in orders] == [("rejected", "throttled"), ("accepted", "")]
    assert len(solo.posts("A1")) == 1


# Cancel all


def test_cancel_all_reaches_an_entry_before_it_is_sent(deliver, paper, solo, settings, runs, paused):
    deliver(solo.alert(BTC_MARKET, dry_run=True))  # markets and prices are known
    settings.WEBHOOK_ANSWER_BUDGET_MS = 200
    paused(2)
    deliver(solo.alert(BTC_MARKET))

    (canceled,) = deliver(solo.alert(CANCEL_ALL)).json()["results"]

    assert (canceled["status"], canceled["order_status"]) == ("success", "canceled")
    assert all(run.finished.wait(20) for run in runs)
    assert solo.posts("A1") == []


def test_cancel_all_leaves_an_exit_that_waits(deliver, paper, solo, settings, runs, paused):
    deliver(solo.alert(BTC_MARKET))
    settings.WEBHOOK_ANSWER_BUDGET_MS = 200
    paused(2)
    deliver(solo.alert(BTC_CLOSE))

    deliver(solo.alert(CANCEL_ALL))

    assert all(run.finished.wait(20) for run in runs)
    assert solo.held("A1") == "0"
