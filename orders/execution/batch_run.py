"""Runs one batch: accounts side by side, each account's steps one after another.

A step is an order or a cancel instruction. A step's turn comes when the account's earlier steps are over, in this batch
and, for the same symbol, in every earlier batch of the strategy, also in a batch that another process runs. After a
crash the next process that claims the batch runs the remaining steps, and leaves orders that may have been sent to the
tracker's look-ups.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from exchanges.enums import MarketType
from exchanges.failpoints import failpoint
from orders.domain.enums import GoalState, OrderStatus
from orders.domain.keys import HoldingKey, PositionKey
from orders.domain.lifecycle import OPEN, UNSENT, conclude_status
from orders.execution.cancel_instructions import cancel_waiting, cancel_waiting_entries, mark_for_cancel
from orders.execution.client import ExecutionClient, OrderCall
from orders.execution.completion import Completion
from orders.execution.evidence import compare_soon, read_holdings_soon
from orders.execution.queue import AccountQueue, EarlierSteps, Step, account_queues, earlier_steps
from orders.execution.wake_up import wake_up
from orders.exits.pursuit import Pursuit, pursue
from orders.exits.resting import mark_exits_beyond_positions
from orders.models import Batch, Cancellation, ExitGoal, Order
from orders.protection.registration import asks_for_protection
from orders.protection.upkeep import Claim, keep_protections
from orders.turns.reference_prices import ReferencePrices
from orders.turns.submission import submit_orders

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=8)
_LEAVE_FOR_AT_LEAST, _LEAVE_FOR_AT_MOST = timedelta(seconds=30), timedelta(minutes=5)
_READ_EVERY_S = 4  # one holding
_LONGEST_INTERVAL_S = 16  # between two look-ups of one order
# Between two checks whether another process has released an earlier step: rarer, the longer the run has waited.
_RECHECK_S, _RECHECK_AT_MOST_S = 0.2, 1.0
_PURSUE_WITHIN = timedelta(seconds=2)  # a goal that is due so soon is pursued by the run, else by the tracker
_HAND_OVER_AFTER_S = 20  # a run in which all steps only wait for so long leaves the batch to the tracker

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class LastLookUp:
    """The time of an order's last look-up (monotonic clock) and the interval until the next look-up."""

    asked: float
    interval_s: float = 1

    @classmethod
    def after(cls, before: "LastLookUp | None", now: float) -> "LastLookUp":
        return cls(now) if before is None else cls(now, min(2 * before.interval_s, _LONGEST_INTERVAL_S))

    def is_next_due(self, now: float) -> bool:
        return now - self.asked >= self.interval_s


class BatchRun:
    """`orders` and `cancellations` are the batch's rows in memory; the run keeps the instances up to date."""

    def __init__(
        self,
        batch: Batch,
        orders: Sequence[Order],
        cancellations: Sequence[Cancellation],
        *,
        by: str,
        clock: Clock,
        owner: int,
    ) -> None:
        """`owner` is the user for whose share of this process the run counts."""
        self.batch = batch
        self.owner = owner
        self.orders = list(orders)
        self.cancellations = list(cancellations)
        self.canceled: list[Order] = []
        self.gave_way: list[Order] = []  # entries that exits of this batch canceled
        self.warnings: list[str] = []  # about the alert, for the answer
        self.completed = Completion()  # every step is over, or the run has ended without the last steps
        self.finished = threading.Event()  # the run writes nothing more
        self.start_follower: Callable[[BatchRun], None] | None = (
            None  # starts the run of a batch that follows
        )
        self._by = by
        self._clock = clock
        self._woken = threading.Event()
        # Called by events on any thread: a look is worth it in so many seconds. The engine puts its own in place.
        self.notify: Callable[[float], None] = lambda after_s: self._woken.set()
        self._has_begun = False
        self._is_alone = False  # every earlier batch was over when this one was stored
        self._client = ExecutionClient(actor=by, clock=clock, owner=owner)
        self._client.notify_when_answered(lambda after_s: self.notify(after_s))
        self._queues = account_queues([*orders, *cancellations])
        self._queue_of: dict[int, AccountQueue] = {}  # by order pk: the queue whose step made the call
        self._prices = ReferencePrices(clock, self._wake, owner=owner)
        self._renew_at = time.monotonic() + LEASE.total_seconds() / 4
        self._idle_since: float | None = None
        self._look_ups: dict[int, LastLookUp] = {}  # by order pk: orders for which an exit waits
        self._compared: set[int] = set()  # accounts that this run had compared
        self._holdings_read: dict[HoldingKey, float] = {}  # when asked for, by the monotonic clock
        self._without_list: set[int] = set()  # goals that wait until their market list was read again
        self._step_ended = False  # in this turn of the loop

    @property
    def is_urgent(self) -> bool:
        """Whether an exit or a cancel is next."""
        return any(_is_urgent(queue.steps[0]) for queue in self._queues.values())

    def free_all_symbols(self) -> None:
        """No step waits for an earlier batch: the caller knows that every earlier batch is over."""
        self._is_alone = True
        for queue in self._queues.values():
            queue.free_symbols |= {step.symbol for step in queue.steps}

    def run(self) -> None:
        """Advances the run on this thread until its end. The caller holds the batch's lease."""
        while (wait_s := self.advance()) is not None:
            self._woken.wait(wait_s)
            self._woken.clear()

    def advance(self) -> float | None:
        """Does what can be done now. Returns the seconds until the next look, at an event sooner; None at the end.

        The run ends when every step is over, or when the batch was left to the tracker or taken over. The caller holds
        the batch's lease.
        """
        wait_s = None
        try:
            wait_s = self._advance()
        finally:
            if wait_s is None:
                wake_up.forget(self.batch.strategy_id, self.batch.pk)
                self.completed.set()
                self.finished.set()
        return wait_s

    def _advance(self) -> float | None:
        if not self._has_begun:
            self._has_begun = True
            self._cancel_waiting()
        elif self._waits_for_group():
            return self._client.next_group_in_s()
        while self._queues:
            if not self._keep_lease() or self._hand_over_if_idle():
                return None
            self._step_ended = False
            self._end_calls(self._client.collect_ready())
            self._look_at_goals()
            self._begin_steps(self._ready_steps())
            self._note_idleness()
            if not self._step_ended:
                if self._lacks_only_trades():
                    self.completed.set()
                return self._wait_s()
        self.completed.set()
        Batch.objects.finish(self.batch, by=self._by, now=self._clock())
        return None

    def _waits_for_group(self) -> bool:
        """Whether the first of several answers has come, and nothing else can be done."""
        is_all_working = all(queue.working for queue in self._queues.values())
        return is_all_working and (self._client.next_group_in_s() or 0.0) > 0

    def _lacks_only_trades(self) -> bool:
        """Whether nothing is missing but trades of entries whose fills the exchange has reported.

        An entry with protective exits is answered with these, and so waits for its trades.
        """
        return all(
            len(queue.steps) == 1
            and _is_plain_entry(queue.steps[0])
            and queue.steps[0].pk in self._client.reported
            for queue in self._queues.values()
        )

    def as_reported(self, order: Order) -> Order:
        """The order as the exchange's answer says, also before the order's trades are booked.

        A thread may be booking the trades now, and the order may show these before the status that follows.
        """
        report = self._client.reported.get(order.pk)
        if report is None or report.filled < order.filled or order.status not in OPEN:
            return order
        shown = copy(order)
        shown.filled, shown.average = report.filled, report.average
        quantity: Decimal = order.quantity or Decimal(0)
        shown.status = conclude_status(OrderStatus(order.status), quantity, report.filled, report)
        return shown

    def _note_idleness(self) -> None:
        is_busy = self._step_ended or any(queue.working for queue in self._queues.values())
        self._idle_since = None if is_busy else self._idle_since or time.monotonic()

    def _wait_s(self) -> float:
        until_renewal = max(0.0, self._renew_at - time.monotonic())
        if any(not queue.working for queue in self._queues.values()):
            idle_s = 0.0 if self._idle_since is None else time.monotonic() - self._idle_since
            until_renewal = min(until_renewal, max(_RECHECK_S, min(idle_s / 4, _RECHECK_AT_MOST_S)))
        return min(until_renewal, self._client.next_group_in_s() or until_renewal)

    def _wake(self) -> None:
        self.notify(0.0)

    def _cancel_waiting(self) -> None:
        if self._is_alone:
            return  # nothing of an earlier batch waits
        unreleased = [cancellation for cancellation in self.cancellations if cancellation.released_at is None]
        if unreleased:
            cancel_waiting(unreleased, actor=self._by, now=self._clock(), found=self.canceled)
        full = [order.goal for order in self.orders if order.goal is not None and order.goal.is_full]
        if full:
            self.gave_way += cancel_waiting_entries(full, actor=self._by, now=self._clock())

    # Turns

    def _ready_steps(self) -> list[tuple[AccountQueue, Step]]:
        idle = [
            (queue, step)
            for queue in self._queues.values()
            if not queue.working and not isinstance(step := queue.steps[0], ExitGoal)
        ]
        blocked = [(queue, step) for queue, step in idle if step.symbol not in queue.free_symbols]
        if blocked:
            # Before the look, so that no release between the look and the wait is missed.
            self._await_turns(blocked)
            self._free_symbols(blocked, earlier_steps(self.batch, [step for _, step in blocked]))
            self._await_turns(
                [(queue, step) for queue, step in blocked if step.symbol not in queue.free_symbols]
            )
        return [(queue, step) for queue, step in idle if step.symbol in queue.free_symbols]

    def _await_turns(self, blocked: Iterable[tuple[AccountQueue, Step]]) -> None:
        accounts = {step.strategy_account_id for _, step in blocked}
        if accounts:
            wake_up.wait(self.batch.strategy_id, self.batch.pk, accounts, self._wake)
        else:
            wake_up.forget(self.batch.strategy_id, self.batch.pk)

    @staticmethod
    def _free_symbols(blocked: Iterable[tuple[AccountQueue, Step]], earlier: EarlierSteps) -> None:
        for queue, step in blocked:
            if not earlier.block(step):
                queue.free_symbols.add(step.symbol)

    def _begin_steps(self, ready: Sequence[tuple[AccountQueue, Step]]) -> None:
        orders = [step for _, step in ready if isinstance(step, Order)]
        cancellations = [step for _, step in ready if isinstance(step, Cancellation)]
        queues = {id(step): queue for queue, step in ready}
        if orders:
            self._begin_orders(orders, queues)
        if cancellations:
            self._begin_cancellations(cancellations, queues)

    def _begin_orders(self, orders: Sequence[Order], queues: dict[int, AccountQueue]) -> None:
        failpoint("turn begun, not claimed")
        turn = submit_orders(orders, prices=self._prices, actor=self._by, now=self._clock(), owner=self.owner)
        for order in turn.sent:
            queues[id(order)].working = 1
            self._queue_of[order.pk] = queues[id(order)]
        not_over = {id(order) for order in (*turn.sent, *turn.waiting)}
        self._client.place(turn.sent)
        if turn.in_the_way:
            self.gave_way += [order for order in turn.in_the_way if order.goal_id is None]
            self._client.cancel(turn.in_the_way)
        self._look_up_unsure(turn.unsure)
        self._read_holdings(turn.in_question)
        self._compare_accounts(turn.not_compared, orders)
        # An order that another run meanwhile moved to `queued` is not over: the order's turn comes again.
        over = [order for order in orders if id(order) not in not_over and order.status not in UNSENT]
        _leave_to_look_ups(over, self._clock())
        self._tell_of_release(over)
        ended = [queues[id(order)] for order in over]
        self._pursue_goals(ended)
        self._advance_queues(ended)

    def _look_up_unsure(self, orders: Iterable[Order]) -> None:
        """Looks up orders for which an exit waits: each order at once, then less and less often."""
        now = time.monotonic()
        last = self._look_ups
        due = [order for order in orders if order.pk not in last or last[order.pk].is_next_due(now)]
        for order in due:
            last[order.pk] = LastLookUp.after(last.get(order.pk), now)
        self._client.look_up(due)

    def _read_holdings(self, keys: Iterable[HoldingKey]) -> None:
        now = time.monotonic()
        due = [key for key in keys if now - self._holdings_read.get(key, -_READ_EVERY_S) >= _READ_EVERY_S]
        if due:
            self._holdings_read |= dict.fromkeys(due, now)
            read_holdings_soon(due, owner=self.owner, clock=self._clock, notify=self._wake)

    def _compare_accounts(self, accounts: set[int], orders: Sequence[Order]) -> None:
        due = accounts - self._compared
        if due:
            self._compared |= due
            symbols = {order.symbol for order in orders if order.account_id in due}
            kind = MarketType(orders[0].market_type)
            compare_soon(due, kind, symbols, owner=self.owner, clock=self._clock, notify=self._wake)

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
        self._release_steps([step for step in cancellations if not queues[id(step)].working])
        self._advance_queues([queues[id(step)] for step in cancellations if not queues[id(step)].working])

    # Answers

    def _hand_over_if_idle(self) -> bool:
        """Leaves the batch to the tracker after a long wait; returns whether the run left the batch.

        An exchange may ask for a pause of hours, and no run renews a lease for so long.
        """
        if self._idle_since is None or time.monotonic() - self._idle_since < _HAND_OVER_AFTER_S:
            return False
        now = self._clock()
        leave_for = min(max(_LEAVE_FOR_AT_LEAST, (now - self.batch.created_at) / 4), _LEAVE_FOR_AT_MOST)
        Batch.objects.leave(self.batch.pk, by=self._by, until=now + leave_for)
        logger.info("batch left to the tracker batch=%s", self.batch.pk)
        return True

    def _end_calls(self, over: Iterable[OrderCall]) -> None:
        idle = []
        for order_call in over:
            queue = self._queue_of.pop(order_call.order.pk, None)
            if queue is None:
                continue  # a look-up for a waiting exit belongs to no step
            queue.working -= 1
            self._insert_next_attempt(order_call, queue)
            if not queue.working:
                idle.append(queue)
        self._release_steps([queue.steps[0] for queue in idle])
        self._protect_entries([queue.steps[0] for queue in idle])
        self._pursue_goals(idle)
        self._advance_queues(idle)

    def _protect_entries(self, steps: Sequence[Step]) -> None:
        """Makes the protective exits of entries that were just filled. The tracker makes those of a later fill."""
        entries = [step for step in steps if isinstance(step, Order) and asks_for_protection(step)]
        filled = {entry.position_key for entry in entries if entry.filled}
        if not filled:
            return
        start = self.start_follower
        claim = Claim(self._by, LEASE) if start else None
        upkeep = keep_protections(now=self._clock(), prices={}, only=filled, claim=claim)
        if upkeep.canceled:
            self._client.cancel(upkeep.canceled)
        if start is not None:
            for batch in upkeep.batches:
                start(resume_batch(batch, by=self._by, clock=self._clock, owner=self.owner))

    # Exit goals

    def _look_at_goals(self) -> None:
        """Looks at the goals whose next attempt is due; a goal waits at the head of its queue."""
        now = self._clock()
        due = [
            queue
            for queue in self._queues.values()
            if isinstance(goal := queue.steps[0], ExitGoal) and self._is_due(goal, now)
        ]
        if due:
            self._pursue_goals(due)
            self._advance_queues(
                [queue for queue in due if _goal_pk(queue.steps[0]) not in self._without_list]
            )

    def _is_due(self, goal: ExitGoal, now: datetime) -> bool:
        return goal.pk in self._without_list or goal.due_at is None or goal.due_at <= now

    def _pursue_goals(self, queues: Sequence[AccountQueue]) -> None:
        """Decides what follows the ended steps, and puts the next attempt, or the waiting goal, right behind each.

        The tracker pursues the goals whose next attempt is further away.
        """
        queue_of: dict[int | None, AccountQueue] = {
            pk: queue for queue in queues if (pk := _goal_pk(queue.steps[0])) is not None
        }
        if not queue_of:
            return
        now = self._clock()
        wanted = [pk for pk in queue_of if pk is not None]
        pursuit = pursue(wanted, now=now, list_arrived=self._wake, owner=self.owner)
        self._wait_for_lists(pursuit, queue_of)
        self._show_goals(pursuit)
        if pursuit.contradicted:
            read_holdings_soon(pursuit.contradicted, owner=self.owner, clock=self._clock, notify=self._wake)
        changed = _changed(pursuit) & pursuit.resting
        beyond = mark_exits_beyond_positions(actor=self._by, now=now, only=changed) if changed else []
        if beyond:
            self._client.cancel(beyond)
        for attempt in pursuit.attempts:
            self.orders.append(attempt)
            queue_of[attempt.goal_id].steps.insert(1, attempt)
        for goal_pk, entry in pursuit.entries.items():
            self.orders.append(entry)
            queue_of[goal_pk].steps.insert(1, entry)
        for goal in _waiting_goals(pursuit, now):
            queue_of[goal.pk].steps.insert(1, goal)

    def _wait_for_lists(self, pursuit: Pursuit, queue_of: Mapping[int | None, AccountQueue]) -> None:
        """Puts the goals that wait for a market list right behind their ended steps; the run holds no thread."""
        self._without_list -= queue_of.keys()
        self._without_list |= pursuit.waiting
        for pk in pursuit.waiting:
            step = queue_of[pk].steps[0]
            if isinstance(step, Order) and step.goal is not None:
                queue_of[pk].steps.insert(1, step.goal)

    def _show_goals(self, pursuit: Pursuit) -> None:
        """Brings the goals of the orders in memory up to date: the answer is built from these."""
        for order in self.orders:
            if order.goal is not None and order.goal.pk in pursuit.goals:
                order.goal.adopt(pursuit.goals[order.goal.pk])

    def _insert_next_attempt(self, order_call: OrderCall, queue: AccountQueue) -> None:
        """Puts the next attempt, if any, right behind the refused attempt."""
        if order_call.next_attempt is not None and queue.steps[0] is order_call.order:
            self.orders.append(order_call.next_attempt)
            queue.steps.insert(1, order_call.next_attempt)

    def _release_steps(self, steps: Sequence[Step]) -> None:
        """Marks the steps as released, so that later batches may begin steps for the same account and symbol."""
        now = self._clock()
        for model in (Order, Cancellation):
            pks = [step.pk for step in steps if isinstance(step, model) and step.released_at is None]
            if pks:
                model.objects.filter(pk__in=pks).update(released_at=now)
        self._tell_of_release(steps)

    def _tell_of_release(self, steps: Iterable[Step]) -> None:
        accounts = {step.strategy_account_id for step in steps}
        if accounts:
            wake_up.notify(self.batch.strategy_id, accounts)

    def _advance_queues(self, queues: Iterable[AccountQueue]) -> None:
        for queue in queues:
            queue.steps.popleft()
            self._step_ended = True
        self._queues = {key: queue for key, queue in self._queues.items() if queue.steps}

    def _keep_lease(self) -> bool:
        """Renews the lease in good time; false when another process took over the batch and runs the rest."""
        if time.monotonic() < self._renew_at:
            return True
        self._renew_at = time.monotonic() + LEASE.total_seconds() / 4
        if Batch.objects.claim(self.batch.pk, by=self._by, now=self._clock(), lease=LEASE):
            return True
        logger.warning("batch taken over batch=%s", self.batch.pk)
        return False


def _is_urgent(step: Step) -> bool:
    return not isinstance(step, Order) or step.is_closing


def _is_plain_entry(step: Step) -> bool:
    return isinstance(step, Order) and not step.is_closing and not asks_for_protection(step)


def _goal_pk(step: Step) -> int | None:
    if isinstance(step, ExitGoal):
        return step.pk
    return step.goal_id if isinstance(step, Order) else None


def _is_due_soon(goal: ExitGoal, now: datetime) -> bool:
    """Whether the run waits for the goal's next attempt. No run keeps a thread for a goal that is only looked at."""
    if goal.state != GoalState.WORKING or goal.due_at is None:
        return False
    is_young = now - goal.created_at < timedelta(seconds=_HAND_OVER_AFTER_S)
    return is_young and goal.due_at - now <= _PURSUE_WITHIN


def _waiting_goals(pursuit: Pursuit, now: datetime) -> list[ExitGoal]:
    """The goals without a new attempt for whose next one the run waits."""
    sent = {attempt.goal_id for attempt in pursuit.attempts}
    return [goal for pk, goal in pursuit.goals.items() if pk not in sent and _is_due_soon(goal, now)]


def _changed(pursuit: Pursuit) -> set[PositionKey]:
    """The positions from which an attempt may have taken something."""
    return {goal.position_key for goal in pursuit.goals.values() if not goal.rests}


def resume_batch(batch: Batch, *, by: str, clock: Clock, owner: int | None = None) -> BatchRun:
    """A run of the remaining steps of a batch that another process began, for the strategy's owner by default.

    Orders that may have been sent are only marked as of unknown outcome, for the tracker's look-ups.
    """
    orders = list(batch.orders.unreleased().select_related("account", "strategy_account", "goal"))
    sent = [order for order in orders if order.status not in UNSENT]
    _leave_to_look_ups(sent, clock())
    unsent = [order for order in orders if order not in sent]
    share = batch.strategy.owner_id if owner is None else owner
    return BatchRun(batch, unsent, list(batch.cancellations.unreleased()), by=by, clock=clock, owner=share)


def _leave_to_look_ups(orders: Iterable[Order], now: datetime) -> None:
    """Ends the turn of orders that are over, or that another run has sent.

    An order in flight becomes an order of unknown outcome, because the other run may have stopped listening.
    """
    unreleased = [order.pk for order in orders if order.released_at is None]
    if not unreleased:
        return
    rows = Order.objects.filter(pk__in=unreleased)
    rows.in_flight().filter(unknown_since__isnull=True).update(unknown_since=now)
    rows.filter(released_at__isnull=True).update(released_at=now)
