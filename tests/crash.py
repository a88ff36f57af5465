"""A process that dies at a chosen line, and the clock and the tracker that come after it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from orders.models import Batch
from orders.reconciliation.tracker import Tracker


class Killed(BaseException):
    """Nothing of the program catches this, as nothing catches SIGKILL."""


def kill(*args: Any, **kwargs: Any) -> Any:
    raise Killed


@contextmanager
def dying_at(target: Any, name: str, *, after: bool = False) -> Iterator[None]:
    """Whoever calls `target.name` dies there: before it did anything, or after it is done."""
    original = getattr(target, name)

    def act_and_die(*args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, name, act_and_die if after else kill)
        yield


def later(seconds: float) -> Callable[[], Any]:
    return lambda: timezone.now() + timedelta(seconds=seconds)


def track(*, after_s: float = 0) -> None:
    """What a tracker does that looks so many seconds from now."""
    Tracker(clock=later(after_s)).pass_once()


def track_at(moment: datetime) -> None:
    """What a tracker does for which it is that moment all the time, however long it takes."""
    Tracker(clock=lambda: moment).pass_once()


def abandon_all() -> None:
    """The process that held the leases is gone, and everybody can see it."""
    Batch.objects.unfinished().update(claimed_until=timezone.now() - timedelta(seconds=1))


def never_run(run: Any) -> None:
    """In place of `batches.start`: the process ended before it came to that."""
    run.completed.set()
    run.finished.set()
