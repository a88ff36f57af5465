"""A queue that carries answers from the exchanges' thread to a run, in groups."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# Answers that arrive close together are written together; a missing answer delays the others by LONGEST_S at most.
IDLE_S = 0.025
LONGEST_S = 0.5

Notify = Callable[[float], None]


def _tell_nobody(after_s: float) -> None:
    """Whoever takes answers with `wait` needs no notice."""


class AnswerQueue(Generic[T]):
    """One taker takes answers, any thread puts answers.

    A group is complete when all expected answers are here, when no further answer came for IDLE_S, or LONGEST_S after
    the first answer. `notify` is called with the seconds until a look is worth it: at the first answer and at the last
    expected answer, not at each: a taker that wakes at each answer would compete with the senders for the interpreter
    while the senders are busiest.
    """

    def __init__(self, notify: Notify = _tell_nobody) -> None:
        self.notify = notify
        self._lock = threading.Lock()
        self._answers: list[T] = []
        self._expected = 0
        self._first_at = self._last_at = 0.0
        self._arrived = threading.Event()

    def expect(self, count: int) -> None:
        """Announces so many answers. Called before the answers can come."""
        with self._lock:
            self._expected += count

    def put(self, answer: T) -> None:
        with self._lock:
            self._answers.append(answer)
            self._last_at = time.monotonic()
            is_first, is_last = len(self._answers) == 1, len(self._answers) >= self._expected
            if is_first:
                self._first_at = self._last_at
        if is_first or is_last:
            self._arrived.set()
            self.notify(0.0 if is_last else IDLE_S)

    def due_in_s(self) -> float | None:
        """The seconds until the group is complete, at most 0 where the group is; None without an answer."""
        with self._lock:
            return self._due_in_s()

    def take(self) -> list[T]:
        """Returns the answers of a complete group; an empty list while no group is complete."""
        with self._lock:
            due_in_s = self._due_in_s()
            if due_in_s is None or due_in_s > 0:
                return []
            answers, self._answers = self._answers, []
            self._expected -= len(answers)
        return answers

    def wait(self, timeout_s: float) -> list[T]:
        """Waits for a complete group, and returns an empty list when no answer came within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._arrived.clear()  # before the look: what comes afterwards ends the wait
            if answers := self.take():
                return answers
            due_in_s, left_s = self.due_in_s(), deadline - time.monotonic()
            if due_in_s is None and left_s <= 0:
                return []
            self._arrived.wait(left_s if due_in_s is None else max(0.0, due_in_s))

    def _due_in_s(self) -> float | None:
        if not self._answers:
            return None
        if len(self._answers) >= self._expected:
            return 0.0
        return min(self._last_at + IDLE_S, self._first_at + LONGEST_S) - time.monotonic()
