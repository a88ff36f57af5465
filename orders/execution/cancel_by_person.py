"""Cancels orders for a person, order by order."""

from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.db.models import QuerySet

from orders.domain.enums import Evidence, OrderStatus
from orders.execution.client import ExecutionClient
from orders.models import Order


def cancel_orders(rows: QuerySet[Order], *, actor: str, clock: Callable[[], datetime]) -> list[Order]:
    """Cancels the open and the waiting orders among `rows`; returns all `rows` as the orders are afterwards.

    An order stays `pending_cancel` while the exchange has not answered; the tracker goes on with such an order.
    """
    orders = list(rows.select_related("account").order_by("pk"))
    Order.objects.cancel(orders, evidence=Evidence.OPERATOR, actor=actor, now=clock())
    at_exchange = [order for order in orders if order.status == OrderStatus.PENDING_CANCEL]
    client = ExecutionClient(actor=actor, clock=clock)
    client.cancel(at_exchange)
    while client.under_way:
        client.collect(timeout_s=settings.EXCHANGE_TIMEOUT_S)
    return list(
        Order.objects.filter(pk__in=[order.pk for order in orders]).select_related("account").order_by("pk")
    )
