"""Scheduled tasks of the worker. A task may run twice."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from orders.archive import Line, in_portions, row_values
from webhooks.models import WebhookLog, WebhookLogQuerySet

STRANGERS_KEPT = timedelta(days=7)
_DELIVERY, _ARCHIVED_AT_ONCE = "delivery", 500
PORTION = 5_000  # rows that one DELETE looks up and names


def drop_old_deliveries() -> int:
    """Deletes deliveries after WEBHOOK_RETENTION_DAYS, and strangers' refusals after 7 days. Orders and trades stay."""
    now, rows = timezone.now(), WebhookLog.objects.all()
    strangers = rows.of_strangers().older_than(now - STRANGERS_KEPT)
    return _drop_rows(strangers) + _drop_rows(
        rows.older_than(now - timedelta(days=settings.WEBHOOK_RETENTION_DAYS))
    )


def _drop_rows(rows: WebhookLogQuerySet) -> int:
    dropped = 0
    while portion := list(rows.order_by("pk").values_list("pk", flat=True)[:PORTION]):
        dropped += WebhookLog.objects.filter(pk__in=portion).delete()[0]
    return dropped


# The archive: deliveries are written to a file first (orders.archive)


def delivery_lines(before: datetime) -> Iterator[Line]:
    """One line for each delivery that was received before `before`."""
    last = 0
    while page := list(
        WebhookLog.objects.older_than(before).filter(pk__gt=last).order_by("pk")[:_ARCHIVED_AT_ONCE]
    ):
        yield from ({"kind": _DELIVERY, "rows": [row_values(row)]} for row in page)
        last = page[-1].pk


def delete_deliveries(lines: Iterable[Line], *, before: datetime, pace: Callable[[], None]) -> int:
    """Deletes the deliveries that the lines hold.

    Deliveries since `before` stay: in a restored database, ids of the file may be of newer deliveries. A later
    repetition of a deleted delivery loses only its reference.
    """
    deleted = 0
    for portion in in_portions(lines, _DELIVERY):
        rows = WebhookLog.objects.older_than(before).filter(
            pk__in=[row["id"] for line in portion for row in line["rows"]]
        )
        deleted += rows.delete()[1].get(WebhookLog._meta.label, 0)
        pace()
    return deleted
