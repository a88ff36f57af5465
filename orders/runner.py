"""Runs one batch: accounts side by side, each account's steps one after another.

A step is an order or a cancel instruction. Its turn comes when the account's earlier steps are over, in this batch and,
for the same symbol, in every earlier batch of the strategy, whichever process runs those. What a crash leaves is run
again by whoever claims the batch next; orders that may have been sent are then left to the tracker's look-ups.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from exchanges.failpoints import failpoint
from orders.enums import OrderStatus
from orders.errands import Errand, Errands
from orders.models import Batch, Cancellation, Order
from orders.pricing import PriceDesk
from orders.sending import prepare
from orders.turns import Blocked, bell, blocked_places
from orders.withdrawing import withdraw, withdraw_waiting

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=8)
_LEAVE_FOR, _LEAVE_FOR_LONGEST = timedelta(seconds=30), timedelta(minutes=5)
_ASK_AGAIN_S = 16
_LOOK_AGAIN_S = 0.2  # how often a step looks whether a run of another process has let it pass
_HAND_OVER_AFTER_S = (
    20  # with nothing to do but wait, a run gives its thread back; the tracker goes on with it
)

WAITING = (OrderStatus.INITIALIZED, OrderStatus.QUEUED)

Step = Order | Cancellation
Clock = Callable[[], datetime]


@dataclass(slots=True)
class Lane:
    """One account's steps. `working` counts the calls of the step whose turn it is."""

    steps: deque[Step]
    working: int = 0
    passed: set[str] = field(default_factory=set)  # symbols that no earlier batch holds any more


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
        self.settled = threading.Event()  # every step is over
        self.finished = threading.Event()  # and nothing more is written
        self._by = by
        self._clock = clock
        self._errands = Errands(actor=by, clock=clock)
        self._lanes = _lanes([*orders, *cancellations])
        self._lane_of: dict[int, Lane] = {}  # order pk -> lane of the step that its call belongs to
        self._desk = PriceDesk(clock)
        self._renew_at = time.monotonic() + LEASE.total_seconds() / 4
        self._idle_since: float | None = None
        self._asked: dict[int, Question] = {}  # by order pk
        self._moved = False  # whether a step ended in this turn of the loop

    def run(self) -> None:
        """Returns when every step is over. The caller holds the batch's lease."""
        try:
            self._withdraw_waiting()
            while self._lanes and self._keep_lease() and not self._waits_too_long():
                heard, self._moved = bell.times(), False
                self._begin(self._ready())
                self._collect(heard)
            if not self._lanes:
                self.settled.set()
                Batch.objects.finish(self.batch.pk, by=self._by, now=self._clock())
                Batch.objects.wake_followers(self.batch, now=self._clock())
        finally:
            self.settled.set()
            self.finished.set()

    def _withdraw_waiting(self) -> None:
        left = [cancellation for cancellation in self.cancellations if cancellation.settled_at is None]
        if left:
            withdraw_waiting(left, actor=self._by, now=self._clock(), found=self.canceled)

    # Turns

    def _ready(self) -> list[tuple[Lane, Step]]:
        idle = [(lane, lane.steps[0]) for lane in self._lanes.values() if not lane.working]
        unsure = [(lane, step) for lane, step in idle if step.symbol not in lane.passed]
        if unsure:
            blocked = blocked_places(self.batch, [step for _, step in unsure])
            self._pass(unsure, blocked)
        return [(lane, step) for lane, step in idle if step.symbol in lane.passed]

    @staticmethod
    def _pass(unsure: Iterable[tuple[Lane, Step]], blocked: Blocked) -> None:
        for lane, step in unsure:
            if not blocked.holds(step):
                lane.passed.add(step.symbol)

    def _begin(self, ready: Sequence[tuple[Lane, Step]]) -> None:
        orders = [step for _, step in ready if isinstance(step, Order)]
        cancellations = [step for _, step in ready if isinstance(step, Cancellation)]
        lanes = {id(step): lane for lane, step in ready}
        if orders:
            self._begin_orders(orders, lanes)
        if cancellations:
            self._begin_cancellations(cancellations, lanes)

    def _begin_orders(self, orders: Sequence[Order], lanes: dict[int, Lane]) -> None:
        failpoint("K5")
        turn = prepare(orders, desk=self._desk, actor=self._by, now=self._clock())
        for order in turn.sent:
            lanes[id(order)].working = 1
            self._lane_of[order.pk] = lanes[id(order)]
        held = {id(order) for order in (*turn.sent, *turn.waiting)}
        self._errands.place(turn.sent)
        self._ask(turn.ask)
        # What another run only queued meanwhile has its turn again.
        over = [order for order in orders if id(order) not in held and order.status not in WAITING]
        _leave_to_look_ups(over, self._clock())
        self._advance([lanes[id(order)] for order in over])

    def _ask(self, resting: Sequence[Order]) -> None:
        """Looks up resting orders that an exit waits for; each at once, then ever less often."""
        now = time.monotonic()
        due = [order for order in resting if order.pk not in self._asked or self._asked[order.pk].is_due(now)]
        for order in due:
            self._asked[order.pk] = Question.after(self._asked.get(order.pk), now)
        self._errands.look_up(due)

    def _begin_cancellations(self, cancellations: Sequence[Cancellation], lanes: dict[int, Lane]) -> None:
        at_exchange = withdraw(
            cancellations, actor=self._by, now=self._clock(), found=self.canceled, own=self.orders
        )
        for cancellation, orders in at_exchange.items():
            lane = lanes[id(cancellation)]
            lane.working = len(orders)
            self._lane_of.update({order.pk: lane for order in orders})
            self._errands.cancel(orders)
        self._settle([step for step in cancellations if not lanes[id(step)].working])
        self._advance([lanes[id(step)] for step in cancellations if not lanes[id(step)].working])

    # Answers

    def _collect(self, heard: int) -> None:
        if self._errands.under_way:
            waits = any(not lane.working for lane in self._lanes.values())
            self._end(self._errands.collect(timeout_s=_LOOK_AGAIN_S if waits else LEASE.total_seconds() / 4))
        elif self._lanes and not self._moved:
            bell.wait(heard, timeout_s=_LOOK_AGAIN_S)
        is_busy = self._moved or any(lane.working for lane in self._lanes.values())
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

    def _end(self, over: Sequence[Errand]) -> None:
        done = []
        for errand in over:
            lane = self._lane_of.pop(errand.order.pk, None)
            if lane is None:
                continue  # a look-up for an exit that waits
            lane.working -= 1
            self._retry(errand, lane)
            if not lane.working:
                done.append(lane)
        self._settle([lane.steps[0] for lane in done])
        self._advance(done)

    def _retry(self, errand: Errand, lane: Lane) -> None:
        """Puts another attempt right behind the one that was refused for now."""
        if errand.again is not None and lane.steps[0] is errand.order:
            self.orders.append(errand.again)
            lane.steps.insert(1, errand.again)

    def _settle(self, steps: Sequence[Step]) -> None:
        """Lets later batches pass."""
        now = self._clock()
        for model in (Order, Cancellation):
            pks = [step.pk for step in steps if isinstance(step, model) and step.settled_at is None]
            if pks:
                model.objects.filter(pk__in=pks).update(settled_at=now)
        if steps:
            bell.ring()

    def _advance(self, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            lane.steps.popleft()
            self._moved = True
        self._lanes = {key: lane for key, lane in self._lanes.items() if lane.steps}

    def _keep_lease(self) -> bool:
        """Renews in good time; false when another process took over, which then does the rest."""
        if time.monotonic() < self._renew_at:
            return True
        self._renew_at = time.monotonic() + LEASE.total_seconds() / 4
        if Batch.objects.claim(self.batch.pk, by=self._by, now=self._clock(), lease=LEASE):
            return True
        logger.warning("batch taken over batch=%s", self.batch.pk)
        return False


def _lanes(steps: Iterable[Step]) -> dict[int, Lane]:
    lanes: dict[int, Lane] = {}
    for step in sorted(steps, key=lambda step: step.sequence):
        if step.settled_at is None:
            lanes.setdefault(step.strategy_account_id, Lane(deque())).steps.append(step)
    return lanes


def resume(batch: Batch, *, by: str, clock: Clock) -> BatchRun:
    """A run of what is left of a batch that someone else began. Orders that may have been sent are only marked."""
    orders = list(batch.orders.unsettled().select_related("account", "strategy_account"))
    sent = [order for order in orders if order.status not in WAITING]
    _leave_to_look_ups(sent, clock())
    left = [order for order in orders if order not in sent]
    return BatchRun(batch, left, list(batch.cancellations.unsettled()), by=by, clock=clock)


def _leave_to_look_ups(orders: Iterable[Order], now: datetime) -> None:
    """Ends the turn of orders that another run has sent, or that are over: whether it still listens, nobody knows."""
    unsettled = [order.pk for order in orders if order.settled_at is None]
    if not unsettled:
        return
    rows = Order.objects.filter(pk__in=unsettled)
    rows.in_flight().filter(unknown_since__isnull=True).update(unknown_since=now)
    rows.filter(settled_at__isnull=True).update(settled_at=now)
