import time
from collections.abc import Callable
from typing import Any


def eventually(condition: Callable[[], Any], *, within_s: float, what: str, every_s: float = 0.02) -> Any:
    """The condition's first true value. Raises TimeoutError that says what was waited for."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s} s: {what}")
        time.sleep(every_s)
