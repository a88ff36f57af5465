"""The one way in which an order's status changes: compare-and-set, with an event for each change that happened."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connections, transaction

from exchanges.failpoints import failpoint
from orders.enums import Evidence, OrderStatus
from orders.lifecycle import require
from orders.models.event import OrderEvent

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
    fields: list[Any] = [order.get_field(name) for name in ("status", *columns)]
    row = f"({', '.join(['%s'] * (len(fields) + 2))})"
    names = ", ".join(f"new_{i}" for i in range(len(fields)))
    settings = ", ".join(
        f"{connection.ops.quote_name(f.column)} = {_typed(f'change.new_{i}', f, connection)}"
        for i, f in enumerate(fields)
    )
    # Only our own column names are put into the text; every value is a parameter.
    sql = (
        f"WITH change(id, source, {names}) AS (VALUES {', '.join([row] * len(changes))})"  # noqa: S608
        f" UPDATE {order.db_table} SET {settings} FROM change"
        f" WHERE {order.db_table}.id = change.id AND {order.db_table}.status = change.source"
        f" RETURNING {order.db_table}.id"
    )
    prepare = {field.name: _prepared(field, connection) for field in fields[1:]}
    with connection.cursor() as cursor:
        cursor.execute(sql, [value for change in changes for value in _row(change, prepare)])
        return {row[0] for row in cursor.fetchall()}


def _write_events(changes: Sequence[Transition], connection: Any) -> None:
    """One plain INSERT: a model instance per event would cost more than the rest of the change."""
    if not changes:
        return
    fields: list[Any] = [OrderEvent._meta.get_field(name) for name in EVENT_COLUMNS]
    names = ", ".join(connection.ops.quote_name(f.column) for f in fields)
    row = f"({', '.join(['%s'] * len(fields))})"
    rows = ", ".join([row] * len(changes))
    sql = f"INSERT INTO {OrderEvent._meta.db_table} ({names}) VALUES {rows}"  # noqa: S608 - our own column names
    prepare = [_prepared(field, connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(
            sql,
            [
                adapt(value)
                for change in changes
                for adapt, value in zip(prepare, change.event(), strict=True)
            ],
        )


def _row(change: Transition, prepare: Mapping[str, Callable[[Any], Any]]) -> Iterable[Any]:
    yield change.order_id
    yield str(change.source)
    yield str(change.target)
    for name, adapt in prepare.items():
        yield adapt(change.fields[name])


def _prepared(field: Any, connection: Any) -> Callable[[Any], Any]:
    """The field's own preparation of a value, made once for each: most orders of a batch agree on most columns."""
    known: dict[tuple[type, Any], Any] = {}

    def adapt(value: Any) -> Any:
        if isinstance(value, dict):
            return field.get_db_prep_save(value, connection)
        key = (type(value), value)
        if key not in known:
            known[key] = field.get_db_prep_save(value, connection)
        return known[key]

    return adapt


def _typed(expression: str, column: Any, connection: Any) -> str:
    """PostgreSQL cannot guess a column's type from VALUES; SQLite must not be told (CAST AS datetime is a number)."""
    if connection.vendor == "sqlite":
        return expression
    kind = "text" if column.get_internal_type() == "CharField" else column.db_type(connection)
    return f"CAST({expression} AS {kind})"
