"""Stores a plan as a batch, and runs the batch in the background; the caller decides how long to wait."""

import logging
import os
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from secrets import token_hex

from django.db import DEFAULT_DB_ALIAS, close_old_connections
from django.utils import timezone

from orders.domain.enums import Evidence, OrderStatus
from orders.execution.batch_run import LEASE, BatchRun
from orders.execution.planner import Plan
from orders.execution.signals import compare_with_former
from orders.models import Batch, Order, OrderEvent
from orders.models.bulk_insert import insert_all
from orders.transactions import require_transaction
from strategies.models import Strategy

logger = logging.getLogger(__name__)

_THREADS = 32  # a thread may hold a database connection, and mostly waits for exchanges

_KEY_COLUMNS = ("strategy_account", "leg")  # of each order and of each cancel instruction in a new batch

_pool: dict[int, ThreadPoolExecutor] = {}  # by process id: a forked child must not use its parent's threads


def process_name() -> str:
    """The machine and the process id, with which leases and events are signed."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}"


def store_batch(
    plan: Plan, *, strategy: Strategy, signaled_at: datetime | None, now: datetime, is_alert: bool = False
) -> BatchRun:
    """Writes the batch, claimed by this process, with all orders and cancel instructions.

    An alert is compared with the alerts before: what comes late enters nothing, and what is missing is told.

    Raises RuntimeError outside of a transaction: one transaction stores a delivery together with the batch.
    """
    require_transaction()
    by = f"{process_name()}:{token_hex(4)}"
    batch = Batch.objects.create(
        strategy=strategy, created_at=now, signaled_at=signaled_at, claimed_by=by, claimed_until=now + LEASE
    )
    warnings: list[str] = []
    if is_alert:
        warnings = compare_with_former(
            plan.orders, strategy=strategy, batch=batch, signaled_at=signaled_at, now=now
        )
    _store_goals(plan.orders, batch)
    for order in plan.orders:
        order.batch = batch
    for cancellation in plan.cancellations:
        cancellation.batch = batch
    insert_all(plan.orders, key=_KEY_COLUMNS, using=DEFAULT_DB_ALIAS)
    insert_all(plan.cancellations, key=_KEY_COLUMNS, using=DEFAULT_DB_ALIAS)
    denied = [order for order in plan.orders if order.status == OrderStatus.DENIED]
    OrderEvent.objects.bulk_create([_denial_event(order, by) for order in denied])
    run = BatchRun(batch, plan.orders, plan.cancellations, by=by, clock=timezone.now)
    run.warnings += warnings
    return run


def _store_goals(orders: Sequence[Order], batch: Batch) -> None:
    goals = {id(order): order.goal for order in orders if order.goal is not None}
    for goal in goals.values():
        goal.batch = batch
    insert_all(list(goals.values()), key=_KEY_COLUMNS, using=DEFAULT_DB_ALIAS)
    for order in orders:
        if id(order) in goals:
            order.goal = goals[id(order)]  # again, because the goal has its primary key by now


def start_run(run: BatchRun) -> None:
    """Starts the run on a thread of this process. The caller has committed the batch."""
    run.start_follower = _start_follower
    _executor().submit(_run_batch, run)


def _start_follower(run: BatchRun) -> None:
    start_run(run)


def shut_down() -> None:
    """Waits for the runs of this process and ends the threads. The next run starts new threads."""
    for pool in _pool.values():
        pool.shutdown()
    _pool.clear()


def _run_batch(run: BatchRun) -> None:
    close_old_connections()
    try:
        run.run()
    except Exception:
        # Boundary: nobody waits for this thread's result. The lease runs out, and the tracker resumes the batch.
        logger.exception("run broke off batch=%s", run.batch.pk)
    finally:
        close_old_connections()


def _executor() -> ThreadPoolExecutor:
    pid = os.getpid()
    if pid not in _pool:
        _pool.clear()
        _pool[pid] = ThreadPoolExecutor(_THREADS, thread_name_prefix="batch")
    return _pool[pid]


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
