"""The tracker: resumes abandoned batches, resolves unknown outcomes and follows open orders.

Every step may run twice, and in two processes at once: a process claims a batch, a status changes by compare-and-set,
and a trade counts once.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from secrets import token_hex

from django.conf import settings
from django.db import close_old_connections

from exchanges import pauses
from exchanges.enums import MarketType
from exchanges.errors import ExchangeError, OrderNotFound
from exchanges.gateway import Line, gateway
from exchanges.market_data import catalog
from exchanges.market_data.prices import Key, fetch_fresh
from exchanges.models import Account
from orders.controls.circuit_breaker import trip_circuit_breakers
from orders.controls.heartbeat import note_silence
from orders.domain.enums import OrderStatus
from orders.domain.lifecycle import OPEN, still_open
from orders.execution import batches
from orders.execution.batch_run import LEASE, BatchRun, resume_batch
from orders.execution.client import ExecutionClient, OrderCall
from orders.exits.pursuit import due_goals, pursue
from orders.exits.resting import mark_exits_beyond_positions
from orders.models import Batch, Cancellation, HoldingCheck, Order
from orders.outside.adoption import look_up_waiting
from orders.outside.books_gap import watch_books
from orders.outside.holdings import compare_wanted, want_comparison
from orders.outside.income import READ_EVERY, collect_income
from orders.protection.prices import PriceWatch
from orders.protection.upkeep import keep_protections, watched_prices
from orders.reconciliation.absence import conclude_absent, note_absent, note_found
from orders.reconciliation.comparison import ComparisonWeight, compare_accounts
from orders.reconciliation.following import Following
from orders.reconciliation.request_weight import Rooms
from orders.reconciliation.sharing import Sharing, is_any_alive, is_certainly_gone

logger = logging.getLogger(__name__)

RECONCILE_EVERY_S = 30
_LOOK_AGAIN_S = 0.02
_PART_OF_INCOME = 0.03  # of an exchange's request weight, of which questions that can wait may use half
_REST_OF_INCOME_S = 60  # until the accounts without room are tried again
# Look-ups of orders that moved go at once within this part of an exchange's weight, and beyond it like other questions.
_PART_OF_URGENT, _KEEP_URGENT = 0.1, timedelta(seconds=15)
_WEIGHT_OF_TRADES = 5  # of reading an order's trades, which follows a look-up
_ROUNDS = 20  # of one complete pass: an exit above the largest market order takes one round per part
SOONEST, LATEST = timedelta(seconds=1), timedelta(seconds=30)


class Tracker:
    """Works in turns: `step` for the loop of the process, `pass_once` for one complete pass."""

    def __init__(self, *, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._name = f"tracker:{batches.process_name()}"
        self._client = ExecutionClient(actor=self._name, clock=clock)
        self._under_way: set[int] = set()
        self._canceling: set[int] = set()
        self._runs: dict[int, BatchRun] = {}  # by batch
        self._sharing = Sharing(f"{self._name}:{token_hex(4)}")
        self._following = Following(clock, trackers=self._count_trackers)
        self._comparison_weight = ComparisonWeight.shared_by(self._count_trackers)
        self._income_weight = Rooms(_PART_OF_INCOME, keep=timedelta(minutes=1), trackers=self._count_trackers)
        self._urgent_weight = Rooms(_PART_OF_URGENT, keep=_KEEP_URGENT, trackers=self._count_trackers)
        self._background = ThreadPoolExecutor(settings.TRACKER_THREADS, thread_name_prefix="reconcile")
        self._comparing: Future[list[Order]] | None = None
        self._comparing_wanted: Future[None] | None = None
        self._compare_at = self._income_at = 0.0
        self._prices = PriceWatch(clock)
        self._list_arrived = threading.Event()
        self._awaits_lists = False  # goals wait for a market list

    def pass_once(self, *, everything: bool = True) -> None:
        """Does all work that is possible now, and waits for the work's end.

        Without `everything`, working orders looked up lately and accounts compared lately are left out, and comparing
        and following are left to a live tracker.
        """
        watch_books(now=self._clock())
        pauses.synchronize(now=self._clock())
        self._resume_abandoned()
        # A batch may wait for the lease of another process to run out, or for the outcome of an earlier order.
        while self._running_batches():
            self._look_up(self._unsure_orders())
            time.sleep(_LOOK_AGAIN_S)
            self._resume_abandoned()
        # Look-ups before the comparison: an order's own answer tells more of the order than the account's history.
        self._look_up(self._unsure_orders(everything=True))
        if everything or not is_any_alive(now=self._clock()):
            self._look_up_contradicted(compare_accounts(clock=self._clock, everything=everything))
            self._wait_for_calls()
            collect_income(clock=self._clock, everything=everything)
            self._follow(everything=everything)
            self._wait_for_calls()
        trip_circuit_breakers(now=self._clock())
        note_silence(now=self._clock())
        for _ in range(_ROUNDS):
            compare_wanted(clock=self._clock)
            is_busy = self._pursue_goals_to_the_end()
            self._wait_for_calls()
            if not (self._keep_protections(fetch_fresh(watched_prices(), now=self._clock())) or is_busy):
                break
            self._wait_for_calls()
            self._resume_abandoned()
            while self._running_batches():
                self._look_up(self._unsure_orders())
                time.sleep(_LOOK_AGAIN_S)
        self._wait_for_calls()

    def _look_up(self, orders: Iterable[Order], *, can_wait: bool = False) -> None:
        """Looks up the orders and waits for the answers, and for the calls that follow from the answers."""
        self._start_look_ups(orders, can_wait=can_wait)
        self._wait_for_calls()

    def _wait_for_calls(self) -> None:
        while self._client.under_way or self._following.under_way:
            self._collect(timeout_s=settings.EXCHANGE_TIMEOUT_S)

    def _collect(self, *, timeout_s: float) -> None:
        """Waits for answers to look-ups and lists, and acts on the answers."""
        if self._following.under_way:
            timeout_s = min(timeout_s, _LOOK_AGAIN_S)
        if self._client.under_way:
            self._finish_calls(self._client.collect(timeout_s=timeout_s))
            changed = self._following.take()
        else:
            changed = self._following.wait(timeout_s)
        if changed:
            self._look_up_changed(changed)

    def _look_up_changed(self, changed: Sequence[Order]) -> None:
        now = self._clock()
        urgent = {order.pk for order in changed if self._has_room_for_urgent(order, now)}
        self._start_look_ups(order for order in changed if order.pk in urgent)
        self._start_look_ups((order for order in changed if order.pk not in urgent), can_wait=True)

    def _has_room_for_urgent(self, order: Order, now: datetime) -> bool:
        line = Line(order.account.exchange, MarketType(order.market_type))
        weight = gateway.capabilities(*line).weights.order + _WEIGHT_OF_TRADES
        return self._urgent_weight.spend(line, weight, now=now)

    def _look_up_contradicted(self, contradicted: Sequence[Order]) -> None:
        """Looks up the closed orders contradicted by the exchange; the answer may reopen an order."""
        for order in contradicted:
            logger.error("late evidence order=%s status=%s", order.client_order_id, order.status)
        self._start_look_ups(contradicted)

    def _reconcile_in_background(self) -> None:
        """Compares accounts on a thread of its own: a slow exchange must not keep the loop from other orders."""
        if self._comparing is not None and self._comparing.done():
            # Cleared before a failure of the comparison is raised, because the next comparison may succeed.
            compared, self._comparing = self._comparing, None
            self._look_up_contradicted(compared.result())
        if self._comparing is None and time.monotonic() >= self._compare_at:
            self._compare_at = time.monotonic() + RECONCILE_EVERY_S
            with_income = time.monotonic() >= self._income_at
            if with_income:
                self._income_at = time.monotonic() + READ_EVERY.total_seconds()
            self._comparing = self._background.submit(self._compare_on_thread, with_income)
            trip_circuit_breakers(now=self._clock())
            note_silence(now=self._clock())

    def _compare_on_thread(self, with_income: bool) -> list[Order]:
        close_old_connections()
        try:
            contradicted = compare_accounts(clock=self._clock, weight=self._comparison_weight)
            if with_income and not collect_income(clock=self._clock, has_room=self._has_room_for_income):
                self._income_at = time.monotonic() + _REST_OF_INCOME_S
            return contradicted
        finally:
            close_old_connections()

    def _has_room_for_income(self, account: Account) -> bool:
        line = Line(account.exchange, MarketType.FUTURES)
        weight = gateway.capabilities(*line).weights.income
        return self._income_weight.spend(line, weight, now=self._clock())

    def _compare_wanted_in_background(self) -> None:
        """Compares the holdings for which evidence asks, beside the regular comparison: an exit may wait for it."""
        if self._comparing_wanted is not None and self._comparing_wanted.done():
            compared, self._comparing_wanted = self._comparing_wanted, None
            compared.result()
        if self._comparing_wanted is None and HoldingCheck.objects.wanted().exists():
            self._comparing_wanted = self._background.submit(_compare_wanted_on_thread, self._clock)

    def step(self, *, for_s: float) -> None:
        """Runs one turn of the loop: starts the due work and writes answers for `for_s` seconds."""
        until = time.monotonic() + for_s
        watch_books(now=self._clock())
        pauses.synchronize(now=self._clock())
        self._resume_abandoned()
        self._reconcile_in_background()
        self._compare_wanted_in_background()
        self._start_look_ups(o for o in self._unsure_orders() if self._sharing.has(o.account_id))
        self._follow()
        self._pursue_goals()
        self._keep_protections(self._prices.look(watched_prices()))
        while (left := until - time.monotonic()) > 0:
            if self._client.under_way or self._following.under_way:
                self._collect(timeout_s=left)
            else:
                time.sleep(min(left, 0.1))
        # Last, because a tracker whose turns break off must not keep its accounts from the others.
        self._sharing.note_turn(now=self._clock())

    def _count_trackers(self) -> int:
        return self._sharing.trackers

    def leave(self) -> None:
        """Hands the accounts over to the other trackers. Called at the end of the process."""
        self._sharing.leave()

    # Batches

    def _running_batches(self) -> dict[int, BatchRun]:
        self._runs = {pk: run for pk, run in self._runs.items() if not run.finished.is_set()}
        return self._runs

    def _resume_abandoned(self) -> None:
        _reopen_unfinished()
        now, ours = self._clock(), self._running_batches()
        left_alone = {*ours, *look_up_waiting(clock=self._clock)}
        for batch in Batch.objects.unfinished().select_related("strategy").order_by("pk"):
            if batch.pk in left_alone or not _is_abandoned(batch, now):
                continue
            by = f"{self._name}:{batch.pk}"
            if Batch.objects.take_over(batch, by=by, now=now, lease=LEASE):
                logger.info("batch resumed batch=%s from=%s", batch.pk, batch.claimed_by)
                self._runs[batch.pk] = run = resume_batch(batch, by=by, clock=self._clock)
                batches.start_run(run)

    # Orders

    def _unsure_orders(self, *, everything: bool = False) -> list[Order]:
        """Returns the due orders in flight whose turn is over, so no batch run waits for the answer.

        With `everything`, all such orders are due.
        """
        now = self._clock()
        rows = Order.objects.in_flight().filter(released_at__isnull=False).select_related("account")
        return [order for order in rows if everything or _is_due(order, now)]

    def _follow(self, *, everything: bool = False) -> None:
        is_ours = (lambda _: True) if everything else self._sharing.has
        alone = self._following.start(is_ours=is_ours, everything=everything)
        self._start_look_ups(alone, can_wait=True)

    def _start_look_ups(self, orders: Iterable[Order], *, can_wait: bool = False) -> None:
        due = [order for order in orders if order.pk not in self._under_way]
        if not due:
            return
        self._open_catalogs(due)
        Order.objects.filter(pk__in=[order.pk for order in due]).update(asked_at=self._clock())
        self._under_way |= {order.pk for order in due}
        self._client.look_up(due, can_wait=can_wait)

    def _open_catalogs(self, orders: Iterable[Order]) -> None:
        """Opens the orders' market catalogs, because the adapter reads an answer with the exchange's markets."""
        for exchange, kind in {(order.account.exchange, order.market_type) for order in orders}:
            opened = catalog.catalog_or_error(Line(exchange, MarketType(kind)), now=self._clock())
            if isinstance(opened, ExchangeError):
                logger.warning("markets unavailable exchange=%s code=%s", exchange, opened.code)

    def _finish_calls(self, over: Sequence[OrderCall]) -> None:
        if not over:
            return
        now = self._clock()
        self._under_way -= {order_call.order.pk for order_call in over}
        note_found(e.order for e in over if e.error is None)
        _stamp_answered([e.order for e in over if e.error is None or isinstance(e.error, OrderNotFound)], now)
        absent = [e.order for e in over if isinstance(e.error, OrderNotFound) and e.order.status in OPEN]
        if absent:
            note_absent(absent, now=now)
            conclude_absent(absent, actor=self._name, now=now)
        canceled = {order_call.order.pk for order_call in over} & self._canceling
        self._canceling -= canceled
        self._cancel_again([e for e in over if e.error is None and e.order.pk not in canceled])

    def forget_calls(self) -> None:
        """Drops the calls under way after a failure in a turn. The orders are looked up again when due."""
        self._under_way.clear()
        self._canceling.clear()
        self._client = ExecutionClient(actor=self._name, clock=self._clock)
        self._following = Following(self._clock, trackers=self._count_trackers)

    def _cancel_again(self, found: Iterable[OrderCall]) -> None:
        """Sends the cancel of a `pending_cancel` order again where the exchange still has the order open.

        The cancel never arrived, and a second cancel does no harm. A cancel refused again and again is sent once per
        look-up, and look-ups are paced.
        """
        again = [
            order_call.order
            for order_call in found
            if order_call.order.status == OrderStatus.PENDING_CANCEL
            and order_call.report
            and still_open(order_call.report)
        ]
        self._cancel_orders(again)

    def _pursue_goals(self) -> bool:
        """Pursues the due goals, and cancels resting exits beyond their positions. Returns whether there is more to do.

        The batches of the new attempts are abandoned, so the next turn resumes the batches.
        """
        now = self._clock()
        due = due_goals(now=now).values_list("pk", flat=True)
        pursuit = pursue(due, now=now, list_arrived=self._list_arrived.set)
        self._awaits_lists = bool(pursuit.waiting)
        if pursuit.contradicted:
            want_comparison(pursuit.contradicted, now=now)
        beyond = mark_exits_beyond_positions(actor=self._name, now=now)
        for order in beyond:
            logger.info("exit beyond its position canceled order=%s", order.client_order_id)
        self._open_catalogs(beyond)
        self._cancel_orders(beyond)
        return bool(pursuit.attempts or pursuit.entries or beyond or pursuit.contradicted)

    def _pursue_goals_to_the_end(self) -> bool:
        """As `_pursue_goals`, and waits for the market lists that are read again."""
        is_busy = self._pursue_goals()
        while self._awaits_lists:
            self._list_arrived.wait(settings.EXCHANGE_TIMEOUT_S)
            self._list_arrived.clear()
            is_busy |= self._pursue_goals()
        return is_busy

    def _keep_protections(self, prices: Mapping[Key, Decimal]) -> bool:
        """Brings protective exits up to date, and sends the cancels of those that are given up."""
        upkeep = keep_protections(now=self._clock(), prices=prices)
        self._open_catalogs(upkeep.canceled)
        self._cancel_orders(upkeep.canceled)
        return not upkeep.is_empty

    def _cancel_orders(self, orders: Sequence[Order]) -> None:
        if orders:
            self._under_way |= {order.pk for order in orders}
            self._canceling |= {order.pk for order in orders}
            self._client.cancel(orders)


def _compare_wanted_on_thread(clock: Callable[[], datetime]) -> None:
    close_old_connections()
    try:
        compare_wanted(clock=clock)
    finally:
        close_old_connections()


def _reopen_unfinished() -> None:
    """Reopens finished batches with an unreleased step: a process may add a step while another ends the batch."""
    left = {*Order.objects.unreleased().values_list("batch_id", flat=True)}
    left |= {*Cancellation.objects.unreleased().values_list("batch_id", flat=True)}
    Batch.objects.reopen(left)


def _is_abandoned(batch: Batch, now: datetime) -> bool:
    return batch.claimed_until is None or batch.claimed_until < now or is_certainly_gone(batch.claimed_by)


def _stamp_answered(orders: Sequence[Order], now: datetime) -> None:
    if orders:
        Order.objects.filter(pk__in=[order.pk for order in orders]).update(checked_at=now)


def _is_due(order: Order, now: datetime) -> bool:
    """Whether the time for a look-up of an order in flight has come.

    Look-ups get rarer the longer the outcome stays unknown. Without `unknown_since` a process may still wait for the
    answer, so the look-up comes only after the time-out of the call.
    """
    since = order.unknown_since or order.submitted_at or order.created_at
    asked = order.asked_at or order.submitted_at or order.created_at
    if order.unknown_since is None:
        return now - asked > timedelta(seconds=settings.EXCHANGE_TIMEOUT_S + 2)
    return now - asked >= min(max((now - since) / 2, SOONEST), LATEST)
