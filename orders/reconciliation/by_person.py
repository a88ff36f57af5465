"""What a person decides about orders whose outcome could not be read: where an exchange gives no proof, they look."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings

from orders.domain.enums import Evidence, OrderStatus
from orders.models import Order
from orders.models.transitions import Transition


def declare_absent(orders: Sequence[Order], *, actor: str, now: datetime) -> list[Order]:
    """Closes orders that their exchange never had, on the word of a person; returns them.

    Only those that were sent and have been of unknown outcome for longer than ABSENCE_HORIZON_S: until then an exchange
    may still take them. The others stay as they are.
    """
    changes = [_closing(order, actor, now) for order in orders if _may_be_declared(order, now)]
    moved = Order.objects.transition(changes)
    return [order for order in orders if order.pk in moved]


def _may_be_declared(order: Order, now: datetime) -> bool:
    horizon = timedelta(seconds=settings.ABSENCE_HORIZON_S)
    is_unknown = order.unknown_since is not None and now - order.unknown_since > horizon
    return is_unknown and order.status == OrderStatus.SUBMITTED and not order.filled


def _closing(order: Order, actor: str, now: datetime) -> Transition:
    fields = {
        "reason": "not_found_at_exchange",
        "closed_at": now,
        "released_at": order.released_at or now,
        "unknown_since": None,
    }
    return Transition(order, OrderStatus.REJECTED, now, Evidence.OPERATOR, actor, fields)
