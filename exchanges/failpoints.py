"""Named places where a test ends or pauses this process, as a crash would. Only the tests' settings arm a place.

`reply read, not written:1` kills the process the first time that the place is passed; `reply read, not written:2:stop`
stops the process (SIGSTOP) the second time. A semicolon separates several places. The product's settings have no
FAILPOINTS, so no place does anything in the product.
"""

import os
import signal
import time
from collections.abc import Iterator
from itertools import count

from django.conf import settings

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

_armed: dict[str, tuple[int, signal.Signals]] = {}
_passed: dict[str, Iterator[int]] = {}


def arm(points: str) -> None:
    for point in filter(None, points.split(";")):
        place, turn, *how = point.split(":")
        _armed[place] = (int(turn), _SIGNALS[how[0] if how else "kill"])
        _passed[place] = count(1)


def disarm() -> None:
    _armed.clear()


def failpoint(place: str) -> None:
    if place in _armed and next(_passed[place]) == _armed[place][0]:
        os.kill(os.getpid(), _armed[place][1])
        time.sleep(1)  # the kernel may signal another thread first; meanwhile this thread must not run on


arm(getattr(settings, "FAILPOINTS", ""))
