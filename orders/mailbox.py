"""Where answers arrive from the exchanges' thread, to be read in groups."""

import threading
import time
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """One thread takes, any thread puts.

    The taker is woken when everything that it expects is here, not by each arrival: that would fight with the senders
    for the interpreter just when they are busiest.
    """

    def __init__(self) -> None:
        self._letters: list[T] = []
        self._expected = 0
        self._complete = threading.Event()

    def put(self, letter: T) -> None:
        self._letters.append(letter)
        if len(self._letters) >= self._expected:
            self._complete.set()

    def take(self, expected: int, *, timeout_s: float, idle_s: float, longest_s: float) -> list[T]:
        """What is here once all `expected` are, or none came for `idle_s`, or the first came `longest_s` ago.

        Empty when nothing came within `timeout_s`.
        """
        self._expected = expected
        if len(self._letters) >= expected:
            self._complete.set()
        deadline, seen = time.monotonic() + timeout_s, 0
        while not self._complete.wait(max(0.0, min(idle_s, deadline - time.monotonic()))):
            here = len(self._letters)
            if time.monotonic() >= deadline or (here and here == seen):
                break
            if here and not seen:
                deadline = time.monotonic() + longest_s
            seen = here
        return self._empty()

    def _empty(self) -> list[T]:
        self._complete.clear()
        letters = self._letters[:]
        del self._letters[: len(letters)]
        return letters
