"""Named places where a test ends or pauses this process, as a crash would. Only the tests' settings arm them.

`K6:1` kills the process the first time that K6 is passed; `K6:2:stop` stops it (SIGSTOP) the second time. Several are
separated by commas. The product's settings have no FAILPOINTS, so there every place is empty.
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
    for point in filter(None, points.split(",")):
        name, time, *how = point.split(":")
        _armed[name] = (int(time), _SIGNALS[how[0] if how else "kill"])
        _passed[name] = count(1)


def failpoint(name: str) -> None:
    if name in _armed and next(_passed[name]) == _armed[name][0]:
        os.kill(os.getpid(), _armed[name][1])
        time.sleep(1)  # the signal may meet another thread first; this one must not run on meanwhile


arm(getattr(settings, "FAILPOINTS", ""))
