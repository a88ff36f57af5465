"""Wakes the runs that wait for a turn."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable

_AT_ONCE = 8


class WakeUp:
    """Wakes the runs of this process that wait behind earlier batches of their strategy, the oldest batches first.

    A release frees the steps of few batches, so of each strategy account only a few runs are woken; a woken run that
    ends its own steps wakes the next runs. Every other run, and every run of another process, looks again by itself
    after a pause.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By strategy and batch: the strategy accounts whose turn the run waits for.
        self._waiting: dict[int, dict[int, tuple[frozenset[int], Callable[[], None]]]] = defaultdict(dict)

    def wait(self, strategy: int, batch: int, accounts: Iterable[int], wake: Callable[[], None]) -> None:
        """Has `wake` called at each release for these strategy accounts until `forget`. A later call replaces this."""
        with self._lock:
            self._waiting[strategy][batch] = frozenset(accounts), wake

    def forget(self, strategy: int, batch: int) -> None:
        with self._lock:
            self._waiting[strategy].pop(batch, None)
            if not self._waiting[strategy]:
                del self._waiting[strategy]

    def notify(self, strategy: int, accounts: Iterable[int]) -> None:
        """Tells of released steps of these strategy accounts."""
        places, woken = dict.fromkeys(accounts, _AT_ONCE), []
        with self._lock:
            for _, (waits_for, wake) in sorted(
                self._waiting.get(strategy, {}).items(), key=lambda item: item[0]
            ):
                freed = waits_for & places.keys()
                if freed:
                    woken.append(wake)
                for account in freed:
                    places[account] -= 1
                    if not places[account]:
                        del places[account]
        for wake in woken:
            wake()


wake_up = WakeUp()
