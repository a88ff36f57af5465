"""The rows around an exit goal: the goal of an exit order, the next attempt, and the entry that follows a reversal."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from exchanges.enums import OrderType
from orders.domain.terms import still_relative
from orders.models import ExitGoal, Order


def goal_of(order: Order, *, actor: str, at_most: dict[str, Any] | None = None) -> ExitGoal:
    """Returns the unsaved goal whose first attempt is the unsaved order. `actor` asked for the exit."""
    assert order.qty_per is not None
    return ExitGoal.compose(
        order.strategy_account,
        market_type=order.market_type,
        leg=order.leg,
        sequence=order.sequence,
        symbol=order.symbol,
        order_type=OrderType(order.order_type),
        qty_per=order.qty_per,
        actor=actor,
        created_at=order.created_at,
        side=order.side,
        price=order.price,
        stop_price=order.stop_price,
        at_most=at_most,
    )


def next_attempt(goal: ExitGoal, before: Order, order_type: OrderType | None, *, now: datetime) -> Order:
    """Returns the unsaved order that follows the attempt `before`.

    A relative price that no attempt has turned into a number goes on with the next attempt.
    """
    kind = order_type or OrderType(goal.order_type)
    attempt = Order.compose(
        goal.strategy_account,
        market_type=goal.market_type,
        leg=goal.leg,
        sequence=goal.sequence,
        symbol=goal.symbol,
        order_type=kind,
        side=goal.side,
        qty_per=goal.qty_per,
        price=goal.price if kind.needs_price else None,
        stop_price=goal.stop_price if kind.needs_stop_price else None,
        attempt=before.attempt + 1,
        part=goal.part,
        created_at=now,
        goal=goal,
        terms=still_relative(before.terms, price=goal.price, stop_price=goal.stop_price),
        tag=before.tag,
    )
    attempt.batch_id = goal.batch_id
    return attempt


def entry_after(goal: ExitGoal) -> Order:
    """Returns the unsaved entry of a reversal whose exit has reached its goal.

    The entry is as old as the reversal, so that it expires no later than another entry.
    """
    then: dict[str, Any] = goal.then
    numbers: dict[str, Any] = {
        name: Decimal(then[name]) for name in ("qty_per", "qty", "price", "stop_price") if name in then
    }
    order = Order.compose(
        goal.strategy_account,
        market_type=goal.market_type,
        leg=goal.leg,
        sequence=goal.sequence,
        symbol=goal.symbol,
        order_type=OrderType(then["order_type"]),
        side=then["side"],
        part=1,
        created_at=goal.created_at,
        terms=then["terms"],
        tag=then["tag"],
        **numbers,
    )
    order.batch_id = goal.batch_id
    order.account = goal.account
    return order
