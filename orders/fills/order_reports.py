"""Writes exchanges' reports of orders into our rows: statuses, trades, positions and realized profit.

One call writes in one transaction. The number of statements does not depend on the number of orders.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from exchanges.adapters.protocol import Fill, OrderReport
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.lifecycle import FINAL, conclude_status, may_become
from orders.fills.trade_booking import book_fills
from orders.models import Order
from orders.models.bulk_write import update_all
from orders.models.transitions import Transition, atomic_statuses


@dataclass(frozen=True, slots=True)
class Observation:
    """An exchange's report of an order, with fills fetched apart. `record_reports` updates `order` in place."""

    order: Order
    report: OrderReport
    fills: Sequence[Fill] = ()

    @property
    def lacks_trades(self) -> bool:
        booked: Decimal = self.order.filled
        return self.report.filled > booked

    @property
    def all_fills(self) -> Sequence[Fill]:
        return [*(self.report.fills or ()), *self.fills]


@dataclass(slots=True)
class Provenance:
    """The origin of a change, for the order event: the actor, the evidence and the time of writing."""

    actor: str
    evidence: Evidence
    now: datetime


def record_reports(
    observations: Iterable[Observation], *, evidence: Evidence, actor: str, now: datetime
) -> None:
    """Books new fills and moves each order to the status its report proves.

    A second call with the same reports changes nothing, because a trade counts once. Several reports of one order count
    as one report, and every instance of the order is up to date afterwards.
    """
    given = list(observations)
    observed = _merge_observations(given)
    provenance = Provenance(actor, evidence, now)
    with atomic_statuses(seen.order for seen in observed):
        with_fills = [seen for seen in observed if seen.all_fills]
        if touched := [seen for seen in observed if seen.all_fills or _may_have_fills(seen.order)]:
            _lock_orders(touched)
        if with_fills:
            book_fills([(seen.order, seen.all_fills) for seen in with_fills], now=now)
        _move_orders(observed, provenance)
    kept = {seen.order.pk: seen.order for seen in observed}
    for seen in given:
        if seen.order is not kept[seen.order.pk]:
            seen.order.adopt(kept[seen.order.pk])


def _merge_observations(observations: Sequence[Observation]) -> list[Observation]:
    """One observation per order: the report with the most filled, of equals the later, and the fills of all reports.

    Two look-ups of one order can be answered together. Each has an instance of its own, and the totals of one instance
    would be written over the totals of the other.
    """
    merged: dict[int, Observation] = {}
    for seen in observations:
        known = merged.get(seen.order.pk)
        if known is None:
            merged[seen.order.pk] = seen
            continue
        report = max(seen.report, known.report, key=lambda report: report.filled)
        fills = [*known.all_fills, *seen.all_fills]
        merged[seen.order.pk] = Observation(known.order, replace(report, fills=None), fills)
    return list(merged.values())


def _may_have_fills(order: Order) -> bool:
    """Whether another process may have booked fills of the order since our reading. Our write must keep such fills.

    The status `submitted` rules out such fills: another process books the first fill together with a change of status,
    and our change from `submitted` then no longer applies.
    """
    return order.status != OrderStatus.SUBMITTED


def _lock_orders(observed: Sequence[Observation]) -> None:
    locked = Order.objects.select_for_update().order_by("pk").in_bulk([seen.order.pk for seen in observed])
    for seen in observed:
        seen.order.adopt(locked[seen.order.pk])


def _move_orders(observed: Sequence[Observation], provenance: Provenance, *, again: bool = True) -> None:
    changes, same = [], []
    for seen in observed:
        change = _transition_of(seen, provenance)
        if change is None:
            same.append(seen)
        else:
            changes.append((seen, change))
    moved = Order.objects.transition(change for _, change in changes)
    late = [seen for seen, change in changes if change.order.pk not in moved]
    _amend_orders(same)
    if late and again:
        _lock_orders(late)
        _move_orders(late, provenance, again=False)


def _transition_of(seen: Observation, provenance: Provenance) -> Transition | None:
    """Returns the transition to the status the report proves, or None when the order keeps its status."""
    order, source = seen.order, OrderStatus(seen.order.status)
    target = conclude_status(source, order.quantity or Decimal(0), order.filled, seen.report)
    if target is source or not may_become(source, target, late=provenance.evidence is Evidence.QUERY):
        return None
    fields: dict[str, Any] = {
        "exchange_order_id": seen.report.order_id or order.exchange_order_id,
        "filled": order.filled,
        "average": order.average,
        # An order of unknown outcome stays so until all trades are here: a waiting exit must find the position.
        "unknown_since": order.unknown_since if seen.lacks_trades else None,
        "closed_at": provenance.now if target in FINAL else None,
        # With all trades here the order's turn is over, and later orders for the same symbol may go.
        "released_at": order.released_at or (None if seen.lacks_trades else provenance.now),
    }
    return Transition(
        order,
        target,
        provenance.now,
        provenance.evidence,
        provenance.actor,
        fields,
        http_status=200,
        reported_at=seen.report.reported_at,
    )


def _amend_orders(observed: Sequence[Observation]) -> None:
    """Saves the fill totals, the exchange order id and `unknown_since` of orders with an unchanged status."""
    amended: dict[int, Order] = {}
    for seen in observed:
        order = seen.order
        if seen.all_fills or order.unknown_since or (seen.report.order_id and not order.exchange_order_id):
            order.exchange_order_id = seen.report.order_id or order.exchange_order_id
            order.unknown_since = order.unknown_since if seen.lacks_trades else None
            amended[order.pk] = order
    columns = ["filled", "average", "exchange_order_id", "unknown_since"]
    update_all(list(amended.values()), columns, using=DEFAULT_DB_ALIAS)
