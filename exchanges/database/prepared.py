"""Queries of the hot path: built by Django once, and run many times with new values, alone or several in one statement.

Building and compiling a queryset costs several times what the database takes to answer. A `Query` keeps the SQL text of
a queryset whose values are `Slot`s, and fills the slots when the query runs. `read_together` reads several queries in
one statement: a round trip less for each, and all rows are of one moment.

PostgreSQL plans such a statement once for each connection (PREPARE), since planning takes longer than running.
"""

import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any, Generic, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import (
    BooleanField,
    CharField,
    DateTimeField,
    Expression,
    F,
    Field,
    FloatField,
    ForeignKey,
    Func,
    GenericIPAddressField,
    IntegerField,
    JSONField,
    QuerySet,
    TextField,
    UUIDField,
)
from django.db.models.query import ModelIterable, get_related_populators
from django.db.models.sql.subqueries import UpdateQuery

from exchanges.database.trips import Statement, execute_together
from exchanges.fields import ExactDecimalField

Row = TypeVar("Row")
# What JSON does not keep of the values of PostgreSQL, and what makes the driver's values again.
_FROM_JSON: dict[type[Any], Callable[[Any], Any]] = {
    DateTimeField: datetime.fromisoformat,
    ExactDecimalField: Decimal,
    FloatField: float,
    UUIDField: UUID,
}
_KEPT_BY_JSON = (
    BooleanField,
    CharField,
    ForeignKey,
    GenericIPAddressField,
    IntegerField,
    JSONField,
    TextField,
)
Rows = Sequence[Sequence[Any]]
# PostgreSQL's codes of a plan that is not there (a pooler gave another connection), or not valid (a column changed).
_PLAN_IS_GONE = ("26000", "0A000")
_CUT_SHORT = ("57014", "55P03", "40P01", "40001")  # time-outs and conflicts, which planning does not meet
_MARK = re.compile("%s|%%")


class Slot(Expression):
    """A value that is named when a query is built, and given when the query runs.

    PostgreSQL has to be told the type (`kind`) of a value that stands in an expression.
    """

    def __init__(self, name: str, kind: "Field[Any, Any] | None" = None) -> None:
        super().__init__(output_field=kind)
        self.name, self.kind = name, kind

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        if self.kind is None or connection.vendor == "sqlite":
            return "%s", (self,)
        return f"CAST(%s AS {self.kind.db_type(connection)})", (self,)

    def bind(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


class _ListSlot(Slot):
    def bind(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return json.dumps(list(value)) if connection.vendor == "sqlite" else list(value)


class Among(Func):
    """A condition: the column has one of the values of the slot `name`, which may be any number of values."""

    output_field = BooleanField()

    def __init__(self, column: str, name: str) -> None:
        super().__init__(F(column))
        self.name = name

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        (column,) = self.get_source_expressions()
        sql, params = compiler.compile(column)
        listed = "IN (SELECT value FROM json_each(%s))" if connection.vendor == "sqlite" else "= ANY(%s)"
        return f"{sql} {listed}", (*params, _ListSlot(self.name))


_plans: "WeakKeyDictionary[Any, dict[_Statement, str]]" = (
    WeakKeyDictionary()
)  # names, by the driver's connection
_plan_numbers = count(1)


class _Process:
    """Names this process in the names of plans.

    Behind a pooler a connection may be one that another process used, and must not know this process's names.
    """

    def __init__(self) -> None:
        self.rename()

    def rename(self) -> None:
        self.name = secrets.token_hex(6)


_process = _Process()
os.register_at_fork(after_in_child=_process.rename)


@dataclass(frozen=True, slots=True, eq=False)
class _Statement:
    """The SQL of a queryset on one database. `params` are values and slots, in the sequence of the marks."""

    sql: str
    params: Sequence[Any]

    def bound(self, values: Mapping[str, Any], connection: BaseDatabaseWrapper) -> Statement:
        """The statement with its slots filled."""
        return Statement(self.sql, _bound(self.params, values, connection))

    def run(
        self,
        cursor: Any,
        connection: BaseDatabaseWrapper,
        values: Mapping[str, Any],
        *,
        first: Sequence[Statement] = (),
    ) -> None:
        """Fills the slots and runs the statement, after the statements `first`. The cursor then has the rows."""
        if connection.vendor == "postgresql" and settings.PREPARE_STATEMENTS:
            self._run_planned(cursor, connection, values, first)
        else:
            execute_together(cursor, *first, self.bound(values, connection))

    def _run_planned(
        self,
        cursor: Any,
        connection: BaseDatabaseWrapper,
        values: Mapping[str, Any],
        first: Sequence[Statement],
    ) -> None:
        before = first
        plans = _plans.setdefault(connection.connection, {})
        name = plans.get(self, "")
        if not name:
            name = f"tradehub_{_process.name}_{next(_plan_numbers)}"
            before = (Statement(f"PREPARE {name} AS {self._numbered(cursor)}"), *first)
        slots = [param for param in self.params if isinstance(param, Slot)]
        marks = f"({', '.join(['%s'] * len(slots))})" if slots else ""
        try:
            execute_together(
                cursor, *before, Statement(f"EXECUTE {name}{marks}", _bound(slots, values, connection))
            )
        except DatabaseError as error:
            code = getattr(error.__cause__, "pgcode", None)
            if code in _CUT_SHORT:
                plans[self] = name  # PREPARE has run, and is not undone
            if code not in _PLAN_IS_GONE:
                raise
            was_known = plans.pop(self, None) is not None
            if connection.in_atomic_block or not was_known:
                raise  # PostgreSQL takes nothing more in this transaction
            # Nothing has run: PostgreSQL looks for the plan first.
            self._run_planned(cursor, connection, values, first)
        else:
            plans[self] = name

    def _numbered(self, cursor: Any) -> str:
        """The SQL with $1, $2 ... for the slots. Values that never change stand in the text, where plans see them."""
        params, numbers = iter(self.params), count(1)

        def fill(mark: re.Match[str]) -> str:
            if mark[0] == "%%":
                return mark[0]
            param = next(params)
            if isinstance(param, Slot):
                return f"${next(numbers)}"
            text: str = cursor.mogrify("%s", (param,)).decode()
            return text.replace("%", "%%")

        return _MARK.sub(fill, self.sql)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """The statement of a queryset on one database, and what turns the database's rows into the queryset's rows."""

    statement: _Statement
    columns: Sequence[Any]  # the expressions of the columns
    converters: Sequence[tuple[int, Sequence[Callable[..., Any]], Any]]
    make: Callable[[Rows], list[Any]]

    def convert(self, rows: Iterable[Sequence[Any]], connection: BaseDatabaseWrapper) -> Rows:
        converted = [list(row) for row in rows]
        for position, converters, expression in self.converters:
            for row in converted:
                for converter in converters:
                    row[position] = converter(row[position], expression, connection)
        return converted


def _bound(params: Iterable[Any], values: Mapping[str, Any], connection: BaseDatabaseWrapper) -> list[Any]:
    return [p.bind(values[p.name], connection) if isinstance(p, Slot) else p for p in params]


class Query(Generic[Row]):
    """A queryset of model instances or of `values_list` whose values are slots. `rows` returns the queryset's rows.

    `build` makes the queryset, once for each database. Values of slots are given by keyword.
    """

    def __init__(self, build: Callable[[], "QuerySet[Any, Row]"]) -> None:
        self._build = build
        self._compiled: dict[str, _Compiled] = {}

    def statement(self, *, using: str = DEFAULT_DB_ALIAS, **values: Any) -> Statement:
        """The statement of the query, for a trip with others; nobody reads its rows."""
        compiled = self.compiled(using)
        return compiled.statement.bound(values, connections[using])

    def rows(self, *, using: str = DEFAULT_DB_ALIAS, **values: Any) -> list[Row]:
        connection, compiled = connections[using], self.compiled(using)
        with connection.cursor() as cursor:
            compiled.statement.run(cursor, connection, values)
            found = cursor.fetchall()
        return compiled.make(compiled.convert(found, connection))

    def first(self, *, using: str = DEFAULT_DB_ALIAS, **values: Any) -> Row | None:
        return next(iter(self.rows(using=using, **values)), None)

    def compiled(self, using: str) -> _Compiled:
        if using not in self._compiled:
            self._compiled[using] = _compile(self._build(), using)
        return self._compiled[using]


class Update:
    """An UPDATE of a queryset's rows whose values are slots. `run` returns the number of rows.

    `build` makes the queryset and the new values by field name, once for each database.
    """

    def __init__(self, build: Callable[[], "tuple[QuerySet[Any, Any], Mapping[str, Any]]"]) -> None:
        self._build = build
        self._compiled: dict[str, _Statement] = {}

    def run(self, *, using: str = DEFAULT_DB_ALIAS, **values: Any) -> int:
        connection, compiled = connections[using], self.compiled(using)
        with connection.cursor() as cursor:
            compiled.run(cursor, connection, values)
            count: int = cursor.rowcount
        return count

    def statement(self, *, using: str = DEFAULT_DB_ALIAS, **values: Any) -> Statement:
        """The statement of the update, for a trip with others."""
        return self.compiled(using).bound(values, connections[using])

    def compiled(self, using: str) -> "_Statement":
        if using not in self._compiled:
            queryset, new = self._build()
            query: Any = queryset.query.chain(UpdateQuery)
            query.add_update_values(new)
            self._compiled[using] = _Statement(*query.get_compiler(using).as_sql())
        return self._compiled[using]


def locks(query: Query[Any], *, using: str = DEFAULT_DB_ALIAS, **values: Any) -> list[Statement]:
    """The statement of a query that locks its rows (`select_for_update`); none on SQLite, which locks no rows."""
    return [query.statement(using=using, **values)] if connections[using].vendor == "postgresql" else []


_together: dict[tuple[Any, ...], _Statement] = {}  # combined statements, by vendor and queries


def read_together(
    *queries: Query[Any], using: str = DEFAULT_DB_ALIAS, first: Sequence[Statement] = (), **values: Any
) -> list[list[Any]]:
    """Returns the rows of each query. One statement, and so the rows of one moment; `values` fill all slots.

    The rows of a query come in any sequence. The statements in `first` run right before, on PostgreSQL in the same
    trip: the queries see what was committed until their end. At most 100 columns a query.
    """
    connection = connections[using]
    compiled = [query.compiled(using) for query in queries]
    key = (connection.vendor, *queries)
    if key not in _together:
        params = [param for one in compiled for param in one.statement.params]
        _together[key] = _Statement(_sql_together(compiled, connection), params)
    found: list[list[Any]] = [[] for _ in queries]
    with connection.cursor() as cursor:
        _together[key].run(cursor, connection, values, first=first)
        for number, line in cursor.fetchall():
            found[number].append(json.loads(line, parse_float=Decimal))
    results = []
    for one, lines in zip(compiled, found, strict=True):
        rows = _as_from_driver(one, lines) if connection.vendor == "postgresql" else lines
        results.append(one.make(one.convert(rows, connection)))
    return results


def _sql_together(compiled: Sequence[_Compiled], connection: BaseDatabaseWrapper) -> str:
    array = "json_build_array" if connection.vendor == "postgresql" else "json_array"
    as_text = "::text" if connection.vendor == "postgresql" else ""
    parts, lines = [], []
    for number, one in enumerate(compiled):
        names = [f"c{i}" for i in range(len(one.columns))]
        parts.append(f"q{number}({', '.join(names)}) AS ({one.statement.sql})")
        values = [_as_json(name, column, as_text) for name, column in zip(names, one.columns, strict=True)]
        lines.append(f"SELECT {number}, {array}({', '.join(values)}){as_text} FROM q{number}")  # noqa: S608
    return f"WITH {', '.join(parts)} {' UNION ALL '.join(lines)}"


def _as_json(name: str, column: Any, as_text: str) -> str:
    """JSON within the JSON stays a text, as the driver returns the text. Raises TypeError for types not thought of."""
    kind = column.output_field
    if type(kind) not in _FROM_JSON and not isinstance(kind, _KEPT_BY_JSON):
        raise TypeError(f"read_together knows no way to keep a {type(kind).__name__}")
    return name + as_text if isinstance(kind, JSONField) else name


def _as_from_driver(compiled: _Compiled, lines: list[list[Any]]) -> list[list[Any]]:
    """Gives the values the types that PostgreSQL's driver gives: JSON has no times, and no whole decimals."""
    for position, column in enumerate(compiled.columns):
        make = _FROM_JSON.get(type(column.output_field))
        if make is None:
            continue
        for line in lines:
            if line[position] is not None:
                line[position] = make(line[position])
    return lines


def _compile(queryset: "QuerySet[Any, Any]", using: str) -> _Compiled:
    connection = connections[using]
    compiler = queryset.query.get_compiler(using)
    sql, params = compiler.as_sql()
    columns = [selected[0] for selected in compiler.select[: compiler.col_count]]
    converters = [
        (position, converters, expression)
        for position, (converters, expression) in compiler.get_converters(columns).items()
    ]
    is_of_instances = queryset._iterable_class is ModelIterable
    make = _maker_of_instances(compiler, connection.alias) if is_of_instances else _tuples
    return _Compiled(_Statement(sql, params), columns, converters, make)


def _tuples(rows: Rows) -> list[Any]:
    return [tuple(row) for row in rows]


def _maker_of_instances(compiler: Any, using: str) -> Callable[[Rows], list[Any]]:
    """What Django's own iteration over instances does, prepared once (django.db.models.query.ModelIterable)."""
    info, select = compiler.klass_info, compiler.select
    model, fields = info["model"], info["select_fields"]
    start, end = fields[0], fields[-1] + 1
    names = [selected[0].target.attname for selected in select[start:end]]
    populators = get_related_populators(info, select, using)  # type: ignore[call-arg]  # of a later Django
    annotations = list(compiler.annotation_col_map.items())

    def make(rows: Rows) -> list[Any]:
        found = []
        for row in rows:
            instance = model.from_db(using, names, row[start:end])
            for populator in populators:
                populator.populate(row, instance)
            for name, position in annotations:
                setattr(instance, name, row[position])
            found.append(instance)
        return found

    return make
