"""Notices strategies that are silent: an alert that stopped, a service that is down, a wrong address."""

import logging
from datetime import datetime, timedelta

from strategies.models import Strategy

logger = logging.getLogger(__name__)


def note_silence(*, now: datetime) -> list[Strategy]:
    """Marks active strategies that were not heard for longer than expected. Returns the newly silent strategies.

    An alert ends the silence. Each silence is told once.
    """
    expected = Strategy.objects.active().filter(heartbeat_s__isnull=False, silent_since__isnull=True)
    silent = [row for row in expected if _is_silent(row, now)]
    newly = []
    for row in silent:
        # An alert may have come meanwhile: it has changed `heard_at`.
        same = Strategy.objects.filter(pk=row.pk, silent_since__isnull=True, heard_at=row.heard_at)
        if row.heard_at is None:
            same = Strategy.objects.filter(pk=row.pk, silent_since__isnull=True, heard_at__isnull=True)
        if same.update(silent_since=now):
            logger.error(
                "strategy silent strategy=%s heard_at=%s expected_s=%s", row.pk, row.heard_at, row.heartbeat_s
            )
            newly.append(row)
    return newly


def _is_silent(row: Strategy, now: datetime) -> bool:
    last: datetime = row.heard_at or row.created_at
    return row.heartbeat_s is not None and now - last > timedelta(seconds=row.heartbeat_s)
