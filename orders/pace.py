"""The pace of work that runs beside trading: it rests after each portion."""

import time
from collections.abc import Callable


def pace_of(load: int) -> Callable[[], None]:
    """Returns a function that rests after a portion of work, so that work takes `load` percent of the time."""
    began = time.monotonic()

    def rest() -> None:
        nonlocal began
        time.sleep((time.monotonic() - began) * (100 - load) / load)
        began = time.monotonic()

    return rest
