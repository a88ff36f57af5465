"""Divides the accounts between the trackers that are alive, so that two trackers do not ask every question twice.

Every tracker notes its turns, and every account falls to one of the live trackers by a hash that all trackers compute
alike. No lock and no lease: trackers that see different lists for a moment ask a question twice, or leave an account
alone until the next look, and every step of a tracker may run twice. A dead tracker's accounts fall to the others
within LIVE_FOR and a turn.
"""

import hashlib
import os
import socket
from datetime import datetime, timedelta

from orders.models import LiveTracker

LIVE_FOR = timedelta(seconds=10)
_FORGET_AFTER = timedelta(minutes=10)


class Sharing:
    """The share of the tracker `name`, as of its last turn. A tracker that never noted a turn has every account."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._live: tuple[str, ...] = (name,)

    def note_turn(self, *, now: datetime) -> None:
        """Says that this tracker lives, and looks for the others."""
        LiveTracker.objects.update_or_create(name=self._name, defaults={"seen_at": now})
        LiveTracker.objects.filter(seen_at__lt=now - _FORGET_AFTER).delete()
        self._live = (self._name, *(name for name in live_names(now) if name != self._name))

    def leave(self) -> None:
        """Says that this tracker ends, so that the others take its accounts at once."""
        LiveTracker.objects.filter(name=self._name).delete()

    @property
    def trackers(self) -> int:
        return len(self._live)

    def has(self, account_id: int) -> bool:
        """Whether the account falls to this tracker."""
        return max(self._live, key=lambda name: _score(name, account_id)) == self._name


def is_any_alive(*, now: datetime) -> bool:
    """Whether a tracker's own process works; the worker's safety run then leaves the following to the tracker."""
    return bool(live_names(now))


def is_certainly_gone(name: str) -> bool:
    """Whether the process of the name is gone: a process id of this machine without a process."""
    host, _, rest = name.removeprefix("tracker:").partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname()[:40] or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def live_names(now: datetime) -> list[str]:
    """The trackers that live. A time well in the future is of a clock that was set back, and proves no life."""
    rows = LiveTracker.objects.filter(seen_at__gt=now - LIVE_FOR, seen_at__lt=now + LIVE_FOR)
    return [name for name in rows.values_list("name", flat=True) if not is_certainly_gone(name)]


def _score(name: str, account_id: int) -> bytes:
    """Rendezvous hashing: when a tracker comes or goes, only the accounts of that tracker move."""
    return hashlib.blake2b(f"{name} {account_id}".encode(), digest_size=8).digest()
