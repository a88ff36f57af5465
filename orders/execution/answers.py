"""A queue that carries answers from the exchanges' thread to the thread of a batch, in groups."""

import threading
import time
from typing import Generic, TypeVar

T = TypeVar("T")


class AnswerQueue(Generic[T]):
    """One thread takes answers, any thread puts answers.

    `put` wakes the taker when the last expected answer arrives, not at each answer: a taker that wakes at each answer
    would compete with the senders for the interpreter while the senders are busiest.
    """

    def __init__(self) -> None:
        self._answers: list[T] = []
        self._expected = 0
        self._complete = threading.Event()

    def put(self, answer: T) -> None:
        self._answers.append(answer)
        if len(self._answers) >= self._expected:
            self._complete.set()

    def take(self, expected: int, *, timeout_s: float, idle_s: float, longest_s: float) -> list[T]:
        """Waits for answers and returns the answers that have arrived.

        The wait ends when all `expected` answers are here, when at least one answer is here and no further answer came
        for `idle_s`, or `longest_s` after the first answer. Returns an empty list when no answer came in `timeout_s`.
        """
        self._expected = expected
        if len(self._answers) >= expected:
            self._complete.set()
        deadline, seen = time.monotonic() + timeout_s, 0
        while not self._complete.wait(max(0.0, min(idle_s, deadline - time.monotonic()))):
            arrived = len(self._answers)
            if time.monotonic() >= deadline or (arrived and arrived == seen):
                break
            if arrived and not seen:
                deadline = time.monotonic() + longest_s
            seen = arrived
        return self._remove_all()

    def _remove_all(self) -> list[T]:
        self._complete.clear()
        answers = self._answers[:]
        del self._answers[: len(answers)]
        return answers
