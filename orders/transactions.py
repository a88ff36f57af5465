"""Database transactions: which code requires one, and how long the database may take for one.

The usual time limits are in tradehub.environment; here are the callers that want other limits.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection, transaction

_LEAST_S = 0.25
_TELL_AGAIN_S = 0.25


def require_transaction() -> None:
    """Raises RuntimeError outside of a transaction: rows that belong together would not be written together."""
    if not connection.in_atomic_block:
        raise RuntimeError("This function is called inside transaction.atomic() only.")


@contextmanager
def transaction_within(seconds: float) -> Iterator[None]:
    """A transaction that has begun its last statement by then, or fails with OperationalError and leaves nothing.

    No statement, and no wait for a lock, takes longer than was left when it began, give or take a quarter of a second.
    """
    allowed = max(seconds, _LEAST_S)
    with _patience(allowed), transaction.atomic(), connection.execute_wrapper(_Deadline(allowed)):
        yield


@contextmanager
def no_time_limits() -> Iterator[None]:
    """For work that takes as long as the books are large."""
    lift_time_limits(connection)
    try:
        yield
    finally:
        restore_time_limits(connection)


def lift_time_limits(database: Any) -> None:
    if database.vendor == "postgresql":
        _run(database, "SET statement_timeout = 0", "SET lock_timeout = 0")


def restore_time_limits(database: Any) -> None:
    if database.vendor == "postgresql":
        _run(database, "RESET statement_timeout", "RESET lock_timeout")


def _run(database: Any, *statements: str) -> None:
    with database.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """SQLite waits only where a transaction begins, and as long as its connection says."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        (usual_ms,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
    try:
        yield
    finally:
        _run(connection, f"PRAGMA busy_timeout = {usual_ms}")


class _Deadline:
    """Around each statement: none begins too late, and PostgreSQL is told now and then what is left."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._told_at: float | None = None

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        now = time.monotonic()
        if now >= self._until:
            raise OperationalError("the database took too long")
        if self._told_at is None or now - self._told_at >= _TELL_AGAIN_S:
            self._told_at = now
            self._tell(self._until - now)
        return execute(sql, params, many, context)

    @staticmethod
    def _tell(left_s: float) -> None:
        """Comes by here itself, and finds that this was just told."""
        if connection.vendor == "postgresql":
            left = f"{max(1, int(left_s * 1000))}ms"
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)",
                    [left, left],
                )
