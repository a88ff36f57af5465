"""Stores the protections that entries ask for, before the entries are sent."""

from collections.abc import Iterable
from datetime import datetime

from orders.models import Order, Protection

PROTECTION = "protection"  # the key in an order's terms


def asks_for_protection(order: Order) -> bool:
    return PROTECTION in order.terms and not order.is_closing


def register_protections(orders: Iterable[Order], *, now: datetime) -> None:
    """Writes the protection of each entry that asks for one, in the transaction that commits the entry as submitted.

    A crash at any later step finds the row, and the tracker protects what the entry turns out to have bought.
    """
    rows = [
        Protection(
            entry=order,
            strategy_id=order.strategy_id,
            strategy_account_id=order.strategy_account_id,
            market_type=order.market_type,
            symbol=order.symbol,
            side=order.side,
            terms=order.terms[PROTECTION],
            created_at=now,
        )
        for order in orders
        if asks_for_protection(order)
    ]
    Protection.objects.bulk_create(rows)
