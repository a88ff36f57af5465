from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from exchanges.enums import OrderType


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


class CancelType(TextChoices):
    """The two cancel instructions of a leg. A leg names a cancel instruction instead of an order type."""

    CANCEL = "CANCEL", _("Cancel")
    CANCEL_ALL_ORDER = "CANCEL_ALL_ORDER", _("Cancel all orders")


# `order_type` of a leg: the order types of the adapters, and the two cancel instructions.
LegType = OrderType | CancelType
LEG_TYPES: dict[str, LegType] = {str(leg_type): leg_type for leg_type in (*OrderType, *CancelType)}


class GoalState(TextChoices):
    """What became of an exit goal (SPEC section 6a)."""

    WORKING = "working", _("Working")
    RESTING = "resting", _("Resting at the exchange")
    REACHED = "reached", _("Reached")
    SUPERSEDED = "superseded", _("Superseded by a newer goal")
    NEEDS_PERSON = "needs_person", _("Needs a person")
    ENDED = "ended", _("Ended by a person")


class ProtectionState(TextChoices):
    """What became of the protective exits of an entry."""

    WAITING = "waiting", _("Waiting for the entry")
    ACTIVE = "active", _("Active")
    OVER = "over", _("Over")


class Evidence(TextChoices):
    """The reason to believe a change of an order's status."""

    LOCAL = "local", _("Our own decision")
    REPLY = "reply", _("The exchange's answer to the request")
    QUERY = "query", _("The exchange's answer to a look-up")
    ABSENCE = "absence", _("Proof that the exchange never had it")
    OPERATOR = "operator", _("A person")
