"""Applies cancel instructions to order rows: cancels unsent orders, and marks open orders for a cancel."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q, QuerySet

from orders.domain.enums import Evidence, GoalState, OrderStatus
from orders.domain.lifecycle import OPEN, UNSENT
from orders.exits.resting import makes_room
from orders.models import Cancellation, ExitGoal, Order
from orders.models.transitions import Transition, cancel_of


def cancel_waiting(
    cancellations: Sequence[Cancellation], *, actor: str, now: datetime, found: list[Order]
) -> None:
    """Cancels waiting orders of earlier deliveries before their turn, because they would be sent only to be canceled.

    A waiting exit stays, unless a CANCEL names the exit: CANCEL_ALL_ORDER is meant for resting orders, and the position
    of the exit must still be closed. The canceled orders are added to `found`.
    """
    batch = cancellations[0].batch_id
    orders = list(_earlier_orders(batch, cancellations).filter(status__in=UNSENT, batch__lt=batch))
    covered = [(c, order) for c in cancellations for order in orders if _covers(c, order)]
    cancelable = {o.pk: (c, o) for c, o in covered if c.target_id is not None or not _may_close(o)}
    Order.objects.transition(_cancel_transition(order, c, actor, now) for c, order in cancelable.values())
    for cancellation, order in cancelable.values():
        if order.canceled_by_id == cancellation.pk:
            order.canceled_by = cancellation
            found.append(order)


def _may_close(order: Order) -> bool:
    return order.is_closing or order.is_undecided


def cancel_waiting_entries(goals: Sequence[ExitGoal], *, actor: str, now: datetime) -> list[Order]:
    """Cancels entries of earlier deliveries that wait for their turn, because a full exit of their position has come.

    Returns the canceled entries.
    """
    by_position = {goal.position_key: goal for goal in goals}
    rows = Order.objects.waiting().filter(
        batch__lt=goals[0].batch_id,
        goal__isnull=True,
        strategy_account__in={key.strategy_account_id for key in by_position},
        symbol__in={key.symbol for key in by_position},
    )
    entries = [
        order for order in rows.select_related("account").order_by("pk") if order.position_key in by_position
    ]
    moved = Order.objects.transition(
        makes_room(order, actor=actor, now=now, goal_pk=by_position[order.position_key].pk)
        for order in entries
    )
    return [order for order in entries if order.pk in moved]


def mark_for_cancel(
    cancellations: Sequence[Cancellation],
    *,
    actor: str,
    now: datetime,
    found: list[Order],
    own: Sequence[Order] = (),
) -> dict[Cancellation, list[Order]]:
    """Cancels unsent orders, marks open orders as `pending_cancel`, and returns the latter by instruction.

    An instruction covers only earlier orders of the instruction's own strategy account. Every covered order is added to
    `found`. Where `own` has an instance of the order, `found` gets this instance, brought up to date.
    """
    _end_named_goals(cancellations, actor=actor, now=now)
    instances = {order.pk: order for order in own}
    orders = [_refreshed_order(instances.get(row.pk), row) for row in _cancelable_orders(cancellations)]
    covered = {c: [order for order in orders if _covers(c, order)] for c in cancellations}
    canceled_by = {order.pk: cancellation.pk for cancellation, group in covered.items() for order in group}
    wanted = [order for order in orders if order.pk in canceled_by]
    Order.objects.cancel(wanted, evidence=Evidence.LOCAL, actor=actor, now=now, canceled_by=canceled_by)
    for cancellation, group in covered.items():
        for order in group:
            order.canceled_by = cancellation
        found += group
    return {
        cancellation: [order for order in group if order.status == OrderStatus.PENDING_CANCEL]
        for cancellation, group in covered.items()
    }


def _end_named_goals(cancellations: Sequence[Cancellation], *, actor: str, now: datetime) -> None:
    """A CANCEL that names an attempt of an exit ends the exit's goal, also between two attempts."""
    named = [c.target_id for c in cancellations if c.target_id is not None]
    if named:
        goals = ExitGoal.objects.pursued().filter(attempts__in=named).values_list("pk", flat=True)
        ExitGoal.objects.filter(pk__in=list(goals)).update(
            state=GoalState.ENDED, ended_by=actor, over_at=now, due_at=None
        )


def _cancelable_orders(cancellations: Sequence[Cancellation]) -> list[Order]:
    return list(_earlier_orders(cancellations[0].batch_id, cancellations).filter(status__in=[*OPEN, *UNSENT]))


def _earlier_orders(batch: int, cancellations: Sequence[Cancellation]) -> QuerySet[Order]:
    last = max(cancellation.sequence for cancellation in cancellations)
    rows = Order.objects.filter(
        Q(batch__lt=batch) | Q(batch=batch, sequence__lt=last),
        strategy_account__in={cancellation.strategy_account_id for cancellation in cancellations},
    )
    return rows.select_related("account").order_by("pk")


def _refreshed_order(instance: Order | None, row: Order) -> Order:
    if instance is None:
        return row
    instance.adopt(row)
    return instance


def _covers(cancellation: Cancellation, order: Order) -> bool:
    if order.strategy_account_id != cancellation.strategy_account_id:
        return False
    if order.batch_id == cancellation.batch_id and order.sequence >= cancellation.sequence:
        return False
    if cancellation.target_id is not None:
        return order.pk == cancellation.target_id
    if cancellation.tag not in ("", order.tag):
        return False
    return cancellation.symbol in ("", order.symbol) and cancellation.side in ("", order.side)


def _cancel_transition(order: Order, cancellation: Cancellation, actor: str, now: datetime) -> Transition:
    return cancel_of(order, evidence=Evidence.LOCAL, actor=actor, now=now, canceled_by=cancellation.pk)
