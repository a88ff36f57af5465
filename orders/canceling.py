"""Cancels that a person asks for, order by order."""

from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.db.models import QuerySet

from orders.enums import Evidence, OrderStatus
from orders.errands import Errands
from orders.lifecycle import OPEN
from orders.models import Order
from orders.models.transitions import Transition


def cancel_orders(rows: QuerySet[Order], *, actor: str, clock: Callable[[], datetime]) -> list[Order]:
    """Cancels what is open or waiting among `rows` and returns all of them as they are afterwards.

    An order that stays `pending_cancel` got no answer yet; the tracker sees it through.
    """
    orders = list(rows.select_related("account").order_by("pk"))
    changes = {order.pk: _change(order, actor, clock()) for order in orders if _can_be_canceled(order)}
    moved = Order.objects.transition(changes.values()) if changes else set()
    at_exchange = []
    for order in orders:
        if order.pk in moved:
            order.status = changes[order.pk].target
        if order.status == OrderStatus.PENDING_CANCEL:
            at_exchange.append(order)
    errands = Errands(actor=actor, clock=clock)
    errands.cancel(at_exchange)
    while errands.under_way:
        errands.collect(timeout_s=settings.EXCHANGE_TIMEOUT_S)
    return list(
        Order.objects.filter(pk__in=[order.pk for order in orders]).select_related("account").order_by("pk")
    )


def _can_be_canceled(order: Order) -> bool:
    waiting = order.status in (OrderStatus.INITIALIZED, OrderStatus.QUEUED)
    return waiting or (order.status in OPEN and order.status != OrderStatus.PENDING_CANCEL)


def _change(order: Order, actor: str, now: datetime) -> Transition:
    source = OrderStatus(order.status)
    if source in OPEN:
        return Transition(
            order.pk, source, OrderStatus.PENDING_CANCEL, now, Evidence.OPERATOR, actor, {"checked_at": now}
        )
    fields = {"reason": "canceled_before_sending", "closed_at": now, "settled_at": now}
    return Transition(order.pk, source, OrderStatus.CANCELED, now, Evidence.OPERATOR, actor, fields)
