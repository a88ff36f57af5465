from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class OrderStatus(TextChoices):
    INITIALIZED = "initialized", _("Initialized")
    QUEUED = "queued", _("Queued")
    DENIED = "denied", _("Denied")
    SUBMITTED = "submitted", _("Submitted")
    ACCEPTED = "accepted", _("Accepted")
    PARTIALLY_FILLED = "partially_filled", _("Partially filled")
    PENDING_CANCEL = "pending_cancel", _("Cancel pending")
    FILLED = "filled", _("Filled")
    CANCELED = "canceled", _("Canceled")
    EXPIRED = "expired", _("Expired")
    REJECTED = "rejected", _("Rejected")


class LegType(TextChoices):
    """`order_type` of a leg: four kinds of order and two of cancel."""

    MARKET = "MARKET", _("Market")
    LIMIT = "LIMIT", _("Limit")
    STOP_LIMIT = "STOP_LIMIT", _("Stop limit")
    STOP_MARKET = "STOP_MARKET", _("Stop market")
    CANCEL = "CANCEL", _("Cancel")
    CANCEL_ALL_ORDER = "CANCEL_ALL_ORDER", _("Cancel all orders")

    @property
    def is_cancel(self) -> bool:
        return self in (LegType.CANCEL, LegType.CANCEL_ALL_ORDER)


class Evidence(TextChoices):
    """Why we believe a change of status."""

    LOCAL = "local", _("Our own decision")
    REPLY = "reply", _("The exchange's answer to the request")
    QUERY = "query", _("The exchange's answer to a look-up")
    ABSENCE = "absence", _("Proof that the exchange never had it")
    OPERATOR = "operator", _("A person")
