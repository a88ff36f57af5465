"""Compares the books with exchanges for steps that wait for it, on threads of their own.

A run must not wait for one exchange while other accounts have steps, so the answer arrives as a row: a HoldingCheck,
for which an exit waits, or the account's time of comparison, for which an entry waits.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import close_old_connections

from exchanges.enums import MarketType
from orders.domain.keys import HoldingKey
from orders.outside.account_comparison import compare_now
from orders.outside.holdings import compare_wanted, want_comparison

logger = logging.getLogger(__name__)

Work = tuple[Callable[[], object], Callable[[], None]]  # a comparison, and whom to notify afterwards


@dataclass(slots=True)
class Lane:
    """The comparisons of one owner: at most half of the threads work for one owner."""

    running: int = 0
    waiting: deque[Work] = field(default_factory=deque)


_guard = threading.Condition()
_lanes: dict[int, Lane] = {}  # by owner
_pool: dict[int, ThreadPoolExecutor] = {}  # by process id: a forked child must not use its parent's threads


def read_holdings_soon(
    keys: Iterable[HoldingKey], *, owner: int, clock: Callable[[], datetime], notify: Callable[[], None]
) -> None:
    """Asks for a comparison of the holdings and begins it in the background; `notify` is called afterwards."""
    wanted = sorted(set(keys))
    want_comparison(wanted, now=clock())
    _submit(owner, (partial(compare_wanted, clock=clock, keys=wanted), notify))


def compare_soon(
    accounts: Iterable[int],
    market_type: MarketType,
    symbols: Iterable[str],
    *,
    owner: int,
    clock: Callable[[], datetime],
    notify: Callable[[], None],
) -> None:
    """Begins a comparison of the accounts in the background; `notify` is called afterwards."""
    work = partial(compare_now, sorted(set(accounts)), market_type, set(symbols), clock=clock)
    _submit(owner, (work, notify))


def shut_down() -> None:
    """Waits for the comparisons of this process and ends the threads."""
    with _guard:
        _guard.wait_for(lambda: not _lanes)
    for pool in _pool.values():
        pool.shutdown()
    _pool.clear()


def _submit(owner: int, work: Work) -> None:
    with _guard:
        lane = _lanes.setdefault(owner, Lane())
        lane.waiting.append(work)
        _start_next(owner, lane)


def _start_next(owner: int, lane: Lane) -> None:
    if lane.waiting and lane.running < max(1, settings.EVIDENCE_THREADS // 2):
        _executor().submit(_run, owner, *lane.waiting.popleft())
        lane.running += 1
    elif not lane.running:
        del _lanes[owner]
        _guard.notify_all()


def _run(owner: int, work: Callable[[], object], notify: Callable[[], None]) -> None:
    close_old_connections()
    try:
        work()
    except Exception:
        # Boundary: nobody waits for this thread's result. The tracker makes the comparison instead.
        logger.exception("comparison broke off")
    finally:
        close_old_connections()
        with _guard:
            lane = _lanes[owner]
            lane.running -= 1
            _start_next(owner, lane)
        notify()


def _executor() -> ThreadPoolExecutor:
    pid = os.getpid()
    if pid not in _pool:
        _pool.clear()
        _pool[pid] = ThreadPoolExecutor(settings.EVIDENCE_THREADS, thread_name_prefix="evidence")
    return _pool[pid]
