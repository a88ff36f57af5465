"""Carries cancel instructions into the orders that they mean, as far as our own rows go."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q, QuerySet

from orders.domain.enums import Evidence, OrderStatus
from orders.domain.lifecycle import OPEN, UNSENT
from orders.models import Cancellation, Order
from orders.models.transitions import Transition, cancel_of


def cancel_waiting(
    cancellations: Sequence[Cancellation], *, actor: str, now: datetime, found: list[Order]
) -> None:
    """Cancels what earlier deliveries have waiting, before its turn comes: it would be sent only to be canceled.

    Exits stay, unless they are named: "cancel all" is said of what rests, and what was to be left must still be left.
    """
    batch = cancellations[0].batch_id
    orders = list(_earlier(batch, cancellations).filter(status__in=UNSENT, batch__lt=batch))
    meant = [(c, order) for c in cancellations for order in orders if _means(c, order)]
    wanted = {o.pk: (c, o) for c, o in meant if c.target_id is not None or not o.is_closing}
    Order.objects.transition(_change(order, c, actor, now) for c, order in wanted.values())
    for cancellation, order in wanted.values():
        if order.canceled_by_id == cancellation.pk:
            order.canceled_by = cancellation
            found.append(order)


def mark_for_cancel(
    cancellations: Sequence[Cancellation],
    *,
    actor: str,
    now: datetime,
    found: list[Order],
    own: Sequence[Order] = (),
) -> dict[Cancellation, list[Order]]:
    """Cancels what was never sent, marks what the exchange has as `pending_cancel`, and returns the latter.

    Only orders of the instruction's own strategy account are touched, and only those before it. Every order that an
    instruction meant is added to `found`; where the caller has an instance of it (`own`), that very one, up to date.
    """
    instances = {order.pk: order for order in own}
    orders = [_refreshed(instances.get(row.pk), row) for row in _candidates(cancellations)]
    meant = {c: [order for order in orders if _means(c, order)] for c in cancellations}
    Order.objects.transition(
        _change(order, cancellation, actor, now)
        for cancellation, group in meant.items()
        for order in group
        if order.status != OrderStatus.PENDING_CANCEL
    )
    for cancellation, group in meant.items():
        for order in group:
            order.canceled_by = cancellation
        found += group
    return {
        cancellation: [order for order in group if order.status == OrderStatus.PENDING_CANCEL]
        for cancellation, group in meant.items()
    }


def _candidates(cancellations: Sequence[Cancellation]) -> list[Order]:
    return list(_earlier(cancellations[0].batch_id, cancellations).filter(status__in=[*OPEN, *UNSENT]))


def _earlier(batch: int, cancellations: Sequence[Cancellation]) -> QuerySet[Order]:
    last = max(cancellation.sequence for cancellation in cancellations)
    rows = Order.objects.filter(
        Q(batch__lt=batch) | Q(batch=batch, sequence__lt=last),
        strategy_account__in={cancellation.strategy_account_id for cancellation in cancellations},
    )
    return rows.select_related("account").order_by("pk")


def _refreshed(instance: Order | None, row: Order) -> Order:
    if instance is None:
        return row
    instance.adopt(row)
    return instance


def _means(cancellation: Cancellation, order: Order) -> bool:
    if order.strategy_account_id != cancellation.strategy_account_id:
        return False
    if order.batch_id == cancellation.batch_id and order.sequence >= cancellation.sequence:
        return False
    if cancellation.target_id is not None:
        return order.pk == cancellation.target_id
    return cancellation.symbol in ("", order.symbol) and cancellation.side in ("", order.side)


def _change(order: Order, cancellation: Cancellation, actor: str, now: datetime) -> Transition:
    return cancel_of(order, evidence=Evidence.LOCAL, actor=actor, now=now, canceled_by=cancellation.pk)
