"""Writes exchanges' reports of orders into our rows: statuses, trades, positions and realized profit.

One call writes in one transaction. The number of statements does not depend on the number of orders.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from exchanges.adapters.protocol import Fill, OrderReport
from exchanges.database.prepared import Among, Query, locks, read_together
from exchanges.database.trips import Statement
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.lifecycle import FINAL, conclude_status, may_become
from orders.fills.trade_booking import POSITIONS, TRADES, Booked, book_fills, locks_of_positions
from orders.models import Order
from orders.models.bulk_write import updates_of
from orders.models.transitions import Transition, atomic_statuses


@dataclass(frozen=True, slots=True)
class Observation:
    """An exchange's report of an order, with fills fetched apart. `record_reports` updates `order` in place."""

    order: Order
    report: OrderReport
    fills: Sequence[Fill] = ()
    # When the look-up of the order began: with all trades here, the order shows that it was answered since.
    asked_at: datetime | None = None

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
        fills = [(seen.order, seen.all_fills) for seen in observed if seen.all_fills]
        booked = _lock([seen for seen in observed if _may_have_fills(seen)], fills)
        books = book_fills(fills, booked, now=now) if fills else []
        _move_orders(observed, provenance, books)
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
        asked_at = min(filter(None, (known.asked_at, seen.asked_at)), default=None)
        merged[seen.order.pk] = Observation(known.order, replace(report, fills=None), fills, asked_at)
    return list(merged.values())


def _may_have_fills(seen: Observation) -> bool:
    """Whether fills come with the report, or another process may have booked fills of the order since our reading.

    Our write must keep such fills. The status `submitted` rules them out: another process books the first fill together
    with a change of status, and our change from `submitted` then no longer applies. Where trades were read, totals are
    written in any status.
    """
    is_read = bool(seen.all_fills) or seen.asked_at is not None
    return is_read or seen.order.status != OrderStatus.SUBMITTED


def _lock(observed: Sequence[Observation], fills: Sequence[tuple[Order, Sequence[Fill]]] = ()) -> Booked:
    """Locks the orders and brings them up to date. With fills, locks the positions too, and reads what is booked.

    Orders first, then positions, each in the sequence of their keys. What is read is read after the locks are there.
    """
    if not observed:
        return Booked(set(), {})
    pks = [seen.order.pk for seen in observed]
    first, queries = locks(_ORDER_LOCKS, orders=pks), list[Query[Any]]((_ORDERS,))
    values: dict[str, Any] = {"orders": pks}
    if fills:
        first += locks_of_positions({order.position_key for order, _ in fills})
        queries, values = [_ORDERS, TRADES, POSITIONS], values | Booked.slots(fills)
    orders, *booked = read_together(*queries, first=first, **values)
    locked = {order.pk: order for order in orders}
    for seen in observed:
        seen.order.adopt(locked[seen.order.pk])
    return Booked.of(*booked) if fills else Booked(set(), {})


def _orders() -> QuerySet[Order]:
    return Order.objects.filter(Among("id", "orders")).order_by()


_ORDERS = Query(_orders)
_ORDER_LOCKS = Query(lambda: _orders().select_for_update().order_by("pk").values_list("pk"))


def _move_orders(
    observed: Sequence[Observation],
    provenance: Provenance,
    books: Sequence[Statement] = (),
    *,
    again: bool = True,
) -> None:
    """Writes the changes of the orders, and before them `books`."""
    changes, same = [], []
    for seen in observed:
        change = _transition_of(seen, provenance)
        if change is None:
            same.append(seen)
        else:
            changes.append((seen, change))
    moved = Order.objects.transition((change for _, change in changes), first=[*books, *_amendments(same)])
    late = [seen for seen, change in changes if change.order.pk not in moved]
    if late and again:
        _lock(late)
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
    if seen.asked_at is not None:
        fields["answered_at"] = _answered_at(seen)
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


def _answered_at(seen: Observation) -> datetime | None:
    known: datetime | None = seen.order.answered_at
    if seen.asked_at is None or seen.lacks_trades:
        return known
    return seen.asked_at if known is None else max(known, seen.asked_at)


def _amendments(observed: Sequence[Observation]) -> list[Statement]:
    """What saves the fill totals, the exchange order id and the doubts of orders with an unchanged status."""
    amended: dict[int, Order] = {}
    for seen in observed:
        order = seen.order
        is_new = seen.report.order_id and not order.exchange_order_id
        if seen.all_fills or seen.asked_at or order.unknown_since or is_new:
            order.exchange_order_id = seen.report.order_id or order.exchange_order_id
            order.unknown_since = order.unknown_since if seen.lacks_trades else None
            order.answered_at = _answered_at(seen)
            amended[order.pk] = order
    columns = ["filled", "average", "exchange_order_id", "unknown_since", "answered_at"]
    return updates_of(list(amended.values()), columns, using=DEFAULT_DB_ALIAS)
