"""Orders pass a gate on their way out; who changes what may pass closes it first.

Sending holds the gate shared and changing a trading state holds it alone, each until its transaction ends. So once a
halt is committed, no order is committed as `submitted` under the state before it. On SQLite the IMMEDIATE transaction
does the same.
"""

from django.db import connection

from orders.transactions import require_transaction

_KEY = 0x7468  # any number that no other advisory lock of this database uses


def hold_shared() -> None:
    _lock("pg_advisory_xact_lock_shared")


def hold_exclusive() -> None:
    """However long those on their way out take: a halt is not refused for that."""
    _lock("pg_advisory_xact_lock", first="SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")


def _lock(function: str, *, first: str = "") -> None:
    require_transaction()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            if first:
                cursor.execute(first)
            cursor.execute(f"SELECT {function}(%s)", [_KEY])
