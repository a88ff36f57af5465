"""The exits of a strategy account that rest at the exchange: they give way to what takes from the position."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db.models import Q, QuerySet

from exchanges.enums import MarketType, OrderType, Side
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.exits import RestingExit, distance_of, exits_to_cancel
from orders.domain.keys import PositionKey
from orders.models import Order, Position
from orders.models.transitions import Transition, cancel_of

_RESTING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
MAKES_ROOM = "exit_makes_room"


def resting_exits(rows: QuerySet[Order]) -> QuerySet[Order]:
    """Narrows orders to exits that rest at the exchange. An adopted order is an exit if it is reduce-only."""
    exits = rows.filter(Q(qty_per__lt=0) | Q(reduce_only=True), status__in=_RESTING)
    return exits.exclude(order_type=OrderType.MARKET)


def as_resting(order: Order) -> RestingExit:
    kind, side = OrderType(order.order_type), Side(order.side)
    return RestingExit(
        key=order.pk,
        order_type=kind,
        remaining=(order.quantity or Decimal(0)) - order.filled,
        distance=distance_of(side, kind, order.price, order.stop_price),
    )


def mark_exits_beyond_positions(
    *, actor: str, now: datetime, only: Iterable[PositionKey] | None = None
) -> list[Order]:
    """Marks resting exits that exceed their position for a cancel. Returns the orders; the caller sends the cancels.

    An exit beyond the position would open a new position, or close the position of another strategy. The goal of a
    canceled exit sends a smaller one where something is left for it. `only` narrows the work to these positions.
    """
    rows = resting_exits(Order.objects.filter(unknown_since__isnull=True))
    keys = None if only is None else set(only)
    if keys is not None:
        rows = rows.filter(
            strategy_account__in={key.strategy_account_id for key in keys},
            symbol__in={key.symbol for key in keys},
        )
    resting = [
        order
        for order in rows.select_related("account").order_by("pk")
        if keys is None or order.position_key in keys
    ]
    if not resting:
        return []
    held, in_motion = _held_positions(resting), _positions_in_motion(resting)
    by_position: dict[PositionKey, list[Order]] = defaultdict(list)
    for order in resting:
        if order.position_key not in in_motion:
            by_position[order.position_key].append(order)
    beyond = [
        order for key, orders in by_position.items() for order in _beyond(orders, held.get(key, Decimal(0)))
    ]
    moved = Order.objects.transition(makes_room(order, actor=actor, now=now) for order in beyond)
    return [order for order in beyond if order.pk in moved]


def makes_room(order: Order, *, actor: str, now: datetime, goal_pk: int | None = None) -> Transition:
    """The transition that cancels an exit or entry for a newer exit (`goal_pk`), or for a smaller position."""
    return cancel_of(
        order,
        evidence=Evidence.LOCAL,
        actor=actor,
        now=now,
        reason=MAKES_ROOM,
        canceled_for_id=goal_pk,
    )


def _beyond(orders: list[Order], held: Decimal) -> Iterable[Order]:
    """Exits of the wrong side close nothing; the exits of the right side fit the position."""
    closing = [order for order in orders if held * Side(order.side).sign < 0]
    keys = exits_to_cancel(
        [as_resting(order) for order in closing],
        held=abs(held),
        shares_coins=orders[0].market_type == MarketType.SPOT,
    )
    return [order for order in orders if order not in closing or order.pk in keys]


def _held_positions(orders: list[Order]) -> dict[PositionKey, Decimal]:
    rows = Position.objects.held().filter(strategy_account__in={o.strategy_account_id for o in orders})
    columns = ("strategy_account_id", "symbol", "quantity")
    return {PositionKey(pk, symbol): held for pk, symbol, held in rows.values_list(*columns)}


def _positions_in_motion(orders: list[Order]) -> set[PositionKey]:
    """Returns the positions of unreleased orders, orders in flight and orders of unknown outcome.

    Such an order may still change the position.
    """
    rows = Order.objects.filter(strategy_account__in={o.strategy_account_id for o in orders})
    may_fill = Q(released_at__isnull=True) | Q(unknown_since__isnull=False)
    may_fill |= Q(status__in=[OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL])
    columns = ("strategy_account_id", "symbol")
    return {PositionKey(*row) for row in rows.filter(may_fill).values_list(*columns)}
