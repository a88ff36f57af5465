"""What the service itself writes into the audit trail, and how the service verifies the trail.

Scheduled tasks of the worker, and the record of a start with unsafe settings.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.db.models.functions import TruncMinute
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit.actions import Action
from audit.actor import Actor
from audit.anchor import verify_since_anchor
from audit.models import AuditEntry
from audit.trail import lock_chain, record
from webhooks.models import DeliveryStatus, WebhookLog

WORKER = Actor.of_service("worker")
START = Actor.of_service("start")
MINUTE = timedelta(minutes=1)
# Refusals from before are not counted any more, because the index of deliveries is read again every minute.
LOOK_BACK = timedelta(minutes=10)
COUNTED = ("throttled", "invalid_token", "sender_not_allowed")


def verify_audit_trail() -> int:
    """Returns the number of problems. The log has each problem as an error, and the anchor of a whole trail."""
    return len(verify_since_anchor(settings.AUDIT_ANCHOR_FILE).problems)


def record_refusals() -> int:
    return count_refusals(now=timezone.now())


def count_refusals(*, now: datetime) -> int:
    """Writes the refusals over the limits of each whole minute that is not written yet. Returns their number.

    The counts come from the deliveries. A second call writes nothing more.
    """
    until = now.replace(second=0, microsecond=0)
    since = _counted_until(until)
    counts = _refusals_by_minute(since, until)
    with transaction.atomic():
        lock_chain()
        if _counted_until(until) != since:
            return 0  # another worker was faster
        for minute in sorted(counts):
            after = {"minute": minute, "until": minute + MINUTE, "refused": counts[minute]}
            record(Action.REFUSED, None, actor=WORKER, now=now, after=after)
    return sum(sum(by_code.values()) for by_code in counts.values())


def _counted_until(until: datetime) -> datetime:
    """The end of the newest minute in the trail; LOOK_BACK ago where that is longer ago."""
    earliest = until - LOOK_BACK
    told = AuditEntry.objects.filter(action=Action.REFUSED, at__gte=earliest).order_by("-number").first()
    ended = parse_datetime(told.after["until"]) if told is not None else None
    return max(earliest, ended or earliest)


def _refusals_by_minute(since: datetime, until: datetime) -> dict[datetime, dict[str, int]]:
    rows = WebhookLog.objects.filter(
        status=DeliveryStatus.REFUSED, error_code__in=COUNTED, received_at__gte=since, received_at__lt=until
    )
    found: Any = rows.order_by().values_list(TruncMinute("received_at"), "error_code").annotate(Count("pk"))
    counts: dict[datetime, dict[str, int]] = defaultdict(dict)
    for minute, code, count in found:
        counts[minute][code] = count
    return counts


def record_unsafe_start(problems: Sequence[str], *, now: datetime) -> None:
    """Writes the unsafe settings of a start into the trail; nothing where all settings are safe."""
    if problems:
        with transaction.atomic():
            record(Action.UNSAFE_START, None, actor=START, now=now, after={"problems": list(problems)})
