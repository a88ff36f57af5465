"""Turns what exchanges report into rows: statuses, trades, positions, realized profit.

Everything of one call is written in one transaction, with a number of statements that does not depend on how many
orders it is about.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from exchanges.adapters.protocol import Fill, OrderReport
from orders.domain.conclusions import conclude_status
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.lifecycle import FINAL, may_become
from orders.fills.trade_booking import book_fills
from orders.models import Order
from orders.models.transitions import Transition


@dataclass(frozen=True, slots=True)
class Observation:
    """What an exchange said of one order. The order is brought up to date in place."""

    order: Order
    report: OrderReport
    fills: Sequence[Fill] = ()

    @property
    def lacks_trades(self) -> bool:
        return self.report.filled > self.order.filled

    @property
    def all_fills(self) -> Sequence[Fill]:
        return [*(self.report.fills or ()), *self.fills]


@dataclass(slots=True)
class Scribe:
    """Who writes, on what evidence, and when."""

    actor: str
    evidence: Evidence
    now: datetime


def record_reports(
    observations: Iterable[Observation], *, evidence: Evidence, actor: str, now: datetime
) -> None:
    """Books new fills and moves each order to what its report proves. Safe to repeat: a trade counts once."""
    observed = list(observations)
    scribe = Scribe(actor, evidence, now)
    with transaction.atomic():
        with_fills = [seen for seen in observed if seen.all_fills]
        if touched := [seen for seen in observed if seen.all_fills or _may_have_fills(seen.order)]:
            _lock(touched)
        if with_fills:
            book_fills([(seen.order, seen.all_fills) for seen in with_fills], now=now)
        _move(observed, scribe)


def _may_have_fills(order: Order) -> bool:
    """Whether someone else may have booked fills since it was read, which must not be written over.

    Whoever books the first fill of a submitted order moves its status with it, so that ours does not apply any more.
    """
    return order.status != OrderStatus.SUBMITTED


def _lock(observed: Sequence[Observation]) -> None:
    locked = Order.objects.select_for_update().order_by("pk").in_bulk([seen.order.pk for seen in observed])
    for seen in observed:
        seen.order.adopt(locked[seen.order.pk])


def _move(observed: Sequence[Observation], scribe: Scribe, *, again: bool = True) -> None:
    changes, same = [], []
    for seen in observed:
        change = _change(seen, scribe)
        if change is None:
            same.append(seen)
        else:
            changes.append((seen, change))
    moved = Order.objects.transition(change for _, change in changes)
    late = [seen for seen, change in changes if change.order.pk not in moved]
    _amend(same)
    if late and again:
        _lock(late)
        _move(late, scribe, again=False)


def _change(seen: Observation, scribe: Scribe) -> Transition | None:
    """None when the status stays."""
    order, source = seen.order, OrderStatus(seen.order.status)
    target = conclude_status(source, order.quantity or Decimal(0), order.filled, seen.report)
    if target is source or not may_become(source, target, late=scribe.evidence is Evidence.QUERY):
        return None
    fields: dict[str, Any] = {
        "exchange_order_id": seen.report.order_id or order.exchange_order_id,
        "filled": order.filled,
        "average": order.average,
        # What was doubtful stays so until its trades are here: an exit that waits must find the position.
        "unknown_since": order.unknown_since if seen.lacks_trades else None,
        "closed_at": scribe.now if target in FINAL else None,
        # With all its trades here its turn is over, and later orders for the same symbol may go.
        "released_at": order.released_at or (None if seen.lacks_trades else scribe.now),
    }
    return Transition(
        order,
        target,
        scribe.now,
        scribe.evidence,
        scribe.actor,
        fields,
        http_status=200,
        reported_at=seen.report.reported_at,
    )


def _amend(observed: Sequence[Observation]) -> None:
    """Keeps the fill totals and the exchange's id of orders whose status stays."""
    amended: dict[int, Order] = {}
    for seen in observed:
        order = seen.order
        if seen.all_fills or order.unknown_since or (seen.report.order_id and not order.exchange_order_id):
            order.exchange_order_id = seen.report.order_id or order.exchange_order_id
            order.unknown_since = order.unknown_since if seen.lacks_trades else None
            amended[order.pk] = order
    if amended:
        Order.objects.bulk_update(
            amended.values(), ["filled", "average", "exchange_order_id", "unknown_since"]
        )
