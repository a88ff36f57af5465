"""Waiting for what happens, and measuring promised times, on a machine that may be busy with other things."""

import time
from collections.abc import Callable
from typing import Any

LONG_S = 120  # nothing that a test waits for takes as long, however busy the machine is


def eventually(
    condition: Callable[[], Any], *, what: str, within_s: float = LONG_S, every_s: float = 0.02
) -> Any:
    """The condition's first true value. Raises TimeoutError that says what was waited for."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s} s: {what}")
        time.sleep(every_s)


def done_within(limit_s: float, act: Callable[[], Any], *, tries: int = 3) -> Any:
    """The value of an act that has to be done in time. Fails when the act took longer each time.

    Other work of the machine may spoil a try; a product that is too slow spoils all of them.
    """
    took = []
    for _ in range(tries):
        started = time.monotonic()
        value = act()
        took.append(time.monotonic() - started)
        if took[-1] < limit_s:
            return value
    raise AssertionError(f"took {', '.join(f'{seconds:.2f}' for seconds in took)} s, not {limit_s} s")
