from datetime import datetime, timedelta
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from exchanges.database.prepared import Query, Slot, Update


class DeliveryStatus(models.TextChoices):
    ACCEPTED = "accepted", _("Accepted")
    DRY_RUN = "dry_run", _("Dry run")
    DUPLICATE = "duplicate", _("Duplicate")
    REFUSED = "refused", _("Refused")


KEY_LIFETIME = timedelta(days=7)
UNANSWERED_WINDOW = timedelta(seconds=30)


def new_public_id() -> str:
    """The name of a delivery in answers: 32 random hexadecimal digits. A number would count everybody's deliveries."""
    return uuid4().hex


class WebhookLogQuerySet(models.QuerySet["WebhookLog"]):
    def of_strangers(self) -> "WebhookLogQuerySet":
        """Refused deliveries of senders who had not proved their identity: the row has no token."""
        return self.filter(status=DeliveryStatus.REFUSED, token__isnull=True)

    def older_than(self, moment: datetime) -> "WebhookLogQuerySet":
        return self.filter(received_at__lt=moment)


class WebhookLog(models.Model):
    """A received POST. No column holds a token in clear; `content` has the fields as understood, not as sent."""

    public_id = models.CharField(_("public id"), max_length=32, default=new_public_id, editable=False)
    status = models.CharField(_("status"), max_length=10, choices=DeliveryStatus.choices)
    strategy = models.ForeignKey("strategies.Strategy", models.PROTECT, null=True, verbose_name=_("strategy"))
    token = models.ForeignKey(
        "strategies.WebhookToken", models.PROTECT, null=True, verbose_name=_("webhook token")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("user of the token"),
    )
    batch = models.OneToOneField(
        "orders.Batch", models.PROTECT, null=True, related_name="delivery", verbose_name=_("batch")
    )
    first = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="duplicates", verbose_name=_("first delivery")
    )
    sender = models.GenericIPAddressField(_("sender"), null=True)
    dedupe_key = models.CharField(max_length=210, null=True, editable=False)
    fingerprint = models.CharField(max_length=64, blank=True, editable=False)
    content = models.JSONField(_("content"), default=dict)
    dialect = models.CharField(_("dialect"), max_length=20, blank=True)
    warnings = models.JSONField(_("warnings"), default=list, blank=True)
    unread = models.TextField(
        _("unread text"), blank=True, help_text=_("A message that cannot be read, without its secrets.")
    )
    error_code = models.CharField(_("error code"), max_length=40, blank=True)
    error = models.CharField(_("error"), max_length=400, blank=True)
    signaled_at = models.DateTimeField(_("signaled at"), null=True)
    # The index of received_at is read by drop_old_deliveries and by the admin's list.
    received_at = models.DateTimeField(_("received at"), db_index=True)
    validated_at = models.DateTimeField(_("validated at"), null=True)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    answered_at = models.DateTimeField(_("answered at"), null=True)
    validation_time_ms = models.FloatField(_("validation (ms)"), null=True)
    preprocessing_time_ms = models.FloatField(_("preprocessing (ms)"), null=True)
    trade_processing_time_ms = models.FloatField(_("trade processing (ms)"), null=True)
    total_processing_time_ms = models.FloatField(_("total (ms)"), null=True)

    objects = WebhookLogQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-pk"]
        constraints = [
            # Read by the admin's search; without the second index that a unique text column has on PostgreSQL.
            models.UniqueConstraint(fields=["public_id"], name="delivery_public_id"),
            # A rotated token is the same sender.
            models.UniqueConstraint(
                fields=["strategy", "user", "dedupe_key"], name="delivery_once_per_sender"
            ),
        ]
        indexes = [
            # Read by unanswered_twin.
            models.Index(
                fields=["strategy", "user", "fingerprint"],
                condition=Q(status="accepted", answered_at__isnull=True),
                name="delivery_unanswered_by_sender",
            ),
            # Read by drop_old_deliveries.
            models.Index(
                fields=["received_at"],
                condition=Q(status="refused", token__isnull=True),
                name="delivery_of_stranger",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


def _with_key() -> WebhookLogQuerySet:
    rows = WebhookLog.objects.filter(strategy=Slot("strategy"), user=Slot("user"), dedupe_key=Slot("key"))
    return rows.select_related("batch").order_by()


def _unanswered_twin() -> WebhookLogQuerySet:
    rows = WebhookLog.objects.filter(
        status=DeliveryStatus.ACCEPTED,
        strategy=Slot("strategy"),
        user=Slot("user"),
        fingerprint=Slot("fingerprint"),
        answered_at__isnull=True,
        received_at__gt=Slot("since"),
    )
    return rows.select_related("batch").order_by("pk")[:1]


def _noted() -> tuple[WebhookLogQuerySet, dict[str, Slot]]:
    columns = (
        "sent_at",
        "answered_at",
        "validation_time_ms",
        "preprocessing_time_ms",
        "trade_processing_time_ms",
        "total_processing_time_ms",
    )
    return WebhookLog.objects.filter(pk=Slot("pk")), {column: Slot(column) for column in columns}


# The times of a delivery's stages, noted when its answer is ready.
NOTE_ANSWER = Update(_noted)
# The delivery that holds a key, at most one.
WITH_KEY = Query(_with_key)
# The first accepted delivery of the same body without an answer yet: under way, or lost in a crash.
UNANSWERED_TWIN = Query(_unanswered_twin)
