"""A person's decision about orders of unknown outcome.

Where an exchange gives no proof of absence, the person looks for the order at the exchange.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.lifecycle import OPEN
from orders.models import Order
from orders.models.transitions import Transition, atomic_statuses
from orders.reconciliation.absence import FORGOTTEN, NEVER_HAD, UNPROVED


def declare_absent(orders: Sequence[Order], *, actor: Actor, now: datetime) -> list[Order]:
    """Closes orders on a person's word that the exchange never had the orders. Returns the closed orders.

    Closes only `submitted` orders without fills whose outcome has been unknown for longer than ABSENCE_HORIZON_S: until
    then the exchange may still accept the order. Closes also orders that the exchange has forgotten, where its history
    does not prove what became of them. The other orders stay unchanged.
    """
    before = {order.pk: order.status for order in orders}
    changes = [
        _closing_transition(order, actor.name, now) for order in orders if _may_be_declared(order, now)
    ]
    with atomic_statuses(orders):
        moved = Order.objects.transition(changes)
        closed = [order for order in orders if order.pk in moved]
        for order in closed:
            record(
                Action.ORDER_DECLARED_ABSENT,
                order,
                actor=actor,
                now=now,
                before={"status": before[order.pk]},
                after={"status": order.status, "reason": order.reason},
            )
    return closed


def _may_be_declared(order: Order, now: datetime) -> bool:
    if _is_forgotten(order):
        return True
    horizon = timedelta(seconds=settings.ABSENCE_HORIZON_S)
    is_unknown = order.unknown_since is not None and now - order.unknown_since > horizon
    return is_unknown and order.status == OrderStatus.SUBMITTED and not order.filled


def _is_forgotten(order: Order) -> bool:
    return order.status in OPEN and order.reason == UNPROVED


def _closing_transition(order: Order, actor: str, now: datetime) -> Transition:
    fields = {
        "reason": FORGOTTEN if _is_forgotten(order) else NEVER_HAD,
        "closed_at": now,
        "released_at": order.released_at or now,
        "unknown_since": None,
    }
    target = OrderStatus.CANCELED if _is_forgotten(order) else OrderStatus.REJECTED
    return Transition(order, target, now, Evidence.OPERATOR, actor, fields)
