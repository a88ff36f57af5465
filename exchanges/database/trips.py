"""Several statements in one trip to the database: each is run after the one before, and only the last returns rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Statement:
    """The text of one statement and its parameters."""

    sql: str
    params: Sequence[Any] = ()


def execute_together(cursor: Any, *statements: Statement) -> None:
    """Runs the statements one after another, on PostgreSQL in one trip. The cursor has the rows of the last.

    Each statement sees what was committed until its own begin: what follows a lock sees what its holder wrote. An error
    of one ends all, as errors in a transaction do.
    """
    if cursor.db.vendor == "postgresql":
        text = "; ".join(statement.sql for statement in statements)
        cursor.execute(text, [param for statement in statements for param in statement.params])
        return
    for statement in statements:
        cursor.execute(statement.sql, statement.params)
