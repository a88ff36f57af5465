"""What a sender may hold open before the request is whole: bytes, and unfinished requests for each address.

A body that is here within GRACE_S costs nothing. A slower request counts for its address, and one too many is ended:
the slow clients of one address cost nobody else memory or a turn.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_S = 0.5
UNFINISHED_PER_ADDRESS = 64
UNFINISHED_AT_MOST = 2_048
BYTES_AT_MOST = 32 * 1024 * 1024


class TooMuch(Exception):
    """The bodies that are being read hold too many bytes together."""


class Door:
    """Runs on the server's event loop."""

    def __init__(
        self,
        *,
        per_address: int = UNFINISHED_PER_ADDRESS,
        at_most: int = UNFINISHED_AT_MOST,
        bytes_at_most: int = BYTES_AT_MOST,
        grace_s: float = GRACE_S,
    ) -> None:
        self._per_address, self._at_most = per_address, at_most
        self._bytes_at_most, self._grace_s = bytes_at_most, grace_s
        self._unfinished: Counter[str] = Counter()
        self._in_all = 0
        self.bytes_held = 0

    @contextmanager
    def reading(self, address: str, limit: asyncio.Timeout) -> Iterator["Reading"]:
        """While a body is read. `limit` ends at once where the address has too many unfinished requests."""
        reading = Reading(self)
        timer = asyncio.get_running_loop().call_later(self._grace_s, self._count, reading, address, limit)
        try:
            yield reading
        finally:
            timer.cancel()
            self.bytes_held -= reading.bytes_held
            if reading.is_counted:
                self._in_all -= 1
                self._unfinished[address] -= 1
                if not self._unfinished[address]:  # addresses are named by strangers
                    del self._unfinished[address]

    def _count(self, reading: "Reading", address: str, limit: asyncio.Timeout) -> None:
        if self._unfinished[address] >= self._per_address or self._in_all >= self._at_most:
            limit.reschedule(asyncio.get_running_loop().time())
            return
        reading.is_counted = True
        self._in_all += 1
        self._unfinished[address] += 1

    def hold(self, reading: "Reading", count: int) -> None:
        """Raises TooMuch."""
        if self.bytes_held + count > self._bytes_at_most:
            raise TooMuch
        self.bytes_held += count
        reading.bytes_held += count


class Reading:
    """One body on its way."""

    __slots__ = ("bytes_held", "door", "is_counted")

    def __init__(self, door: Door) -> None:
        self.door = door
        self.bytes_held = 0
        self.is_counted = False

    def hold(self, count: int) -> None:
        """Raises TooMuch."""
        self.door.hold(self, count)
