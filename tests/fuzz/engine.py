"""Inputs by chance for a given time. `script/fuzz` runs longer, from another seed."""

import os
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy

SECONDS = float(os.environ.get("FUZZ_SECONDS", "2"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
LONGEST_S = 1.0  # of processor time, so that a busy machine is not taken for a hang


def fuzz(check: Callable[[Any], object], values: SearchStrategy[Any]) -> None:
    until = time.monotonic() + SECONDS
    for turn in count():
        _turn(check, values, SEED * 1_000_000 + turn)
        if time.monotonic() >= until:
            return


def _turn(check: Callable[[Any], object], values: SearchStrategy[Any], start: int) -> None:
    @seed(start)
    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(values)
    def trial(value: Any) -> None:
        began = time.thread_time()
        check(value)
        assert time.thread_time() - began < LONGEST_S, "took too long"

    trial()
