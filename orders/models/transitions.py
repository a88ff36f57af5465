"""The one way in which an order's status changes: compare-and-set, with an event for each change that happened."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connections, transaction

from exchanges.failpoints import failpoint
from orders.enums import Evidence, OrderStatus
from orders.lifecycle import require
from orders.models.event import OrderEvent
from orders.models.spreading import spread

EVENT_COLUMNS = [
    "order", "at", "from_status", "to_status", "evidence", "actor", "reason", "exchange_code", "filled",
    "http_status", "reported_at",
]  # fmt: skip
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Transition:
    """From one status to another, if the row still has the first. `fields` are columns written along with it."""

    order_id: int
    source: OrderStatus
    target: OrderStatus
    at: datetime
    evidence: Evidence
    actor: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    http_status: int | None = None
    reported_at: datetime | None = None

    def event(self) -> tuple[Any, ...]:
        """The values of an OrderEvent, in the order of EVENT_COLUMNS."""
        return (
            self.order_id,
            self.at,
            str(self.source),
            str(self.target),
            str(self.evidence),
            self.actor,
            self.fields.get("reason", ""),
            self.fields.get("exchange_code", ""),
            self.fields.get("filled", _NOTHING),
            self.http_status,
            self.reported_at,
        )


def apply_transitions(changes: Iterable[Transition], *, using: str) -> set[int]:
    """Applies what still applies and returns the ids of those orders; the others had moved on meanwhile.

    One statement per set of columns and one for the events, however many orders.
    Raises IllegalTransition before anything is written.
    """
    by_columns: dict[tuple[str, ...], list[Transition]] = defaultdict(list)
    for change in changes:
        require(change.source, change.target, late=change.evidence is Evidence.QUERY)
        by_columns[tuple(sorted(change.fields))].append(change)
    moved: set[int] = set()
    with transaction.atomic(using=using):
        for columns, group in by_columns.items():
            moved |= _compare_and_set(columns, group, connections[using])
        _write_events(
            [c for group in by_columns.values() for c in group if c.order_id in moved], connections[using]
        )
        failpoint("K10")
    return moved


def _compare_and_set(columns: Sequence[str], changes: Sequence[Transition], connection: Any) -> set[int]:
    order = OrderEvent._meta.get_field("order").related_model._meta
    fields: list[Any] = [order.get_field(name) for name in ("id", "status", "status", *columns)]
    rows = [
        (c.order_id, str(c.source), str(c.target), *(c.fields[name] for name in columns)) for c in changes
    ]
    told = spread(fields, rows, connection, listed=2)
    pk, source, *new = told.expressions
    settings = ", ".join(
        f"{connection.ops.quote_name(field.column)} = {expression}"
        for field, expression in zip(fields[2:], new, strict=True)
    )
    # Only our own column names are put into the text; every value is a parameter.
    sql = (
        f"{told.lines} UPDATE {order.db_table} SET {settings} FROM line"  # noqa: S608
        f" WHERE {order.db_table}.id = {pk} AND {order.db_table}.status = {source}"
        f" RETURNING {order.db_table}.id"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, told.params)
        return {row[0] for row in cursor.fetchall()}


def _write_events(changes: Sequence[Transition], connection: Any) -> None:
    """One plain INSERT: a model instance per event would cost more than the rest of the change."""
    if not changes:
        return
    fields: list[Any] = [OrderEvent._meta.get_field(name) for name in EVENT_COLUMNS]
    told = spread(fields, [change.event() for change in changes], connection)
    names = ", ".join(connection.ops.quote_name(f.column) for f in fields)
    sql = (
        f"{told.lines} INSERT INTO {OrderEvent._meta.db_table} ({names})"  # noqa: S608 - our own column names
        f" SELECT {', '.join(told.expressions)} FROM line"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, told.params)
