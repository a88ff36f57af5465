"""Inserts and updates many rows of one model with little Python work per row.

Django's `bulk_create` and `bulk_update` prepare each value of each row. The preparation takes several times as long as
the database.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from exchanges.database.new_keys import Keys
from exchanges.database.trips import Statement, execute_together
from orders.models.row_values import spread_rows

# What Django calls for a field's value: these functions read the attribute, unless the field has a time of its own.
_READERS = (models.Field.pre_save, models.DateField.pre_save, models.DateTimeField.pre_save)
_ROWS_PER_STATEMENT = 500  # SQLite takes at most 32766 values per statement


def insert_all(
    rows: Sequence[models.Model], *, key: Sequence[str], using: str, first: Sequence[Statement] = ()
) -> None:
    """Inserts new rows and sets the rows' primary keys. Sends no signals; the caller holds a transaction.

    The values of the fields in `key` identify a row among `rows`, because a database may return the primary keys in any
    order. A single row needs no key. The statements in `first`, which need a row to travel with, run right before.
    """
    for start in range(0, len(rows), _ROWS_PER_STATEMENT):
        part = rows[start : start + _ROWS_PER_STATEMENT]
        _insert_rows(part, key, connections[using], () if start else first)


class Inserts:
    """Inserts rows of several models: in one trip, where `keys` has the primary keys that the rows get."""

    def __init__(self, *, using: str, keys: Keys | None = None) -> None:
        self._using = using
        self._keys = dict(keys or {})
        self._waiting: list[Statement] = []

    def add(self, rows: Sequence[models.Model], *, key: Sequence[str]) -> None:
        """Gives the rows their primary keys, as `insert_all` does. `run` has to follow."""
        keys = self._keys.get(type(rows[0])) if rows else None
        if keys is None:
            insert_all(rows, key=key, using=self._using, first=self._taken() if rows else ())
            return
        for row in rows:
            row.pk, row._state.adding, row._state.db = next(keys), False, self._using
        self.add_statements(inserts_of(rows, using=self._using))

    def add_keys(self, keys: Keys) -> None:
        self._keys |= keys

    def add_statements(self, statements: Sequence[Statement]) -> None:
        self._waiting += statements

    def run(self) -> None:
        if waiting := self._taken():
            with connections[self._using].cursor() as cursor:
                execute_together(cursor, *waiting)

    def _taken(self) -> list[Statement]:
        taken, self._waiting = self._waiting, []
        return taken


def inserts_of(rows: Sequence[models.Model], *, using: str, once: bool = False) -> list[Statement]:
    """The statements that insert new rows that have their primary keys, or whose primary keys nobody asks for.

    With `once`, those that are missing.
    """
    key = ("id",) if rows and rows[0].pk is not None else ()
    more = " WHERE true ON CONFLICT DO NOTHING" if once else ""
    statements = []
    for start in range(0, len(rows), _ROWS_PER_STATEMENT):
        statement, _ = _insert(rows[start : start + _ROWS_PER_STATEMENT], key, connections[using])
        statements.append(Statement(statement.sql + more, statement.params))
    return statements


def _insert_rows(
    rows: Sequence[models.Model],
    key: Sequence[str],
    connection: BaseDatabaseWrapper,
    first: Sequence[Statement],
) -> None:
    insert, values = _insert(rows, key, connection)
    columns: list[Any] = [rows[0]._meta.get_field(name) for name in key]
    returned = ", ".join(["id", *(connection.ops.quote_name(field.column) for field in columns)])
    with connection.cursor() as cursor:
        execute_together(cursor, *first, Statement(f"{insert.sql} RETURNING {returned}", insert.params))
        keys = {tuple(named): pk for pk, *named in cursor.fetchall()}
    for instance, line in zip(rows, values, strict=True):
        instance.pk = keys[tuple(line[: len(key)])]
        instance._state.adding = False
        instance._state.db = connection.alias


def _insert(
    rows: Sequence[models.Model], key: Sequence[str], connection: BaseDatabaseWrapper
) -> tuple[Statement, list[list[Any]]]:
    """The statement that inserts the rows, and their values, those of the key first."""
    meta = rows[0]._meta
    fields: list[Any] = [meta.get_field(name) for name in key]
    fields += [field for field in meta.concrete_fields if not field.primary_key and field not in fields]
    values = _values_of(rows, fields)
    spread = spread_rows(fields, values, connection)
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    # The SQL text contains only the model's own names; every value is a parameter.
    sql = (
        f"WITH {spread.line} INSERT INTO {meta.db_table} ({names})"  # noqa: S608
        f" SELECT {', '.join(spread.expressions)} FROM line"
    )
    return Statement(sql, spread.params), values


def _values_of(rows: Sequence[models.Model], fields: Sequence[Any]) -> list[list[Any]]:
    """The values of new rows, field by field. Raises TypeError for a field that sets its value at saving."""
    for field in fields:
        is_plain = type(field).pre_save in _READERS and not getattr(field, "auto_now", False)
        if not is_plain or getattr(field, "auto_now_add", False):
            raise TypeError(f"{field} sets its value at saving.")
    names = [field.attname for field in fields]
    return [[row.__dict__[name] for name in names] for row in rows]


def update_all(rows: Sequence[models.Model], columns: Sequence[str], *, using: str) -> None:
    """Writes the fields `columns` of rows that are in the database. Sends no signals."""
    statements = updates_of(rows, columns, using=using)
    if statements:
        with connections[using].cursor() as cursor:
            execute_together(cursor, *statements)


def updates_of(rows: Sequence[models.Model], columns: Sequence[str], *, using: str) -> list[Statement]:
    """The statements of `update_all`, for a trip with others."""
    return [
        _update(rows[start : start + _ROWS_PER_STATEMENT], columns, connections[using])
        for start in range(0, len(rows), _ROWS_PER_STATEMENT)
    ]


def _update(
    rows: Sequence[models.Model], columns: Sequence[str], connection: BaseDatabaseWrapper
) -> Statement:
    meta = rows[0]._meta
    fields: list[Any] = [meta.pk, *(meta.get_field(name) for name in columns)]
    spread = spread_rows(
        fields, [[getattr(row, field.attname) for field in fields] for row in rows], connection
    )
    pk, *new = spread.expressions
    settings = ", ".join(
        f"{connection.ops.quote_name(field.column)} = {expression}"
        for field, expression in zip(fields[1:], new, strict=True)
    )
    # `pk` is the first listed column and carries no parameter, so the parameters come in the order of the text.
    sql = (
        f"WITH {spread.line} UPDATE {meta.db_table} SET {settings} FROM line WHERE {meta.db_table}.id = {pk}"  # noqa: S608
    )
    return Statement(sql, spread.params)
