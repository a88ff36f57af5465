"""Wakes the runs that wait for a turn."""

import threading
from collections import defaultdict
from collections.abc import Callable

_AT_ONCE = 8


class WakeUp:
    """Wakes the runs of this process that wait behind earlier batches of their strategy, the oldest batches first.

    A release frees the steps of few batches, so only a few runs are woken; a woken run that ends its own steps wakes
    the next runs. Every other run, and every run of another process, looks again by itself after a pause.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, dict[int, Callable[[], None]]] = defaultdict(dict)

    def wait(self, strategy: int, batch: int, wake: Callable[[], None]) -> None:
        """Has `wake` called at each release in the strategy until `forget`. A second call changes nothing."""
        with self._lock:
            self._waiting[strategy][batch] = wake

    def forget(self, strategy: int, batch: int) -> None:
        with self._lock:
            self._waiting[strategy].pop(batch, None)
            if not self._waiting[strategy]:
                del self._waiting[strategy]

    def notify(self, strategy: int) -> None:
        """Tells of a released step of the strategy."""
        with self._lock:
            waiting = self._waiting.get(strategy)
            woken = [waiting[batch] for batch in sorted(waiting)[:_AT_ONCE]] if waiting else []
        for wake in woken:
            wake()


wake_up = WakeUp()
