"""Checks the rules that always hold (SPEC section 7) over our books and, for paper accounts, against its ledger.

Only reads; whatever it finds is for a person.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db.models import QuerySet

from orders.enums import OrderStatus
from orders.ledger import check_ledger
from orders.lifecycle import FINAL, IllegalTransition, replay
from orders.models import BookAudit, Order, OrderEvent, Position, Trade

_CHUNK = 500


def audit(*, now: datetime, since: datetime | None = None) -> BookAudit:
    """Checks orders created since then, all of them without `since`, and every position; stores the result."""
    orders = Order.objects.all() if since is None else Order.objects.filter(created_at__gte=since)
    problems = [
        *_check_orders(orders),
        *_check_positions(),
        *check_ledger(orders, url=settings.PAPER_EXCHANGE_URL),
    ]
    return BookAudit.objects.create(at=now, checked_orders=orders.count(), problems=problems)


def _check_orders(orders: "QuerySet[Order]") -> Iterator[str]:
    pks = list(orders.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(pks), _CHUNK):
        yield from _check_chunk(pks[start : start + _CHUNK])


def _check_chunk(pks: list[int]) -> Iterator[str]:
    filled: dict[int, Decimal] = defaultdict(Decimal)
    for order_id, quantity in Trade.objects.filter(order__in=pks).values_list("order", "quantity"):
        filled[order_id] += quantity
    events: dict[int, list[tuple[OrderStatus, OrderStatus]]] = defaultdict(list)
    rows = OrderEvent.objects.filter(order__in=pks).order_by("pk")
    for order_id, source, target in rows.values_list("order", "from_status", "to_status"):
        events[order_id].append((OrderStatus(source), OrderStatus(target)))
    for order in Order.objects.filter(pk__in=pks):
        for problem in _check_order(order, filled[order.pk], events[order.pk]):
            yield f"order {order.client_order_id}: {problem}"


def _check_order(
    order: Order, traded: Decimal, events: list[tuple[OrderStatus, OrderStatus]]
) -> Iterator[str]:
    if order.filled != traded:
        yield f"filled is {order.filled} but its trades sum up to {traded}"
    if order.quantity is not None and traded > order.quantity:
        yield f"trades of {traded} exceed the quantity of {order.quantity}"
    if (order.status == OrderStatus.FILLED) != (order.quantity is not None and traded == order.quantity):
        yield f"is {order.status} with {traded} of {order.quantity} traded"
    if order.status in FINAL and order.closed_at is None:
        yield f"is {order.status} without a closing time"
    yield from _check_replay(order, events)


def _check_replay(order: Order, events: list[tuple[OrderStatus, OrderStatus]]) -> Iterator[str]:
    try:
        replayed = replay(events)
    except IllegalTransition as error:
        yield f"its events do not follow one another: {error}"
        return
    if replayed != order.status:
        yield f"is {order.status} but its events end with {replayed.value}"


def _check_positions() -> Iterator[str]:
    summed: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for trade in Trade.objects.only("strategy_account", "symbol", "side", "quantity", "base_fee").iterator():
        summed[trade.strategy_account_id, trade.symbol] += trade.signed_quantity
    for position in Position.objects.all():
        total = summed.pop((position.strategy_account_id, position.symbol), Decimal(0))
        if total != position.quantity:
            yield f"position {position.pk} {position.symbol}: is {position.quantity} but its trades sum up to {total}"
    for (share, symbol), total in summed.items():
        yield f"strategy account {share} {symbol}: trades of {total} without a position"
