"""Where answers arrive from the exchanges' thread, to be read in groups."""

import threading
import time
from typing import Generic, TypeVar

T = TypeVar("T")


class AnswerQueue(Generic[T]):
    """One thread takes, any thread puts.

    The taker is woken when everything that it expects is here, not by each arrival: that would fight with the senders
    for the interpreter just when they are busiest.
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
        """What is here once all `expected` are, or none came for `idle_s`, or the first came `longest_s` ago.

        Empty when nothing came within `timeout_s`.
        """
        self._expected = expected
        if len(self._answers) >= expected:
            self._complete.set()
        deadline, seen = time.monotonic() + timeout_s, 0
        while not self._complete.wait(max(0.0, min(idle_s, deadline - time.monotonic()))):
            here = len(self._answers)
            if time.monotonic() >= deadline or (here and here == seen):
                break
            if here and not seen:
                deadline = time.monotonic() + longest_s
            seen = here
        return self._empty()

    def _empty(self) -> list[T]:
        self._complete.clear()
        answers = self._answers[:]
        del self._answers[: len(answers)]
        return answers
