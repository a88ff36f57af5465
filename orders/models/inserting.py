"""Writes many new rows of one model with little Python per row.

`bulk_create` prepares every value of every row on its own, which costs several times what the database takes. Here a
column is prepared once where all rows agree on it, as most columns of a batch do.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connections, models

_ROWS = 500  # per statement: SQLite takes at most 32766 values


def insert_all(rows: Sequence[models.Model], *, using: str) -> None:
    """Inserts new rows and sets their primary keys. Sends no signals; the caller holds a transaction."""
    for start in range(0, len(rows), _ROWS):
        _insert(rows[start : start + _ROWS], connections[using])


def _insert(rows: Sequence[models.Model], connection: Any) -> None:
    meta = rows[0]._meta
    fields = [field for field in meta.concrete_fields if not field.primary_key]
    columns = [_column(field, rows, connection) for field in fields]
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    row = f"({', '.join(['%s'] * len(fields))})"
    values = ", ".join([row] * len(rows))
    # Only the model's own names are put into the text; every value is a parameter.
    sql = f"INSERT INTO {meta.db_table} ({names}) VALUES {values} RETURNING id"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [value for line in zip(*columns, strict=True) for value in line])
        keys = cursor.fetchall()
    for instance, (key,) in zip(rows, keys, strict=True):
        instance.pk = key
        instance._state.adding = False
        instance._state.db = connection.alias


def _column(field: Any, rows: Sequence[models.Model], connection: Any) -> list[Any]:
    values = [field.pre_save(row, True) for row in rows]
    if values.count(values[0]) == len(values):
        return [field.get_db_prep_save(values[0], connection)] * len(rows)
    return [field.get_db_prep_save(value, connection) for value in values]
