"""The acts that leave an entry in the audit trail. A code never changes: entries are kept for good."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Action(TextChoices):
    """A code names the kind of thing, and the act."""

    STATE_CHANGED = "trading_state.changed", _("Trading state changed")
    LIMITS_CHANGED = "limits.changed", _("Limits changed")
    ROW_ADDED = "row.added", _("Row added")
    ROW_CHANGED = "row.changed", _("Row changed")
    ROW_DELETED = "row.deleted", _("Row deleted")
    KEY_CHANGED = "key.changed", _("Exchange key changed")
    PAUSE_LIFTED = "pause.lifted", _("Pause lifted")
    TOKEN_ISSUED = "token.issued", _("Token issued")
    TOKEN_REVOKED = "token.revoked", _("Token revoked")
    SIGNATURE_REQUIRED = "token.signature_required", _("Signatures required")
    SIGNATURE_DROPPED = "token.signature_dropped", _("Signatures no longer required")
    ROLES_CHANGED = "roles.changed", _("Roles changed")
    PASSWORD_CHANGED = "password.changed", _("Password changed")
    SECOND_FACTOR_ADDED = "second_factor.added", _("Second factor added")
    SECOND_FACTOR_REMOVED = "second_factor.removed", _("Second factor removed")
    SIGNED_IN = "sign_in.succeeded", _("Signed in")
    SIGN_IN_FAILED = "sign_in.failed", _("Sign-in failed")
    SIGNED_OUT = "sign_out", _("Signed out")
    SESSION_ENDED = "session.ended", _("Session ended")
    REAUTHENTICATED = "reauthentication.succeeded", _("Identity confirmed")
    REAUTHENTICATION_FAILED = "reauthentication.failed", _("Identity not confirmed")
    ORDERS_CANCELED = "orders.canceled", _("Orders canceled")
    ORDER_DECLARED_ABSENT = "order.declared_absent", _("Order declared absent")
    POSITIONS_CLOSED = "positions.closed", _("Positions closed")
    GOALS_ENDED = "exit_goals.ended", _("Exit goals ended")
    GOALS_RETRIED = "exit_goals.retried", _("Exit goals tried again")
    PARTICIPATION_ENDED = "participation.ended", _("Participation ended")
    PARTICIPATION_BEGUN = "participation.begun", _("Participation begun")
    ADJUSTED = "books.adjusted", _("Books adjusted")
    DECLARED_EXTERNAL = "books.declared_external", _("Declared external")
    ADOPTED = "books.adopted", _("Orders adopted")
    REFUSED = "deliveries.refused", _("Deliveries refused")
    CREDENTIALS_ROTATED = "credentials.rotated", _("Credentials encrypted anew")
    UNSAFE_START = "start.unsafe", _("Started with unsafe settings")
    EXPORTED = "trail.exported", _("Trail exported")
