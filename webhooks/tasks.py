"""Scheduled tasks of the worker. A task may run twice."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from webhooks.models import WebhookLog, WebhookLogQuerySet

STRANGERS_KEPT = timedelta(days=7)
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
