"""Scheduled by the worker. Each ends in one call and may run twice."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from webhooks.models import WebhookLog


def drop_old_deliveries() -> int:
    """Removes deliveries older than WEBHOOK_RETENTION_DAYS; their orders and trades stay."""
    limit = timezone.now() - timedelta(days=settings.WEBHOOK_RETENTION_DAYS)
    return WebhookLog.objects.older_than(limit).delete()[0]
