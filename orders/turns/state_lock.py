"""The state lock: an advisory lock of the database between senders of orders and changes of a trading state.

A sender holds the lock shared and a change of a trading state holds the lock exclusive, each until the end of the
transaction. So after the commit of a halt, no order is committed as `submitted` under the former state. On SQLite the
IMMEDIATE transaction has the same effect. docs/adr/0005-state-lock.md tells why.
"""

from django.db import connection

from orders.transactions import require_transaction

_KEY = 0x7468  # a free choice, but no other advisory lock of the database uses the same key


def shared_hold() -> str:
    """Returns the statement that holds the lock together with other senders until the transaction ends.

    The statement is empty where the database needs none. Raises RuntimeError without a transaction.
    """
    require_transaction()
    return f"SELECT pg_advisory_xact_lock_shared({_KEY})" if connection.vendor == "postgresql" else ""


def hold_exclusive() -> None:
    """Holds the lock alone until the transaction ends. Raises RuntimeError without a transaction.

    The wait for senders has no time limit, because a halt must not be refused for slow senders.
    """
    require_transaction()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_KEY])
