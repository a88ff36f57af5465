"""Stores a plan as a batch, and runs the batch in the background; the caller decides how long to wait."""

import logging
import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from exchanges.database.new_keys import keys_of, new_keys, slot_of
from exchanges.database.prepared import Query, Slot, read_together
from exchanges.database.trips import Statement
from orders.domain.enums import Evidence, OrderStatus
from orders.execution.batch_run import LEASE, BatchRun
from orders.execution.engine import Engine
from orders.execution.planner import Plan
from orders.execution.queue import UNRELEASED_STEPS
from orders.execution.signals import FORMER_SIGNALS, compare_with_former
from orders.models import Batch, Cancellation, ExitGoal, Order, OrderEvent, Signal
from orders.models.bulk_write import Inserts
from orders.transactions import require_transaction
from strategies.models import Strategy

logger = logging.getLogger(__name__)

_KEY_COLUMNS = ("strategy_account", "leg")  # of each order and of each cancel instruction in a new batch
_ANY_BATCH = 2**63 - 1
_MODELS = (Batch, ExitGoal, Order, Cancellation)
_NEW_KEYS = new_keys(_MODELS, lambda: Strategy.objects.filter(pk=Slot("strategy")).order_by())

_making = threading.Lock()
_engines: dict[int, Engine] = {}  # by process id: a forked child must not use its parent's threads


def process_name() -> str:
    """The machine and the process id, with which leases and events are signed."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}"


@dataclass(frozen=True, slots=True)
class Before:
    """What an alert finds. Read under the lock on the strategy's row, so every earlier batch is known."""

    signals: list[Signal]  # of the symbols of the alert's orders
    has_unreleased_steps: bool
    inserts: Inserts  # of the rows of the alert, to which the caller adds its own

    @staticmethod
    def read(
        plan: Plan,
        strategy: Strategy,
        *others: Query[Any],
        first: Sequence[Statement],
        **values: Any,
    ) -> tuple["Before", list[list[Any]]]:
        """Reads the rows of `others` in the same statement; `values` are those of their slots beside `strategy`.

        `first` locks the strategy's row.
        """
        goals = sum(order.goal is not None for order in plan.orders)
        counts = {Batch: 1, ExitGoal: goals, Order: len(plan.orders), Cancellation: len(plan.cancellations)}
        keys, signals, orders, cancellations, *rest = read_together(
            _NEW_KEYS,
            FORMER_SIGNALS,
            *UNRELEASED_STEPS,
            *others,
            first=first,
            **values | {slot_of(model): count for model, count in counts.items()},
            strategy=strategy.pk,
            batch=_ANY_BATCH,
            symbols={order.symbol for order in plan.orders},
        )
        inserts = Inserts(using=DEFAULT_DB_ALIAS, keys=keys_of(_MODELS, keys))
        return Before(signals, bool(orders or cancellations), inserts), rest


def store_batch(
    plan: Plan,
    *,
    strategy: Strategy,
    signaled_at: datetime | None,
    now: datetime,
    before: Before | None = None,
    owner: int | None = None,
) -> BatchRun:
    """Writes the batch, claimed by this process, with all orders and cancel instructions.

    The run counts for the share of the user `owner`: the sender of an alert, by default the strategy's owner.
    With `before`, which is of an alert, the alert is compared with the alerts before: what comes late enters nothing,
    and what is missing is told. The caller runs `before.inserts` then.

    Raises RuntimeError outside of a transaction: one transaction stores a delivery together with the batch.
    """
    require_transaction()
    by = f"{process_name()}:{token_hex(4)}"
    batch = Batch(
        strategy=strategy, created_at=now, signaled_at=signaled_at, claimed_by=by, claimed_until=now + LEASE
    )
    inserts = Inserts(using=DEFAULT_DB_ALIAS) if before is None else before.inserts
    inserts.add([batch], key=())
    warnings: list[str] = []
    if before is not None:
        warnings, heard = compare_with_former(
            plan.orders,
            strategy=strategy,
            batch=batch,
            signaled_at=signaled_at,
            former=before.signals,
            now=now,
        )
        inserts.add_statements(heard)
    _store_goals(plan.orders, batch, inserts)
    for order in plan.orders:
        order.batch = batch
    for cancellation in plan.cancellations:
        cancellation.batch = batch
    inserts.add(plan.orders, key=_KEY_COLUMNS)
    inserts.add(plan.cancellations, key=_KEY_COLUMNS)
    if before is None:
        inserts.run()
    denied = [order for order in plan.orders if order.status == OrderStatus.DENIED]
    OrderEvent.objects.bulk_create([_denial_event(order, by) for order in denied])
    share = strategy.owner_id if owner is None else owner
    run = BatchRun(batch, plan.orders, plan.cancellations, by=by, clock=timezone.now, owner=share)
    run.warnings += warnings
    if before is not None and not before.has_unreleased_steps:
        run.free_all_symbols()
    return run


def _store_goals(orders: Sequence[Order], batch: Batch, inserts: Inserts) -> None:
    goals = {id(order): order.goal for order in orders if order.goal is not None}
    for goal in goals.values():
        goal.batch = batch
    inserts.add(list(goals.values()), key=_KEY_COLUMNS)
    for order in orders:
        if id(order) in goals:
            order.goal = goals[id(order)]  # again, because the goal has its primary key by now


def start_run(run: BatchRun) -> None:
    """Hands the run to the engine of this process. The caller has committed the batch."""
    run.start_follower = _start_follower
    _engine().start(run)


def _start_follower(run: BatchRun) -> None:
    start_run(run)


def drain(timeout_s: float) -> None:
    """Lets the runs of this process come to their ends. What is left is resumed by the tracker."""
    engine = _engines.get(os.getpid())
    if engine is not None and not engine.drain(timeout_s):
        logger.warning("batches left to the tracker")


def shut_down() -> None:
    """Waits for the runs of this process and ends the threads. The next run starts new threads."""
    for engine in _engines.values():
        engine.shut_down()
    _engines.clear()


def _engine() -> Engine:
    pid = os.getpid()
    with _making:
        if pid not in _engines:
            _engines.clear()
            _engines[pid] = Engine(settings.RUN_THREADS)
        return _engines[pid]


def _denial_event(order: Order, actor: str) -> OrderEvent:
    return OrderEvent(
        order=order,
        at=order.created_at,
        from_status=OrderStatus.INITIALIZED,
        to_status=OrderStatus.DENIED,
        evidence=Evidence.LOCAL,
        actor=actor,
        reason=order.reason,
    )
