"""Cancels orders for a person, order by order."""

from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.db.models import QuerySet

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from orders.domain.enums import Evidence, OrderStatus
from orders.execution.client import ExecutionClient
from orders.models import Order
from orders.models.transitions import atomic_statuses

_NAMED = 500  # orders that one audit entry names; each order's events name the person, too


def cancel_orders(rows: QuerySet[Order], *, actor: Actor, clock: Callable[[], datetime]) -> list[Order]:
    """Cancels the open and the waiting orders among `rows`; returns all `rows` as the orders are afterwards.

    An order stays `pending_cancel` while the exchange has not answered; the tracker goes on with such an order.
    """
    orders = list(rows.select_related("account").order_by("pk"))
    _cancel_in_books(orders, actor, clock())
    at_exchange = [order for order in orders if order.status == OrderStatus.PENDING_CANCEL]
    client = ExecutionClient(actor=actor.name, clock=clock)
    client.cancel(at_exchange)
    while client.under_way:
        client.collect(timeout_s=settings.EXCHANGE_TIMEOUT_S)
    return list(
        Order.objects.filter(pk__in=[order.pk for order in orders]).select_related("account").order_by("pk")
    )


def _cancel_in_books(orders: list[Order], actor: Actor, now: datetime) -> None:
    before = {order.pk: order.status for order in orders}
    with atomic_statuses(orders):
        Order.objects.cancel(orders, evidence=Evidence.OPERATOR, actor=actor.name, now=now)
        canceled = [order for order in orders if order.status != before[order.pk]]
        if canceled:
            named = {order.client_order_id: order.status for order in canceled[:_NAMED]}
            after = {"count": len(canceled), "orders": named}
            record(Action.ORDERS_CANCELED, _only(canceled), actor=actor, now=now, after=after)


def _only(orders: list[Order]) -> Order | None:
    return orders[0] if len(orders) == 1 else None
