"""What is removed, and when."""

from datetime import timedelta

import pytest
from django.utils import timezone

from strategies.models import WebhookToken
from tests.factories import issue_token
from webhooks import tasks
from webhooks.models import DeliveryStatus, WebhookLog

pytestmark = pytest.mark.django_db


@pytest.fixture
def token(alice):
    issue_token(alice)
    return WebhookToken.objects.get()


def delivery(days, **fields):
    received_at = timezone.now() - timedelta(days=days)
    return WebhookLog.objects.create(received_at=received_at, **fields)


def test_refusals_of_strangers_go_after_a_week_and_everything_else_after_the_retention(
    settings, token, monkeypatch
):
    monkeypatch.setattr(tasks, "PORTION", 2)
    settings.WEBHOOK_RETENTION_DAYS = 30
    for _ in range(5):
        delivery(8, status=DeliveryStatus.REFUSED)
    kept = [
        delivery(6, status=DeliveryStatus.REFUSED),
        delivery(8, status=DeliveryStatus.REFUSED, token=token),
        delivery(29, status=DeliveryStatus.ACCEPTED, token=token),
    ]
    delivery(31, status=DeliveryStatus.ACCEPTED, token=token)

    assert tasks.drop_old_deliveries() == 6

    assert set(WebhookLog.objects.all()) == set(kept)
