"""Recognizes repeated deliveries (SPEC section 4, Duplicates). The caller holds the lock on the strategy's row."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from exchanges.database.prepared import Query
from webhooks.admission import Admission
from webhooks.errors import WebhookError
from webhooks.message.payload import Delivery
from webhooks.models import KEY_LIFETIME, UNANSWERED_TWIN, UNANSWERED_WINDOW, WITH_KEY, WebhookLog

logger = logging.getLogger(__name__)

# TradingView sends an alert again after 5 s, at most three times. What comes much later is no repetition.
_LATE_REPETITION = timedelta(minutes=10)


def dedupe_key(delivery: Delivery) -> str | None:
    """Returns the sender's name for this firing, else the body if it has a time; None if the sender gave neither."""
    if delivery.alert_id:
        return f"id:{delivery.alert_id}"
    return f"body:{delivery.fingerprint}" if delivery.sent_at else None


def claimants(delivery: Delivery) -> Query[WebhookLog]:
    """The query for deliveries with the same claim. Its slots: `values_of`."""
    return UNANSWERED_TWIN if dedupe_key(delivery) is None else WITH_KEY


def values_of(delivery: Delivery, admission: Admission, *, now: datetime) -> dict[str, Any]:
    """The values of the slots of `claimants`, beside the slot `strategy`."""
    key, user = dedupe_key(delivery), admission.token.user_id
    if key is not None:
        return {"user": user, "key": key}
    return {"user": user, "fingerprint": delivery.fingerprint, "since": now - UNANSWERED_WINDOW}


def first_of(found: Sequence[WebhookLog], delivery: Delivery, *, now: datetime) -> WebhookLog | None:
    """Returns the earlier delivery among the `claimants`, or None. Raises WebhookError (id_conflict)."""
    first = found[0] if found else None
    if first is None or dedupe_key(delivery) is None:
        return first
    if first.received_at < now - KEY_LIFETIME:
        WebhookLog.objects.filter(pk=first.pk).update(dedupe_key=None)  # the claim has lapsed
        return None
    if first.fingerprint != delivery.fingerprint:
        raise WebhookError("id_conflict")
    return first


def warnings_about(delivery: Delivery, first: WebhookLog, *, now: datetime) -> list[str]:
    """Returns sentences about a delivery that was recognized as a repetition of `first`.

    An id that comes again much later is an id that never changes: it swallows alerts, and nobody would see it.
    """
    if not delivery.alert_id:
        return [
            _(
                "The message is equal to an earlier one and was taken for its repetition. Send a different id with each"
                " alert, and two equal alerts are two orders."
            )
        ]
    age = now - first.received_at
    if age < _LATE_REPETITION:
        return []
    logger.error(
        "id repeated after %s s strategy=%s first=%s",
        int(age.total_seconds()),
        first.strategy_id,
        first.public_id,
    )
    return [
        _(
            "The id was used %(minutes)s minutes ago, and nothing was sent. An id must change with each alert, for"
            " example with {{timenow}}."
        )
        % {"minutes": int(age.total_seconds() // 60)}
    ]
