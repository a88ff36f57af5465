"""Compares the books with exchanges for steps that wait for it, on threads of their own.

A run must not wait for one exchange while other accounts have steps, so the answer arrives as a row: a HoldingCheck,
for which an exit waits, or the account's time of comparison, for which an entry waits.
"""

import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import close_old_connections

from exchanges.enums import MarketType
from orders.domain.keys import HoldingKey
from orders.outside.account_comparison import compare_now
from orders.outside.holdings import compare_wanted, want_comparison

logger = logging.getLogger(__name__)

_pool: dict[int, ThreadPoolExecutor] = {}  # by process id: a forked child must not use its parent's threads


def read_holdings_soon(
    keys: Iterable[HoldingKey], *, clock: Callable[[], datetime], notify: Callable[[], None]
) -> None:
    """Asks for a comparison of the holdings and begins it in the background; `notify` is called afterwards."""
    wanted = sorted(set(keys))
    want_comparison(wanted, now=clock())
    _executor().submit(_run, partial(compare_wanted, clock=clock, keys=wanted), notify)


def compare_soon(
    accounts: Iterable[int],
    market_type: MarketType,
    symbols: Iterable[str],
    *,
    clock: Callable[[], datetime],
    notify: Callable[[], None],
) -> None:
    """Begins a comparison of the accounts in the background; `notify` is called afterwards."""
    work = partial(compare_now, sorted(set(accounts)), market_type, set(symbols), clock=clock)
    _executor().submit(_run, work, notify)


def shut_down() -> None:
    """Waits for the comparisons of this process and ends the threads."""
    for pool in _pool.values():
        pool.shutdown()
    _pool.clear()


def _run(work: Callable[[], object], notify: Callable[[], None]) -> None:
    close_old_connections()
    try:
        work()
    except Exception:
        # Boundary: nobody waits for this thread's result. The tracker makes the comparison instead.
        logger.exception("comparison broke off")
    finally:
        close_old_connections()
        notify()


def _executor() -> ThreadPoolExecutor:
    pid = os.getpid()
    if pid not in _pool:
        _pool.clear()
        _pool[pid] = ThreadPoolExecutor(settings.EVIDENCE_THREADS, thread_name_prefix="evidence")
    return _pool[pid]
