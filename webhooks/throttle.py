"""Throttles attempts: the cache counts the attempts of a name in fixed windows of a minute."""

import time
from contextlib import suppress

from django.core.cache import cache

from webhooks.errors import WebhookError

_WINDOW_S = 60
_TRIES = 3


def is_within(scope: str, name: str, limit: int, *, amount: int = 1) -> bool:
    """Counts attempts in this minute, and returns whether the limit allows all of them. Exact under concurrency."""
    return _count_attempts(_window_key(scope, name), limit, amount) <= limit


def count_attempt(scope: str, name: str) -> int:
    """Counts an attempt, and returns the number of attempts in this minute; 0 where none can be counted."""
    return _count_attempts(_window_key(scope, name), -1, 1)


def spend_attempt(scope: str, name: str, limit: int) -> None:
    """Counts an attempt. Raises WebhookError (throttled) for an attempt above the limit."""
    if not is_within(scope, name, limit):
        raise throttled_error()


def _count_attempts(key: str, limit: int, amount: int) -> int:
    for _ in range(_TRIES):
        cache.add(key, 0, timeout=2 * _WINDOW_S)
        with suppress(ValueError):  # the counter is gone again: evicted, or Redis came back empty
            return cache.incr(key, amount)
    return limit + 1  # an attempt that cannot be counted is not allowed


def throttled_error(detail: object = "") -> WebhookError:
    """The refusal until the minute ends. `detail` says what is limited."""
    error = WebhookError("throttled", retry_after_s=_window_left_s())
    error.detail = detail
    return error


def _window_key(scope: str, name: str) -> str:
    return f"throttle:{scope}:{name}:{int(time.time() // _WINDOW_S)}"


def _window_left_s() -> int:
    return _WINDOW_S - int(time.time() % _WINDOW_S)
