"""Resting exits whose position is gone. Left alone they would open a new one, or close another strategy's.

An exchange takes reduce-only orders back by itself, but only when the account's whole position is gone, and only where
it knows such orders.
"""

from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from exchanges.enums import Side
from orders.enums import Evidence, OrderStatus
from orders.models import Order, Position
from orders.models.transitions import Transition

_RESTING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
Place = tuple[int, str]  # strategy account and symbol


def withdraw_orphans(*, actor: str, now: datetime) -> list[Order]:
    """Marks them `pending_cancel` and returns them, to be canceled at the exchange."""
    exits = Order.objects.filter(status__in=_RESTING, qty_per__lt=0, unknown_since__isnull=True)
    resting = list(exits.select_related("account").order_by("pk"))
    if not resting:
        return []
    held, unsure = _held(resting), _unsure(resting)
    orphans = [order for order in resting if _place(order) not in unsure and _closes_nothing(order, held)]
    changes = [_change(order, actor, now) for order in orphans]
    moved = Order.objects.transition(changes) if changes else set()
    marked = [order for order in orphans if order.pk in moved]
    for order in marked:
        order.status = OrderStatus.PENDING_CANCEL
    return marked


def _held(orders: list[Order]) -> dict[Place, Decimal]:
    rows = Position.objects.held().filter(strategy_account__in={o.strategy_account_id for o in orders})
    return {
        (share, symbol): held
        for share, symbol, held in rows.values_list("strategy_account_id", "symbol", "quantity")
    }


def _unsure(orders: list[Order]) -> set[Place]:
    """Where something is on its way that may change what is held."""
    rows = Order.objects.filter(strategy_account__in={o.strategy_account_id for o in orders})
    open_ended = Q(settled_at__isnull=True) | Q(status=OrderStatus.SUBMITTED) | Q(unknown_since__isnull=False)
    return set(rows.filter(open_ended).values_list("strategy_account_id", "symbol"))


def _place(order: Order) -> Place:
    return (order.strategy_account_id, order.symbol)


def _closes_nothing(order: Order, held: dict[Place, Decimal]) -> bool:
    return held.get(_place(order), Decimal(0)) * Side(order.side).sign >= 0


def _change(order: Order, actor: str, now: datetime) -> Transition:
    fields = {"checked_at": now}
    source = OrderStatus(order.status)
    return Transition(order.pk, source, OrderStatus.PENDING_CANCEL, now, Evidence.LOCAL, actor, fields)
