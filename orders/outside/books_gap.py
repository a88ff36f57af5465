"""Notices that the books may lack what happened: nothing tracked orders for a while, or the database was restored.

The tracker leaves its pulse in the database. The watermark, the newest order that this machine has seen committed, is
a file outside of the database: a restored database is older than the file says.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Max

from exchanges.models import Account
from orders.models import BooksGap, Order, TrackerPulse

logger = logging.getLogger(__name__)

TRACKER_STOPPED, RESTORED = "tracker_stopped", "restored"
BEAT_EVERY = timedelta(seconds=3)
LONGEST_PAUSE = timedelta(minutes=10)
_SLACK = timedelta(minutes=5)  # clocks differ, and an exchange shows an order later than it happened


class Watermark(NamedTuple):
    """The newest order of a database, by primary key. `database` stays the same through backup and restore."""

    database: str
    order: int


_seen: dict[int, Watermark] = {}  # by process id: what this process last read or wrote
_checked: set[int] = set()  # the processes that have compared the file with the database


def watch_books(*, now: datetime) -> None:
    """Does one turn of the tracker: looks for an older database first, then leaves the tracker's pulse."""
    check_watermark(now=now)
    keep_pulse(now=now)


# The tracker's pulse


@transaction.atomic
def keep_pulse(*, now: datetime) -> None:
    """Stores the time of a turn. Notes a gap after a pause; two trackers note one gap."""
    before = TrackerPulse.beat(now=now, at_most_every=BEAT_EVERY)
    if before is not None and now - before > LONGEST_PAUSE:
        _note_gap(before - _SLACK, TRACKER_STOPPED, now)


def _note_gap(began_at: datetime, cause: str, now: datetime) -> None:
    """Stores a gap. Every account is due for a comparison at once."""
    BooksGap.objects.create(began_at=began_at, noticed_at=now, cause=cause)
    Account.objects.filter(compare_claimed_at__isnull=False).update(compare_claimed_at=None)
    logger.error("books may have a gap cause=%s began=%s", cause, began_at.isoformat(timespec="seconds"))


# The watermark


def check_watermark_once(*, now: datetime) -> None:
    """Compares the database with the file at the first call of the process; further calls cost nothing.

    Writes a row and a file where the database is older, and so runs outside of transactions.
    """
    if os.getpid() not in _checked:
        check_watermark(now=now)
        _checked.add(os.getpid())


def check_watermark(*, now: datetime) -> None:
    """Notes a gap where the database is older than the file, or has orders without a file; then renews the file.

    Two processes of a machine note one gap.
    """
    if not settings.WATERMARK_FILE:
        return
    path = Path(settings.WATERMARK_FILE)
    present = Watermark(_database_id(), Order.objects.aggregate(newest=Max("pk"))["newest"] or 0)
    if _seen.get(os.getpid()) == present:
        return
    try:
        _compare_with_file(path, present, now)
    except OSError as error:
        logger.error("watermark cannot be kept file=%s error=%s", path, type(error).__name__)  # noqa: TRY400
    _seen[os.getpid()] = present


def forget_watermark() -> None:
    """As a new process starts."""
    _seen.clear()
    _checked.clear()


def _compare_with_file(path: Path, present: Watermark, now: datetime) -> None:
    with _locked(path):
        before = _read(path)
        if _is_older(present, before):
            _note_gap(_newest_time(now) - _SLACK, RESTORED, now)
        if before != present:
            _write(path, present)


def _is_older(present: Watermark, before: Watermark | None) -> bool:
    """Whether the database may be older than what this machine has seen, of which it may have seen nothing."""
    if before is None or before.database != present.database:
        return present.order > 0
    return before.order > present.order


def _database_id() -> str:
    """The time at which the first tables were made: no two databases share it, and a backup keeps it."""
    rows = MigrationRecorder(connection).migration_qs.filter(app="orders", name="0001_initial")
    made_at: datetime = rows.values_list("applied", flat=True).get()
    return made_at.isoformat()


def _newest_time(now: datetime) -> datetime:
    """The newest time that the database knows of."""
    pulse = TrackerPulse.objects.filter(pk=1).values_list("last_turn_at", flat=True).first()
    order = Order.objects.order_by("-pk").values_list("created_at", flat=True).first()
    return max((moment for moment in (pulse, order) if moment is not None), default=now)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> Watermark | None:
    """None for a missing file, and for a file that holds something else."""
    try:
        content = json.loads(path.read_text())
        return Watermark(str(content["database"]), int(content["order"]))
    except (FileNotFoundError, ValueError, TypeError, LookupError):
        return None


def _write(path: Path, watermark: Watermark) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(watermark._asdict()))
    new.replace(path)
