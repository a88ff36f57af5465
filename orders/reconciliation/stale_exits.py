"""Finds stale exits: resting exits whose position is gone.

A stale exit would open a new position, or close the position of another strategy. An exchange cancels reduce-only
orders by itself, but only when the account's whole position is gone, and only where the exchange knows such orders.
"""

from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from exchanges.enums import Side
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.keys import PositionKey
from orders.models import Order, Position
from orders.models.transitions import cancel_of

_RESTING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)


def mark_stale_exits(*, actor: str, now: datetime) -> list[Order]:
    """Moves stale exits to `pending_cancel` and returns the exits. The caller sends the cancels."""
    exits = Order.objects.filter(status__in=_RESTING, qty_per__lt=0, unknown_since__isnull=True)
    resting = list(exits.select_related("account").order_by("pk"))
    if not resting:
        return []
    held, in_motion = _held_positions(resting), _positions_in_motion(resting)
    stale = [
        order for order in resting if order.position_key not in in_motion and _closes_nothing(order, held)
    ]
    moved = Order.objects.transition(
        cancel_of(order, evidence=Evidence.LOCAL, actor=actor, now=now) for order in stale
    )
    return [order for order in stale if order.pk in moved]


def _held_positions(orders: list[Order]) -> dict[PositionKey, Decimal]:
    rows = Position.objects.held().filter(strategy_account__in={o.strategy_account_id for o in orders})
    columns = ("strategy_account_id", "symbol", "quantity")
    return {PositionKey(pk, symbol): held for pk, symbol, held in rows.values_list(*columns)}


def _positions_in_motion(orders: list[Order]) -> set[PositionKey]:
    """Returns the positions of unreleased orders, `submitted` orders and orders of unknown outcome.

    Such an order may still change the position.
    """
    rows = Order.objects.filter(strategy_account__in={o.strategy_account_id for o in orders})
    may_fill = Q(released_at__isnull=True) | Q(status=OrderStatus.SUBMITTED) | Q(unknown_since__isnull=False)
    columns = ("strategy_account_id", "symbol")
    return {PositionKey(*row) for row in rows.filter(may_fill).values_list(*columns)}


def _closes_nothing(order: Order, held: dict[PositionKey, Decimal]) -> bool:
    return held.get(order.position_key, Decimal(0)) * Side(order.side).sign >= 0
