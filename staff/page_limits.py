"""A bound for the statements of admin pages: a search over everything must not hold up what trades.

PostgreSQL has a statement time-out of its own (tradehub.environment). SQLite has none, and runs in the process that
takes the alerts.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection

STATEMENT_S = 10.0
_CHECK_EVERY = 10_000  # instructions of SQLite's virtual machine, about a millisecond
_CANCELED = "57014"  # PostgreSQL's code


class PageTooSlow(Exception):
    """A statement of the page took longer than allowed."""


class _Limit:
    """Begins anew with each statement, and tells SQLite when to interrupt."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self.is_exceeded = False

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self._until = time.monotonic() + self._seconds
        return execute(sql, params, many, context)

    def is_over(self) -> bool:
        self.is_exceeded = self.is_exceeded or time.monotonic() > self._until
        return self.is_exceeded


@contextmanager
def statements_within(seconds: float) -> Iterator[None]:
    """Raises PageTooSlow for a statement that takes longer."""
    limit = _Limit(seconds)
    raw = _watch(limit)
    try:
        with connection.execute_wrapper(limit):
            yield
    except OperationalError as error:
        if limit.is_exceeded or getattr(error.__cause__, "pgcode", None) == _CANCELED:
            raise PageTooSlow from error
        raise
    finally:
        if raw is not None and connection.connection is raw:
            raw.set_progress_handler(None, 0)


def _watch(limit: _Limit) -> Any:
    if connection.vendor != "sqlite":
        return None
    connection.ensure_connection()
    connection.connection.set_progress_handler(limit.is_over, _CHECK_EVERY)
    return connection.connection
