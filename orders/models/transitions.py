"""Changes the status of orders by compare-and-set, and writes one event for each change. No other module does so."""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from exchanges.database.trips import Statement, execute_together
from exchanges.failpoints import failpoint
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.lifecycle import UNSENT, require_transition
from orders.models.bulk_write import update_all
from orders.models.event import OrderEvent
from orders.models.row_values import spread_rows
from orders.models.status_row import StatusRow

EVENT_COLUMNS = [
    "order", "at", "from_status", "to_status", "evidence", "actor", "reason", "exchange_code", "filled",
    "http_status", "reported_at",
]  # fmt: skip
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of an order's status to `target`. The change applies if the row still has the status of the instance.

    `fields` are the columns written together with the status, by attribute name (`canceled_by_id`).
    """

    order: StatusRow
    target: OrderStatus
    at: datetime
    evidence: Evidence
    actor: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    http_status: int | None = None
    reported_at: datetime | None = None
    source: OrderStatus = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", OrderStatus(self.order.status))

    def event(self) -> tuple[Any, ...]:
        """Returns the values of the change's OrderEvent, in the order of EVENT_COLUMNS."""
        return (
            self.order.pk,
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


@dataclass(frozen=True, slots=True)
class Companions:
    """Rows that are written together with the status of an order, where the order moves: `rows` by the order's key."""

    rows: Mapping[int, models.Model] = field(default_factory=dict)
    columns: Sequence[str] = ()

    def of(self, keys: Container[int]) -> dict[int, models.Model]:
        return {key: row for key, row in self.rows.items() if key in keys}


@contextmanager
def atomic_statuses(rows: Iterable[StatusRow]) -> Iterator[None]:
    """A transaction for these rows. After a rollback the instances show their former statuses again, as the rows do."""
    before = [(row, row.status) for row in rows]
    committed = False
    try:
        with transaction.atomic():
            yield
        committed = True
    finally:
        if not committed:
            for row, status in before:
                row.status = status


def cancel_of(
    order: StatusRow,
    *,
    evidence: Evidence,
    actor: str,
    now: datetime,
    canceled_by: int | None = None,
    **reason: Any,
) -> Transition:
    """Returns the transition for a cancel of an order. Every caller who wants an order canceled starts here.

    An unsent order becomes `canceled`. An order the exchange may have becomes `pending_cancel`, and the caller sends
    the cancel after the commit. `canceled_by` is the primary key of the cancel instruction, if any. `reason` holds the
    columns that tell why, such as `reason` and `canceled_for_id`.
    """
    named = reason if canceled_by is None else {**reason, "canceled_by_id": canceled_by}
    if OrderStatus(order.status) in UNSENT:
        ended = {"reason": "canceled_before_sending", "closed_at": now, "released_at": now}
        return Transition(order, OrderStatus.CANCELED, now, evidence, actor, ended | named)
    return Transition(order, OrderStatus.PENDING_CANCEL, now, evidence, actor, {**named, "asked_at": now})


def apply_transitions(
    changes: Iterable[Transition],
    *,
    using: str,
    first: Sequence[Statement] = (),
    companions: Companions | None = None,
) -> set[int]:
    """Applies each change whose order still has the source status. Returns the primary keys of the moved orders.

    Every instance is up to date afterwards: the instance of a moved order shows the change, and an order moved by
    another process meanwhile is read again. Runs one statement per set of columns (two on SQLite), however many orders;
    a further statement reads the orders moved by other processes. The statements in `first` run before, on PostgreSQL
    in the same trip. The `companions` of moved orders are written, too.

    The rollback of an outer transaction leaves the instances as they are: open it by `atomic_statuses`.
    Raises IllegalTransition before the first write.
    """
    wanted = list(changes)
    if not wanted:
        _run(first, using)
        return set()
    by_columns: dict[tuple[str, ...], list[Transition]] = defaultdict(list)
    for change in wanted:
        require_transition(change.source, change.target, late=change.evidence is Evidence.QUERY)
        by_columns[tuple(sorted(change.fields))].append(change)
    moved: set[int] = set()
    move = _move_with_events if connections[using].vendor == "postgresql" else _move_and_write_events
    with transaction.atomic(using=using, savepoint=False):
        for columns, group in by_columns.items():
            moved |= move(columns, group, connections[using], first, companions or Companions())
            first = ()
        failpoint("inside a transaction that changes statuses")
    _bring_up_to_date(wanted, moved)
    return moved


def _run(statements: Sequence[Statement], using: str) -> None:
    if statements:
        with connections[using].cursor() as cursor:
            execute_together(cursor, *statements)


def _bring_up_to_date(changes: Sequence[Transition], moved: Container[int]) -> None:
    for change in changes:
        if change.order.pk in moved:
            _show_change(change)
    overtaken = [change.order for change in changes if change.order.pk not in moved]
    if overtaken:
        rows = type(overtaken[0])._base_manager.in_bulk([order.pk for order in overtaken])
        for order in overtaken:
            order.adopt(rows[order.pk])


def _show_change(change: Transition) -> None:
    """Sets the status last: another thread may build an answer meanwhile, and finds the reason in place."""
    for name, value in change.fields.items():
        setattr(change.order, name, value)
    change.order.status = change.target


def _move_with_events(
    columns: Sequence[str],
    changes: Sequence[Transition],
    connection: BaseDatabaseWrapper,
    first: Sequence[Statement],
    companions: Companions,
) -> set[int]:
    """Moves the orders and writes events and companions in one statement, which SQLite does not know."""
    update, events = _update(columns, changes, connection), _insert_of_events(changes, connection)
    sql = (
        f"WITH {update.line}, moved AS ({update.sql}), {events.line}, noted AS ({events.sql}"  # noqa: S608
        f" WHERE EXISTS (SELECT 1 FROM moved WHERE moved.id = {events.pk}))"
    )
    params = [*update.params, *events.params]
    if own := companions.of({change.order.pk for change in changes}):
        part = _update_of_companions(own, companions.columns, connection)
        sql += f", {part.line}, followed AS ({part.sql} AND {part.pk} IN (SELECT id FROM moved))"  # noqa: S608
        params += part.params
    with connection.cursor() as cursor:
        execute_together(cursor, *first, Statement(f"{sql} SELECT id FROM moved", params))  # noqa: S608
        return {row[0] for row in cursor.fetchall()}


def _move_and_write_events(
    columns: Sequence[str],
    changes: Sequence[Transition],
    connection: BaseDatabaseWrapper,
    first: Sequence[Statement],
    companions: Companions,
) -> set[int]:
    update = _update(columns, changes, connection)
    with connection.cursor() as cursor:
        execute_together(cursor, *first, Statement(f"WITH {update.line} {update.sql}", update.params))
        moved = {row[0] for row in cursor.fetchall()}
        applied = [change for change in changes if change.order.pk in moved]
        if applied:
            events = _insert_of_events(applied, connection)
            cursor.execute(f"WITH {events.line} {events.sql}", events.params)
    update_all(list(companions.of(moved).values()), companions.columns, using=connection.alias)
    return moved


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a statement: `sql` takes its rows from the common table expression `line`, whose key is `pk`."""

    line: str
    sql: str
    pk: str
    params: list[Any]


def _update(columns: Sequence[str], changes: Sequence[Transition], connection: BaseDatabaseWrapper) -> _Part:
    """The compare-and-set of the orders, which returns the primary keys of the moved orders."""
    order = OrderEvent._meta.get_field("order").related_model._meta
    fields: list[Any] = [order.get_field(name) for name in ("id", "status", "status", *columns)]
    rows = [
        (c.order.pk, str(c.source), str(c.target), *(c.fields[name] for name in columns)) for c in changes
    ]
    spread = spread_rows(fields, rows, connection, listed=2, name="change")
    pk, source, *new = spread.expressions
    settings = ", ".join(
        f"{connection.ops.quote_name(field.column)} = {expression}"
        for field, expression in zip(fields[2:], new, strict=True)
    )
    # The SQL text contains only our own column names; every value is a parameter.
    sql = (
        f"UPDATE {order.db_table} SET {settings} FROM change"  # noqa: S608
        f" WHERE {order.db_table}.id = {pk} AND {order.db_table}.status = {source}"
        f" RETURNING {order.db_table}.id"
    )
    return _Part(spread.line, sql, pk, spread.params)


def _update_of_companions(
    rows: Mapping[int, models.Model], columns: Sequence[str], connection: BaseDatabaseWrapper
) -> _Part:
    """The UPDATE of the rows; `pk` is that of a row's order."""
    meta = next(iter(rows.values()))._meta
    fields: list[Any] = [meta.pk, meta.pk, *(meta.get_field(name) for name in columns)]
    values = [(order, row.pk, *(getattr(row, f.attname) for f in fields[2:])) for order, row in rows.items()]
    spread = spread_rows(fields, values, connection, listed=2, name="companion")
    order, pk, *new = spread.expressions
    settings = ", ".join(
        f"{connection.ops.quote_name(field.column)} = {expression}"
        for field, expression in zip(fields[2:], new, strict=True)
    )
    sql = f"UPDATE {meta.db_table} SET {settings} FROM companion WHERE {meta.db_table}.id = {pk}"  # noqa: S608
    return _Part(spread.line, sql, order, spread.params)


def _insert_of_events(changes: Sequence[Transition], connection: BaseDatabaseWrapper) -> _Part:
    """One plain INSERT: model instances for events would cost more than the status change."""
    fields: list[Any] = [OrderEvent._meta.get_field(name) for name in EVENT_COLUMNS]
    spread = spread_rows(fields, [change.event() for change in changes], connection, name="event")
    names = ", ".join(connection.ops.quote_name(f.column) for f in fields)
    sql = (
        f"INSERT INTO {OrderEvent._meta.db_table} ({names})"  # noqa: S608 - our own column names
        f" SELECT {', '.join(spread.expressions)} FROM event"
    )
    return _Part(spread.line, sql, spread.expressions[0], spread.params)
