"""Writes many new rows of one model with little Python per row.

`bulk_create` prepares every value of every row on its own, which costs several times what the database takes.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connections, models

from orders.models.row_values import spread_rows

_ROWS = 500  # per statement: SQLite takes at most 32766 values


def insert_all(rows: Sequence[models.Model], *, key: Sequence[str], using: str) -> None:
    """Inserts new rows and sets their primary keys. Sends no signals; the caller holds a transaction.

    `key` names columns that tell the rows of one call apart: databases promise no order for what they return.
    """
    for start in range(0, len(rows), _ROWS):
        _insert(rows[start : start + _ROWS], key, connections[using])


def _insert(rows: Sequence[models.Model], key: Sequence[str], connection: Any) -> None:
    meta = rows[0]._meta
    fields: list[Any] = [meta.get_field(name) for name in key]
    fields += [field for field in meta.concrete_fields if not field.primary_key and field not in fields]
    values = [[field.pre_save(row, True) for field in fields] for row in rows]
    told = spread_rows(fields, values, connection)
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    returned = ", ".join(connection.ops.quote_name(field.column) for field in fields[: len(key)])
    # Only the model's own names are put into the text; every value is a parameter.
    sql = (
        f"{told.lines} INSERT INTO {meta.db_table} ({names})"  # noqa: S608
        f" SELECT {', '.join(told.expressions)} FROM line RETURNING id, {returned}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, told.params)
        keys = {tuple(named): pk for pk, *named in cursor.fetchall()}
    for instance, line in zip(rows, values, strict=True):
        instance.pk = keys[tuple(line[: len(key)])]
        instance._state.adding = False
        instance._state.db = connection.alias
