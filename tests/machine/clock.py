"""One clock for the product, the client library and the paper exchange, that a test can push forward."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from ccxt.base.exchange import BaseExchange
from django.utils import timezone

from exchanges import gateway
from exchanges.adapters import transport
from exchanges.paper import exchange


class Clock:
    """Real time plus what was skipped."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def forward(self, seconds: float) -> None:
        self.skipped_s += seconds

    def now(self, *_: Any) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.skipped_s)

    def monotonic(self) -> float:
        return time.monotonic() + self.skipped_s

    def time(self) -> float:
        return time.time() + self.skipped_s

    def milliseconds(self) -> int:
        return int(self.time() * 1000)

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(timezone, "now", self.now)
            patch.setattr(transport, "datetime", SimpleNamespace(now=self.now))
            patch.setattr(gateway, "time", SimpleNamespace(monotonic=self.monotonic, time=self.time))
            patch.setattr(exchange, "now_ms", self.milliseconds)
            patch.setattr(BaseExchange, "milliseconds", staticmethod(self.milliseconds))
            yield


class Nudge(threading.Thread):
    """Pushes the clock while someone waits for it in real time: for a pause to end, for a lease to run out."""

    AFTER_S, BY_S = 1.0, 10.0

    def __init__(self, clock: Clock) -> None:
        super().__init__(name="nudge", daemon=True)
        self._clock = clock
        self._since: float | None = None
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.05):
            since = self._since
            if since is not None and time.monotonic() - since > self.AFTER_S:
                self._clock.forward(self.BY_S)
                self._since = time.monotonic()

    def end(self) -> None:
        self._over.set()
        self.join()

    @contextmanager
    def while_waiting(self) -> Iterator[None]:
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None


class OutOfTime(BaseException):
    """As Killed: nothing of the program catches it."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails in the main thread, whatever that waits for."""

    def fail(*_: Any) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
