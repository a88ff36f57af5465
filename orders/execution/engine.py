"""The engine moves many runs on with few threads.

A run that waits for its turn, an answer, a price or a pause holds no thread and no database connection. Events
(answers, released steps, prices) and timers make a run ready; ready runs have turns by owner.
"""

import heapq
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from django.db import Error, close_old_connections, connection

from exchanges.shares import FairQueue

logger = logging.getLogger(__name__)

_CHECK_CONNECTION_AFTER_S = 1
_END_WITHIN_S = 5  # of the process; with tradehub.asgi.DRAIN_S less than serve's STOP_TIMEOUT_S


class Run(Protocol):
    """What the engine moves on. `notify` is set by the engine: a look at the run is worth it in so many seconds."""

    owner: int
    notify: Callable[[float], None]

    @property
    def is_urgent(self) -> bool: ...

    def advance(self) -> float | None:
        """Does what can be done now; returns the seconds until the next look, or None at the end of the run."""


@dataclass(slots=True, eq=False)
class _Entry:
    run: Run
    is_ready: bool = False  # in the queue
    is_running: bool = False
    is_over: bool = False
    is_wanted: bool = False  # an event came while the run was running
    look_at: float | None = None  # the time of the earliest timer that counts


@dataclass(slots=True)
class _Timers:
    """The looks to come, the earliest first."""

    heap: list[tuple[float, int, _Entry]] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def add(self, look_at: float, entry: _Entry) -> None:
        heapq.heappush(self.heap, (look_at, next(self.numbers), entry))

    def take_due(self, now: float) -> list[_Entry]:
        due = []
        while self.heap and self.heap[0][0] <= now:
            look_at, _, entry = heapq.heappop(self.heap)
            if entry.look_at == look_at:  # else another look took its place
                entry.look_at = None
                due.append(entry)
        return due


class Engine:
    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._guard = threading.Condition()
        self._queue: FairQueue[_Entry] = FairQueue()
        self._timers = _Timers()
        self._living = 0
        self._is_closing = False
        self._clock = threading.Thread(target=self._watch_timers, name="run-timers", daemon=True)
        self._clock.start()
        self._pid = os.getpid()
        # Runs with orders at the exchange write the answers before the pools of the process end. The pools end by the
        # same function of `threading`; `atexit` comes after them.
        threading._register_atexit(self._await_runs)  # type: ignore[attr-defined]

    def start(self, run: Run) -> None:
        entry = _Entry(run)
        run.notify = partial(self._notify, entry)
        with self._guard:
            self._living += 1
        self._notify(entry, 0.0)

    def drain(self, timeout_s: float) -> bool:
        """Waits for the end of the runs. Returns whether all have ended in time."""
        with self._guard:
            return self._guard.wait_for(lambda: not self._living, timeout_s)

    def shut_down(self) -> None:
        """Waits for the end of all runs, and ends the threads."""
        with self._guard:
            self._guard.wait_for(lambda: not self._living)
            self._is_closing = True
            self._guard.notify_all()
        self._clock.join()
        self._pool.shutdown()

    def _await_runs(self) -> None:
        if self._pid == os.getpid():
            self.drain(_END_WITHIN_S)

    def _notify(self, entry: _Entry, after_s: float) -> None:
        with self._guard:
            if after_s <= 0:
                self._make_ready(entry)
            else:
                self._look_later(entry, time.monotonic() + after_s)

    def _look_later(self, entry: _Entry, look_at: float) -> None:
        is_soon_enough = entry.look_at is not None and entry.look_at <= look_at
        if entry.is_over or entry.is_ready or is_soon_enough:
            return
        entry.look_at = look_at
        self._timers.add(look_at, entry)
        if self._timers.heap[0][2] is entry:
            self._guard.notify_all()  # the clock sleeps too long

    def _make_ready(self, entry: _Entry) -> None:
        if entry.is_over or entry.is_ready:
            return
        if entry.is_running:
            entry.is_wanted = True
            return
        self._pool.submit(self._advance_next)  # begins once the guard is free
        self._queue.put(entry, owner=entry.run.owner, is_urgent=entry.run.is_urgent)
        entry.is_ready, entry.look_at = True, None

    def _watch_timers(self) -> None:
        with self._guard:
            while not self._is_closing:
                self._make_due_ready()
                heap = self._timers.heap
                self._guard.wait(max(0.0, heap[0][0] - time.monotonic()) if heap else None)

    def _make_due_ready(self) -> None:
        for entry in self._timers.take_due(time.monotonic()):
            try:
                self._make_ready(entry)
            except RuntimeError:  # no thread can be started: this run looks again later, and the others go on
                logger.exception("no thread for a run")
                self._look_later(entry, time.monotonic() + 1)

    def _advance_next(self) -> None:
        """Moves on the run whose turn it is: a place in the pool belongs to no run."""
        with self._guard:
            entry = self._queue.pop()
            entry.is_ready, entry.is_running, entry.is_wanted = False, True, False
        wait_s: float | None = None
        try:
            wait_s = _advance(entry.run)
        finally:
            self._settle(entry, wait_s)

    def _settle(self, entry: _Entry, wait_s: float | None) -> None:
        with self._guard:
            entry.is_running = False
            if wait_s is None:
                entry.is_over = True
                self._living -= 1
                self._guard.notify_all()
            elif entry.is_wanted or wait_s <= 0:
                self._make_ready(entry)
            else:
                self._look_later(entry, time.monotonic() + wait_s)


_thread = threading.local()


def _advance(run: Run) -> float | None:
    _refresh_connection()
    try:
        return run.advance()
    except Exception:
        # Boundary: nobody waits for this thread's result. The lease runs out, and the tracker resumes the batch.
        logger.exception("run broke off")
        return None
    finally:
        _thread.used_at = time.monotonic()
        if not connection.settings_dict["CONN_MAX_AGE"]:
            _close(connection.close)


def _refresh_connection() -> None:
    """Closes a connection that may have broken since its last use, or that broke in its last use."""
    if (
        connection.errors_occurred
        or time.monotonic() - getattr(_thread, "used_at", 0.0) > _CHECK_CONNECTION_AFTER_S
    ):
        _close(close_old_connections)


def _close(close: Callable[[], None]) -> None:
    try:
        close()
    except Error:
        logger.exception("database connection not closed")
