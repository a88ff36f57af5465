"""Reads holdings at exchanges after a refusal that contradicts the books, on threads of their own.

A run must not wait for one exchange while other accounts have steps, so the answer arrives as a row (HoldingCheck), for
which the exit goals wait.
"""

import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from django.db import close_old_connections

from orders.domain.keys import HoldingKey
from orders.outside.holdings import compare_wanted, want_comparison

logger = logging.getLogger(__name__)

_THREADS = 4
_pool: dict[int, ThreadPoolExecutor] = {}  # by process id: a forked child must not use its parent's threads


def read_holdings_soon(keys: Iterable[HoldingKey], *, clock: Callable[[], datetime]) -> None:
    """Asks for a comparison of the holdings and begins the comparison in the background."""
    wanted = sorted(set(keys))
    want_comparison(wanted, now=clock())
    _executor().submit(_compare, wanted, clock)


def shut_down() -> None:
    """Waits for the comparisons of this process and ends the threads."""
    for pool in _pool.values():
        pool.shutdown()
    _pool.clear()


def _compare(keys: list[HoldingKey], clock: Callable[[], datetime]) -> None:
    close_old_connections()
    try:
        compare_wanted(clock=clock, keys=keys)
    except Exception:
        # Boundary: nobody waits for this thread's result. The tracker makes the comparison instead.
        logger.exception("comparison broke off holdings=%s", len(keys))
    finally:
        close_old_connections()


def _executor() -> ThreadPoolExecutor:
    pid = os.getpid()
    if pid not in _pool:
        _pool.clear()
        _pool[pid] = ThreadPoolExecutor(_THREADS, thread_name_prefix="evidence")
    return _pool[pid]
