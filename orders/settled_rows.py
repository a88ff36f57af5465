"""How far the primary keys of the books are settled: no row with a smaller key appears any more.

Primary keys are given out before a transaction commits, so a row may appear behind a larger key. On PostgreSQL a
transaction that inserts into a table holds the table's ROW EXCLUSIVE lock from before its first key until its end.
Therefore a key that was seen is settled as soon as each transaction ends that held such a lock after the look. On
SQLite one transaction writes at a time, and keys appear in order.
https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
"""

import time
from typing import NamedTuple

from django.db import connection, models
from django.db.models import Max

from orders.models import Adjustment, Order, OrderEvent, Trade

_LOOK_AGAIN_S = 0.02
_TABLES: list[type[models.Model]] = [Order, OrderEvent, Trade, Adjustment]
_WRITERS = """
SELECT DISTINCT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND relation = ANY (SELECT to_regclass(name) FROM unnest(%s) AS name)
"""


class Keys(NamedTuple):
    """A primary key of each table."""

    order: int = 0
    event: int = 0
    trade: int = 0
    adjustment: int = 0


def settled_keys(*, patience_s: float) -> Keys | None:
    """Returns the largest settled keys, or None where a transaction stays open for longer than `patience_s`."""
    largest = Keys(*(_largest_key(model) for model in _TABLES))
    until = time.monotonic() + patience_s
    waited_for = _writers()
    while waited_for and time.monotonic() < until:
        time.sleep(_LOOK_AGAIN_S)
        waited_for &= _writers()
    return None if waited_for else largest


def _largest_key(model: type[models.Model]) -> int:
    return model._default_manager.aggregate(largest=Max("pk"))["largest"] or 0


def _writers() -> set[str]:
    """Returns the transactions of others that may be about to insert into the tables."""
    if connection.vendor != "postgresql":
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_WRITERS, [[model._meta.db_table for model in _TABLES]])
        return {virtual for (virtual,) in cursor.fetchall()}
