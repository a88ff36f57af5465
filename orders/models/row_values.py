"""Many rows in one statement, with little Python and few parameters for each.

A batch's rows agree on most columns. Such a column is prepared and sent once; only the others are listed row by row, in
`WITH line(...) AS (VALUES ...)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """`lines` goes before the statement, `expressions` stand for the columns in order, `params` fill both."""

    lines: str
    expressions: list[str]
    params: list[Any]


def spread_rows(
    fields: Sequence[Any], rows: Sequence[Sequence[Any]], connection: Any, *, listed: int = 1
) -> Spread:
    """The first fields, as many as `listed` says, are listed row by row in any case.

    Only numbers of columns are put into the text.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    varying = [i for i, column in enumerate(columns) if i < listed or not _is_one(column)]
    prepared = [_prepared(fields[i], columns[i], connection) for i in varying]
    names = ", ".join(f"c{i}" for i in varying)
    row = f"({', '.join(['%s'] * len(varying))})"
    lines = f"WITH line({names}) AS (VALUES {', '.join([row] * len(rows))})"
    params = [value for line in zip(*prepared, strict=True) for value in line]
    expressions = []
    for i, field in enumerate(fields):
        if i in varying:
            expressions.append(_typed(f"line.c{i}", field, connection))
        else:
            expressions.append(_typed("%s", field, connection))
            params.append(field.get_db_prep_save(columns[i][0], connection))
    return Spread(lines, expressions, params)


def _is_one(column: list[Any]) -> bool:
    return column.count(column[0]) == len(column)


def _prepared(field: Any, column: list[Any], connection: Any) -> list[Any]:
    return [field.get_db_prep_save(value, connection) for value in column]


def _typed(expression: str, field: Any, connection: Any) -> str:
    """PostgreSQL cannot guess a column's type from VALUES; SQLite must not be told (CAST AS datetime is a number)."""
    if connection.vendor == "sqlite":
        return expression
    kind = "text" if field.get_internal_type() == "CharField" else field.db_type(connection)
    return f"CAST({expression} AS {kind})"
