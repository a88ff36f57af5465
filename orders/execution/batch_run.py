"""Runs one batch: accounts side by side, each account's steps one after another.

A step is an order or a cancel instruction. Its turn comes when the account's earlier steps are over, in this batch and,
for the same symbol, in every earlier batch of the strategy, whichever process runs those. What a crash leaves is run
again by whoever claims the batch next; orders that may have been sent are then left to the tracker's look-ups.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from exchanges.failpoints import failpoint
from orders.domain.lifecycle import UNSENT
from orders.execution.cancel_instructions import cancel_waiting, mark_for_cancel
from orders.execution.client import ExecutionClient, OrderCall
from orders.execution.queue import AccountQueue, EarlierSteps, Step, account_queues, earlier_steps, wake_up
from orders.execution.reference_prices import ReferencePrices
from orders.execution.submission import submit_orders
from orders.models import Batch, Cancellation, Order

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=8)
_LEAVE_FOR, _LEAVE_FOR_LONGEST = timedelta(seconds=30), timedelta(minutes=5)
_ASK_AGAIN_S = 16
_LOOK_AGAIN_S = 0.2  # how often a step looks whether a run of another process has let it pass
_HAND_OVER_AFTER_S = (
    20  # with nothing to do but wait, a run gives its thread back; the tracker goes on with it
)

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Question:
    """When an order was last asked about, and for how long that has to do, by the monotonic clock."""

    asked: float
    patience_s: float = 1

    @classmethod
    def after(cls, before: "Question | None", now: float) -> "Question":
        return cls(now) if before is None else cls(now, min(2 * before.patience_s, _ASK_AGAIN_S))

    def is_due(self, now: float) -> bool:
        return now - self.asked >= self.patience_s


class BatchRun:
    """`orders` and `cancellations` are the batch's own rows, in memory, and stay up to date while it runs."""

    def __init__(
        self,
        batch: Batch,
        orders: Sequence[Order],
        cancellations: Sequence[Cancellation],
        *,
        by: str,
        clock: Clock,
    ) -> None:
        self.batch = batch
        self.orders = list(orders)
        self.cancellations = list(cancellations)
        self.canceled: list[Order] = []
        self.completed = threading.Event()  # every step is over
        self.finished = threading.Event()  # and nothing more is written
        self._by = by
        self._clock = clock
        self._client = ExecutionClient(actor=by, clock=clock)
        self._queues = account_queues([*orders, *cancellations])
        self._queue_of: dict[int, AccountQueue] = {}  # order pk -> lane of the step that its call belongs to
        self._prices = ReferencePrices(clock)
        self._renew_at = time.monotonic() + LEASE.total_seconds() / 4
        self._idle_since: float | None = None
        self._asked: dict[int, Question] = {}  # by order pk
        self._moved = False  # whether a step ended in this turn of the loop

    def run(self) -> None:
        """Returns when every step is over. The caller holds the batch's lease."""
        try:
            self._cancel_waiting()
            while self._queues and self._keep_lease() and not self._waits_too_long():
                seen, self._moved = wake_up.count(), False
                self._begin(self._ready())
                self._collect(seen)
            if not self._queues:
                self.completed.set()
                Batch.objects.finish(self.batch.pk, by=self._by, now=self._clock())
                Batch.objects.wake_followers(self.batch, now=self._clock())
        finally:
            self.completed.set()
            self.finished.set()

    def _cancel_waiting(self) -> None:
        left = [cancellation for cancellation in self.cancellations if cancellation.released_at is None]
        if left:
            cancel_waiting(left, actor=self._by, now=self._clock(), found=self.canceled)

    # Turns

    def _ready(self) -> list[tuple[AccountQueue, Step]]:
        idle = [(queue, queue.steps[0]) for queue in self._queues.values() if not queue.working]
        unsure = [(queue, step) for queue, step in idle if step.symbol not in queue.free_symbols]
        if unsure:
            earlier = earlier_steps(self.batch, [step for _, step in unsure])
            self._free_symbols(unsure, earlier)
        return [(queue, step) for queue, step in idle if step.symbol in queue.free_symbols]

    @staticmethod
    def _free_symbols(unsure: Iterable[tuple[AccountQueue, Step]], earlier: EarlierSteps) -> None:
        for queue, step in unsure:
            if not earlier.block(step):
                queue.free_symbols.add(step.symbol)

    def _begin(self, ready: Sequence[tuple[AccountQueue, Step]]) -> None:
        orders = [step for _, step in ready if isinstance(step, Order)]
        cancellations = [step for _, step in ready if isinstance(step, Cancellation)]
        queues = {id(step): queue for queue, step in ready}
        if orders:
            self._begin_orders(orders, queues)
        if cancellations:
            self._begin_cancellations(cancellations, queues)

    def _begin_orders(self, orders: Sequence[Order], queues: dict[int, AccountQueue]) -> None:
        failpoint("turn begun, not claimed")
        turn = submit_orders(orders, prices=self._prices, actor=self._by, now=self._clock())
        for order in turn.sent:
            queues[id(order)].working = 1
            self._queue_of[order.pk] = queues[id(order)]
        held = {id(order) for order in (*turn.sent, *turn.waiting)}
        self._client.place(turn.sent)
        self._ask(turn.ask)
        # What another run only queued meanwhile has its turn again.
        over = [order for order in orders if id(order) not in held and order.status not in UNSENT]
        _leave_to_look_ups(over, self._clock())
        self._advance([queues[id(order)] for order in over])

    def _ask(self, resting: Sequence[Order]) -> None:
        """Looks up resting orders that an exit waits for; each at once, then ever less often."""
        now = time.monotonic()
        due = [order for order in resting if order.pk not in self._asked or self._asked[order.pk].is_due(now)]
        for order in due:
            self._asked[order.pk] = Question.after(self._asked.get(order.pk), now)
        self._client.look_up(due)

    def _begin_cancellations(
        self, cancellations: Sequence[Cancellation], queues: dict[int, AccountQueue]
    ) -> None:
        at_exchange = mark_for_cancel(
            cancellations, actor=self._by, now=self._clock(), found=self.canceled, own=self.orders
        )
        for cancellation, orders in at_exchange.items():
            queue = queues[id(cancellation)]
            queue.working = len(orders)
            self._queue_of.update({order.pk: queue for order in orders})
            self._client.cancel(orders)
        self._release([step for step in cancellations if not queues[id(step)].working])
        self._advance([queues[id(step)] for step in cancellations if not queues[id(step)].working])

    # Answers

    def _collect(self, seen: int) -> None:
        if self._client.under_way:
            waits = any(not queue.working for queue in self._queues.values())
            self._end(self._client.collect(timeout_s=_LOOK_AGAIN_S if waits else LEASE.total_seconds() / 4))
        elif self._queues and not self._moved:
            wake_up.wait(seen, timeout_s=_LOOK_AGAIN_S)
        is_busy = self._moved or any(queue.working for queue in self._queues.values())
        self._idle_since = None if is_busy else self._idle_since or time.monotonic()

    def _waits_too_long(self) -> bool:
        """Paused exchanges may want hours: no thread is kept for that long."""
        if self._idle_since is None or time.monotonic() - self._idle_since < _HAND_OVER_AFTER_S:
            return False
        now = self._clock()
        pause = min(max(_LEAVE_FOR, (now - self.batch.created_at) / 4), _LEAVE_FOR_LONGEST)
        Batch.objects.leave(self.batch.pk, by=self._by, until=now + pause)
        logger.info("batch left to the tracker batch=%s", self.batch.pk)
        return True

    def _end(self, over: Sequence[OrderCall]) -> None:
        done = []
        for order_call in over:
            queue = self._queue_of.pop(order_call.order.pk, None)
            if queue is None:
                continue  # a look-up for an exit that waits
            queue.working -= 1
            self._retry(order_call, queue)
            if not queue.working:
                done.append(queue)
        self._release([queue.steps[0] for queue in done])
        self._advance(done)

    def _retry(self, order_call: OrderCall, queue: AccountQueue) -> None:
        """Puts another attempt right behind the one that was refused for now."""
        if order_call.again is not None and queue.steps[0] is order_call.order:
            self.orders.append(order_call.again)
            queue.steps.insert(1, order_call.again)

    def _release(self, steps: Sequence[Step]) -> None:
        """Lets later batches pass."""
        now = self._clock()
        for model in (Order, Cancellation):
            pks = [step.pk for step in steps if isinstance(step, model) and step.released_at is None]
            if pks:
                model.objects.filter(pk__in=pks).update(released_at=now)
        if steps:
            wake_up.notify()

    def _advance(self, queues: Iterable[AccountQueue]) -> None:
        for queue in queues:
            queue.steps.popleft()
            self._moved = True
        self._queues = {key: queue for key, queue in self._queues.items() if queue.steps}

    def _keep_lease(self) -> bool:
        """Renews in good time; false when another process took over, which then does the rest."""
        if time.monotonic() < self._renew_at:
            return True
        self._renew_at = time.monotonic() + LEASE.total_seconds() / 4
        if Batch.objects.claim(self.batch.pk, by=self._by, now=self._clock(), lease=LEASE):
            return True
        logger.warning("batch taken over batch=%s", self.batch.pk)
        return False


def resume_batch(batch: Batch, *, by: str, clock: Clock) -> BatchRun:
    """A run of what is left of a batch that someone else began. Orders that may have been sent are only marked."""
    orders = list(batch.orders.unreleased().select_related("account", "strategy_account"))
    sent = [order for order in orders if order.status not in UNSENT]
    _leave_to_look_ups(sent, clock())
    left = [order for order in orders if order not in sent]
    return BatchRun(batch, left, list(batch.cancellations.unreleased()), by=by, clock=clock)


def _leave_to_look_ups(orders: Iterable[Order], now: datetime) -> None:
    """Ends the turn of orders that another run has sent, or that are over: whether it still listens, nobody knows."""
    unreleased = [order.pk for order in orders if order.released_at is None]
    if not unreleased:
        return
    rows = Order.objects.filter(pk__in=unreleased)
    rows.in_flight().filter(unknown_since__isnull=True).update(unknown_since=now)
    rows.filter(released_at__isnull=True).update(released_at=now)
