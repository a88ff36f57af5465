"""Wakes the runs that wait for a turn."""

import threading


class WakeUp:
    """Wakes the runs of this process that wait for a turn. The runs of other processes check again by themselves."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    def count(self) -> int:
        """How often `notify` was called so far."""
        return self._count

    def notify(self) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, *, timeout_s: float) -> None:
        """Returns at the next `notify`, at once if the count is not `seen` any more, and after the time-out at last."""
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, timeout_s)


wake_up = WakeUp()
