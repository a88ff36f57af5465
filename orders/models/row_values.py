"""Builds the values of many rows for one statement, with little Python work and few parameters per row.

The rows of a batch agree on most columns. A column of equal values is prepared and sent once. The other columns are
listed row by row, in `line(...) AS (VALUES ...)`, for a statement that begins with WITH.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

AnyField: TypeAlias = "Field[Any, Any]"  # Django fields take no type arguments at run time


# The column types of PostgreSQL by the field's identity: fields live as long as the process, and `db_type` is slow.
_types: dict[int, str | None] = {}


@dataclass(frozen=True, slots=True)
class Spread:
    """The SQL of the values. `line` goes behind WITH, and `expressions` are the columns in order.

    `params` fill the placeholders of `line`, then the placeholders of `expressions`.
    """

    line: str
    expressions: list[str]
    params: list[Any]


def spread_rows(
    fields: Sequence[AnyField],
    rows: Sequence[Sequence[Any]],
    connection: BaseDatabaseWrapper,
    *,
    listed: int = 1,
    name: str = "line",
) -> Spread:
    """Returns the SQL of the values of `rows`, each row in the order of `fields`.

    The first `listed` fields are listed row by row in any case, in the common table expression `name`. The SQL text
    contains numbers of columns and names of types; every value is a parameter.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    varying = [i for i, column in enumerate(columns) if i < listed or not _is_constant(column)]
    prepared = [_prepared_values(fields[i], columns[i], connection) for i in varying]
    names = ", ".join(f"c{i}" for i in varying)
    row = f"({', '.join(['%s'] * len(varying))})"
    line = f"{name}({names}) AS (VALUES {', '.join([row] * len(rows))})"
    params = [value for values in zip(*prepared, strict=True) for value in values]
    expressions = []
    for i, field in enumerate(fields):
        if i in varying:
            expressions.append(_typed_expression(f"{name}.c{i}", field, connection))
        else:
            expressions.append(_typed_expression("%s", field, connection))
            params.append(field.get_db_prep_save(columns[i][0], connection))
    return Spread(line, expressions, params)


def _is_constant(column: list[Any]) -> bool:
    return column.count(column[0]) == len(column)


def _prepared_values(field: AnyField, column: list[Any], connection: BaseDatabaseWrapper) -> list[Any]:
    return [field.get_db_prep_save(value, connection) for value in column]


def _typed_expression(expression: str, field: AnyField, connection: BaseDatabaseWrapper) -> str:
    """Adds a cast on PostgreSQL, because PostgreSQL cannot guess a column's type from VALUES.

    SQLite gets no cast: `CAST(... AS datetime)` makes a number there.
    """
    if connection.vendor == "sqlite":
        return expression
    kind = _types.get(id(field))
    if kind is None:
        kind = "text" if field.get_internal_type() == "CharField" else field.db_type(connection)
        _types[id(field)] = kind
    return f"CAST({expression} AS {kind})"
