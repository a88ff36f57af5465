"""Resting exits whose position is gone. Left alone they would open a new one, or close another strategy's.

An exchange takes reduce-only orders back by itself, but only when the account's whole position is gone, and only where
it knows such orders.
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
    """Marks them `pending_cancel` and returns them, to be canceled at the exchange."""
    exits = Order.objects.filter(status__in=_RESTING, qty_per__lt=0, unknown_since__isnull=True)
    resting = list(exits.select_related("account").order_by("pk"))
    if not resting:
        return []
    held, unsure = _held(resting), _unsure(resting)
    stale = [order for order in resting if order.position_key not in unsure and _closes_nothing(order, held)]
    moved = Order.objects.transition(
        cancel_of(order, evidence=Evidence.LOCAL, actor=actor, now=now) for order in stale
    )
    return [order for order in stale if order.pk in moved]


def _held(orders: list[Order]) -> dict[PositionKey, Decimal]:
    rows = Position.objects.held().filter(strategy_account__in={o.strategy_account_id for o in orders})
    columns = ("strategy_account_id", "symbol", "quantity")
    return {PositionKey(pk, symbol): held for pk, symbol, held in rows.values_list(*columns)}


def _unsure(orders: list[Order]) -> set[PositionKey]:
    """Where something is on its way that may change what is held."""
    rows = Order.objects.filter(strategy_account__in={o.strategy_account_id for o in orders})
    open_ended = (
        Q(released_at__isnull=True) | Q(status=OrderStatus.SUBMITTED) | Q(unknown_since__isnull=False)
    )
    columns = ("strategy_account_id", "symbol")
    return {PositionKey(*row) for row in rows.filter(open_ended).values_list(*columns)}


def _closes_nothing(order: Order, held: dict[PositionKey, Decimal]) -> bool:
    return held.get(order.position_key, Decimal(0)) * Side(order.side).sign >= 0
