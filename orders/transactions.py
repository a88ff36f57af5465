"""Database transactions: a check for code that requires a transaction, and time limits for a transaction.

tradehub.environment sets the usual time limits. The functions here serve callers that need other limits.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

_SHORTEST_S = 0.25
_LIMIT_AGAIN_S = 0.25


def require_transaction() -> None:
    """Raises RuntimeError outside of a transaction, because rows that belong together must be written together."""
    if not connection.in_atomic_block:
        raise RuntimeError("This function is called inside transaction.atomic() only.")


@contextmanager
def transaction_within(seconds: float) -> Iterator[None]:
    """A transaction whose last statement begins within `seconds` (at least 0.25 s).

    A later statement raises OperationalError, and the transaction leaves nothing behind. On PostgreSQL a statement, and
    a wait for a lock, takes at most the time left at the statement's begin, give or take a quarter of a second. On
    SQLite the limit holds for the wait at the transaction's begin. Beyond the limit the database raises
    OperationalError.
    """
    allowed = max(seconds, _SHORTEST_S)
    with _sqlite_busy_timeout(allowed), transaction.atomic(), connection.execute_wrapper(_Deadline(allowed)):
        yield


@contextmanager
def no_time_limits() -> Iterator[None]:
    """Lifts the time limits of the connection, for work whose time grows with the number of rows."""
    lift_time_limits(connection)
    try:
        yield
    finally:
        restore_time_limits(connection)


def lift_time_limits(database: BaseDatabaseWrapper) -> None:
    if database.vendor == "postgresql":
        _run_statements(database, "SET statement_timeout = 0", "SET lock_timeout = 0")


def restore_time_limits(database: BaseDatabaseWrapper) -> None:
    if database.vendor == "postgresql":
        _run_statements(database, "RESET statement_timeout", "RESET lock_timeout")


def _run_statements(database: BaseDatabaseWrapper, *statements: str) -> None:
    with database.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def _sqlite_busy_timeout(seconds: float) -> Iterator[None]:
    """Limits SQLite's wait for the database lock: SQLite waits only at the begin of a transaction."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        (usual_ms,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
    try:
        yield
    finally:
        _run_statements(connection, f"PRAGMA busy_timeout = {usual_ms}")


class _Deadline:
    """Wraps each trip: refuses a trip after the deadline, and renews PostgreSQL's limits now and then.

    PostgreSQL limits each statement of a trip to the time that was left at the trip's begin.
    """

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._limited_at: float | None = None

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        now = time.monotonic()
        if now >= self._until:
            raise OperationalError("the database took too long")
        if self._limited_at is None or now - self._limited_at >= _LIMIT_AGAIN_S:
            self._limited_at = now
            sql = self._limiting(sql, self._until - now)
        return execute(sql, params, many, context)

    @staticmethod
    def _limiting(sql: str, left_s: float) -> str:
        """The statement after one that sets PostgreSQL's time limits to the time left, in the same trip."""
        if connection.vendor != "postgresql":
            return sql
        left = f"{max(1, int(left_s * 1000))}ms"
        limits = (
            f"set_config('statement_timeout', '{left}', true), set_config('lock_timeout', '{left}', true)"
        )
        return f"SELECT {limits}; {sql}"
