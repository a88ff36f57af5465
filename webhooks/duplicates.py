"""Recognizes repeated deliveries (SPEC section 4, Duplicates). The caller holds the lock on the strategy's row."""

from datetime import datetime

from webhooks.admission import Admission
from webhooks.errors import WebhookError
from webhooks.message.payload import Delivery
from webhooks.models import KEY_LIFETIME, WebhookLog


def dedupe_key(delivery: Delivery) -> str | None:
    """Returns the sender's name for this firing, else the body if it has a time; None if the sender gave neither."""
    if delivery.alert_id:
        return f"id:{delivery.alert_id}"
    return f"body:{delivery.fingerprint}" if delivery.sent_at else None


def find_first(delivery: Delivery, admission: Admission, *, now: datetime) -> WebhookLog | None:
    """Returns the earlier delivery with the same claim, or None. Raises WebhookError (id_conflict)."""
    strategy, user = admission.strategy.pk, admission.token.user_id
    key = dedupe_key(delivery)
    if key is None:
        return WebhookLog.objects.unanswered_twin(strategy, user, delivery.fingerprint, now=now)
    first = WebhookLog.objects.with_key(strategy, user, key)
    if first is None:
        return None
    if first.received_at < now - KEY_LIFETIME:
        WebhookLog.objects.filter(pk=first.pk).update(dedupe_key=None)  # the claim has lapsed
        return None
    if first.fingerprint != delivery.fingerprint:
        raise WebhookError("id_conflict")
    return first
