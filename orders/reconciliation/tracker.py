"""Keeps orders true after the answer: finishes what a crash left, settles unknown outcomes, follows open orders.

Everything here may run twice and in two processes at once: batches are claimed, statuses move by compare-and-set, and
a trade counts once.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

from django.conf import settings
from django.db import close_old_connections

from exchanges import pauses
from exchanges.enums import MarketType
from exchanges.errors import ExchangeError, OrderNotFound
from exchanges.market_data import catalog
from orders.controls.circuit_breaker import trip_circuit_breakers
from orders.domain.conclusions import still_open
from orders.domain.enums import OrderStatus
from orders.domain.lifecycle import IN_FLIGHT
from orders.execution import batches
from orders.execution.batch_run import LEASE, BatchRun, resume_batch
from orders.execution.client import ExecutionClient, OrderCall
from orders.models import Batch, Cancellation, Order
from orders.reconciliation.absence import conclude_absent, note_absent
from orders.reconciliation.comparison import compare_accounts
from orders.reconciliation.stale_exits import mark_stale_exits

logger = logging.getLogger(__name__)

RECONCILE_EVERY_S = 30
FOLLOW_EVERY = timedelta(seconds=5)
_LOOK_AGAIN_S = 0.02
SOONEST, LATEST = timedelta(seconds=1), timedelta(seconds=30)


class Tracker:
    def __init__(self, *, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._name = f"tracker:{batches.process_name()}"
        self._client = ExecutionClient(actor=self._name, clock=clock)
        self._under_way: set[int] = set()
        self._canceling: set[int] = set()
        self._runs: dict[int, BatchRun] = {}  # by batch
        self._background = ThreadPoolExecutor(1, thread_name_prefix="reconcile")
        self._comparing: Future[list[Order]] | None = None
        self._compare_at = 0.0

    def pass_once(self, *, everything: bool = True) -> None:
        """What can be done now, waited for. Without `everything`, what others followed lately is left to them."""
        pauses.synchronize(now=self._clock())
        self._resume_abandoned()
        while (
            self._running()
        ):  # one may wait for another's lease to run out, or for an earlier order's outcome
            self._look_up(self._unsure())
            time.sleep(_LOOK_AGAIN_S)
            self._resume_abandoned()
        self._reopen(compare_accounts(clock=self._clock, everything=everything))
        trip_circuit_breakers(now=self._clock())
        self._look_up(self._unsure(everything=True))
        self._look_up(self._working(everything=everything), can_wait=True)
        self._cancel_stale_exits()
        self._wait()

    def _look_up(self, orders: Iterable[Order], *, can_wait: bool = False) -> None:
        """Asks about these orders and waits for what follows."""
        self._start(orders, can_wait=can_wait)
        self._wait()

    def _wait(self) -> None:
        while self._client.under_way:
            self._finish(self._client.collect(timeout_s=settings.EXCHANGE_TIMEOUT_S))

    def _reopen(self, contradicted: Sequence[Order]) -> None:
        """Looks up again what an exchange shows otherwise than we closed it."""
        for order in contradicted:
            logger.error("late evidence order=%s status=%s", order.client_order_id, order.status)
        self._start(contradicted)

    def _reconcile_in_background(self) -> None:
        """An exchange that hangs must not keep the loop from following the others."""
        if self._comparing is not None and self._comparing.done():
            compared, self._comparing = self._comparing, None  # also when it failed: the next one may not
            self._reopen(compared.result())
        if self._comparing is None and time.monotonic() >= self._compare_at:
            self._compare_at = time.monotonic() + RECONCILE_EVERY_S
            self._comparing = self._background.submit(_compare, self._clock)
            trip_circuit_breakers(now=self._clock())

    def step(self, *, for_s: float) -> None:
        """One turn of the loop: starts what is due and writes answers for `for_s` seconds."""
        until = time.monotonic() + for_s
        pauses.synchronize(now=self._clock())
        self._resume_abandoned()
        self._reconcile_in_background()
        self._start(self._unsure())
        self._start(self._working(), can_wait=True)
        self._cancel_stale_exits()
        while (left := until - time.monotonic()) > 0:
            if self._client.under_way:
                self._finish(self._client.collect(timeout_s=left))
            else:
                time.sleep(min(left, 0.1))

    # Batches

    def _running(self) -> dict[int, BatchRun]:
        self._runs = {pk: run for pk, run in self._runs.items() if not run.finished.is_set()}
        return self._runs

    def _resume_abandoned(self) -> None:
        _reopen_unfinished()
        now, ours = self._clock(), self._running()
        for batch in Batch.objects.unfinished().order_by("pk"):
            if batch.pk in ours or not _is_abandoned(batch, now):
                continue
            by = f"{self._name}:{batch.pk}"
            if Batch.objects.take_over(batch, by=by, now=now, lease=LEASE):
                logger.info("batch resumed batch=%s from=%s", batch.pk, batch.claimed_by)
                self._runs[batch.pk] = run = resume_batch(batch, by=by, clock=self._clock)
                batches.start_run(run)

    # Orders

    def _unsure(self, *, everything: bool = False) -> list[Order]:
        """In flight without anyone waiting for the answer."""
        now = self._clock()
        rows = Order.objects.in_flight().filter(released_at__isnull=False).select_related("account")
        return [order for order in rows if everything or _is_due(order, now)]

    def _working(self, *, everything: bool = False) -> list[Order]:
        rows = Order.objects.working().exclude(status__in=IN_FLIGHT).select_related("account").order_by("?")
        limit = self._clock() - FOLLOW_EVERY
        return [order for order in rows if everything or (order.checked_at or order.created_at) < limit]

    def _start(self, orders: Iterable[Order], *, can_wait: bool = False) -> None:
        due = [order for order in orders if order.pk not in self._under_way]
        if not due:
            return
        self._open_catalogs(due)
        Order.objects.filter(pk__in=[order.pk for order in due]).update(checked_at=self._clock())
        self._under_way |= {order.pk for order in due}
        self._client.look_up(due, can_wait=can_wait)

    def _open_catalogs(self, orders: Iterable[Order]) -> None:
        """Answers are read with the exchange's markets at hand."""
        for exchange, kind in {(order.account.exchange, order.market_type) for order in orders}:
            try:
                catalog.open_catalog(exchange, MarketType(kind), now=self._clock())
            except ExchangeError as error:
                logger.warning("markets unavailable exchange=%s code=%s", exchange, error.code)

    def _finish(self, over: Sequence[OrderCall]) -> None:
        if not over:
            return
        now = self._clock()
        self._under_way -= {order_call.order.pk for order_call in over}
        absent = [e.order for e in over if isinstance(e.error, OrderNotFound) and e.order.status in IN_FLIGHT]
        if absent:
            note_absent(absent, now=now)
            conclude_absent(absent, actor=self._name, now=now)
        canceled = {order_call.order.pk for order_call in over} & self._canceling
        self._canceling -= canceled
        self._cancel_again([e for e in over if e.error is None and e.order.pk not in canceled])

    def forget_calls(self) -> None:
        """After a failure in between: what was under way is asked about again when it is due."""
        self._under_way.clear()
        self._canceling.clear()
        self._client = ExecutionClient(actor=self._name, clock=self._clock)

    def _cancel_again(self, found: Iterable[OrderCall]) -> None:
        """The exchange still has what was to be canceled: the cancel never arrived. Sending it twice does no harm.

        One that the exchange keeps refusing is sent once per look-up, and those are paced.
        """
        again = [
            order_call.order
            for order_call in found
            if order_call.order.status == OrderStatus.PENDING_CANCEL
            and order_call.report
            and still_open(order_call.report)
        ]
        self._cancel(again)

    def _cancel_stale_exits(self) -> None:
        stale = mark_stale_exits(actor=self._name, now=self._clock())
        for order in stale:
            logger.info("exit without a position withdrawn order=%s", order.client_order_id)
        self._open_catalogs(stale)
        self._cancel(stale)

    def _cancel(self, orders: Sequence[Order]) -> None:
        if orders:
            self._under_way |= {order.pk for order in orders}
            self._canceling |= {order.pk for order in orders}
            self._client.cancel(orders)


def _compare(clock: Callable[[], datetime]) -> list[Order]:
    close_old_connections()
    try:
        return compare_accounts(clock=clock)
    finally:
        close_old_connections()


def _reopen_unfinished() -> None:
    """A batch may have been finished at the moment when another process added a step to it."""
    left = {*Order.objects.unreleased().values_list("batch_id", flat=True)}
    left |= {*Cancellation.objects.unreleased().values_list("batch_id", flat=True)}
    Batch.objects.reopen(left)


def _is_abandoned(batch: Batch, now: datetime) -> bool:
    return batch.claimed_until is None or batch.claimed_until < now or _is_dead(batch.claimed_by)


def _is_dead(claimed_by: str) -> bool:
    """Whether the process that signed is known to be gone: one of this machine whose id nobody has."""
    host, _, rest = claimed_by.removeprefix("tracker:").partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname()[:40] or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _is_due(order: Order, now: datetime) -> bool:
    """Look-ups get rarer the longer an outcome stays unknown; where somebody may still wait for an answer, none."""
    since = order.unknown_since or order.submitted_at or order.created_at
    asked = order.checked_at or order.submitted_at or order.created_at
    if order.unknown_since is None:
        return now - asked > timedelta(seconds=settings.EXCHANGE_TIMEOUT_S + 2)
    return now - asked >= min(max((now - since) / 2, SOONEST), LATEST)
