"""Django's PostgreSQL, with a health check that costs a busy connection no round trip."""

import math
import select
import time
from typing import Any

from django.db.backends.postgresql import base

_TRUSTED_S = 5  # after an answer: a network that drops everything is noticed after this time


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that answered a moment ago, and whose server has said nothing since, is taken for alive.

    A server that goes away says so, and the next request connects anew. Every other connection is asked by `SELECT 1`.
    """

    health_check_enabled: bool
    health_check_done: bool
    _answered_at = -math.inf

    def get_new_connection(self, conn_params: Any) -> Any:
        self._answered_at = time.monotonic()
        return super().get_new_connection(conn_params)

    def close_if_health_check_failed(self) -> None:
        if self.connection is None or not self.health_check_enabled or self.health_check_done:
            return
        now = time.monotonic()
        if now - self._answered_at < _TRUSTED_S and is_silent(self.connection):
            self.health_check_done = True
            return
        super().close_if_health_check_failed()
        self._answered_at = now


def is_silent(connection: Any) -> bool:
    """Whether nothing has come from the server since its last answer, not even the end of the connection."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
