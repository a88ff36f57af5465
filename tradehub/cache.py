"""A Redis cache with a fallback: without Redis the program goes on, with a cold cache in each process."""

import logging
import time
from typing import Any, ClassVar

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

from tradehub.environment import MEMORY_ENTRIES

logger = logging.getLogger(__name__)

SILENCE_S = 5.0


class FallbackRedisCache(RedisCache):
    """Falls back to this process's memory while Redis does not answer.

    Each process then fetches prices for itself and counts throttles for itself, so limits still hold per process.
    After a failure the process leaves Redis alone for SILENCE_S seconds; otherwise each call would wait for a time-out
    and use up the sender's time. Django makes a cache object per thread, and all objects know of a silent Redis.
    """

    _silent_until: ClassVar[dict[str, float]] = {}

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._name = str(server)
        self._local = LocMemCache("redis-fallback", {"OPTIONS": {"MAX_ENTRIES": MEMORY_ENTRIES}})

    def _either(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= self._silent_until.get(self._name, 0.0):
            try:
                return getattr(super(), verb)(*args, **kwargs)
            except RedisError as error:
                self._silent_until[self._name] = time.monotonic() + SILENCE_S
                logger.warning("redis does not answer verb=%s error=%s", verb, type(error).__name__)
        if verb == "incr":
            self._local.add(args[0], 0)  # the key may exist in Redis only, if Redis went away just afterwards
        return getattr(self._local, verb)(*args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("get", *args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("get_many", *args, **kwargs)

    def has_key(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("has_key", *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("set", *args, **kwargs)

    def set_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("set_many", *args, **kwargs)

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("add", *args, **kwargs)

    def incr(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("incr", *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("touch", *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("delete", *args, **kwargs)

    def delete_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("delete_many", *args, **kwargs)

    def clear(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("clear", *args, **kwargs)
