"""What a sender may hold open before the request is whole: bytes, and unfinished requests for each address.

A body that is here within GRACE_S is never ended for others. A slower request counts for its address, and one too many
of an address is ended. Where all places or bytes are taken, the request that has been slow for longest gives way to the
newcomer: whoever opens slow requests from many addresses ends the own ones, and an alert gets in.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

GRACE_S = 0.5
UNFINISHED_PER_ADDRESS = 64
UNFINISHED_AT_MOST = 2_048
BYTES_PER_ADDRESS = 4 * 1024 * 1024
BYTES_AT_MOST = 64 * 1024 * 1024


class TooMuch(Exception):
    """The bodies that are being read hold too many bytes: those of the address, or all together and none is slow."""


@dataclass(slots=True, eq=False)
class Reading:
    """One body on its way. `limit` is its time-out, which ends at once where the request has to give way."""

    door: "Door"
    address: str
    limit: asyncio.Timeout
    bytes_held: int = 0

    def hold(self, count: int) -> None:
        """Raises TooMuch."""
        self.door.hold(self, count)

    def end(self) -> None:
        self.limit.reschedule(asyncio.get_running_loop().time())


class Door:
    """Runs on the server's event loop."""

    def __init__(
        self,
        *,
        per_address: int = UNFINISHED_PER_ADDRESS,
        at_most: int = UNFINISHED_AT_MOST,
        bytes_per_address: int = BYTES_PER_ADDRESS,
        bytes_at_most: int = BYTES_AT_MOST,
        grace_s: float = GRACE_S,
    ) -> None:
        self._per_address, self._at_most = per_address, at_most
        self._bytes_per_address, self._bytes_at_most = bytes_per_address, bytes_at_most
        self._grace_s = grace_s
        self._slow: OrderedDict[Reading, None] = OrderedDict()  # the longest first
        self._unfinished: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self.bytes_held = 0

    @contextmanager
    def reading(self, address: str, limit: asyncio.Timeout) -> Iterator[Reading]:
        """While a body is read."""
        reading = Reading(self, address, limit)
        timer = asyncio.get_running_loop().call_later(self._grace_s, self._count, reading)
        try:
            yield reading
        finally:
            timer.cancel()
            self._forget(reading)

    def _forget(self, reading: Reading) -> None:
        """Keeps no zeros: addresses are named by strangers."""
        address = reading.address
        self.bytes_held -= reading.bytes_held
        self._bytes[address] -= reading.bytes_held
        if not self._bytes[address]:
            del self._bytes[address]
        if reading in self._slow:
            self._give_way(reading)

    def _count(self, reading: Reading) -> None:
        if self._unfinished[reading.address] >= self._per_address:
            reading.end()
            return
        if len(self._slow) >= self._at_most:
            self._end_longest()
        self._slow[reading] = None
        self._unfinished[reading.address] += 1

    def _give_way(self, reading: Reading) -> None:
        del self._slow[reading]
        self._unfinished[reading.address] -= 1
        if not self._unfinished[reading.address]:
            del self._unfinished[reading.address]

    def _end_longest(self) -> None:
        longest = next(iter(self._slow))
        longest.end()
        self._give_way(longest)

    def hold(self, reading: Reading, count: int) -> None:
        """Raises TooMuch."""
        if self._bytes[reading.address] + count > self._bytes_per_address:
            raise TooMuch
        if self.bytes_held + count > self._bytes_at_most:
            if not self._slow:
                raise TooMuch
            self._end_longest()
        self.bytes_held += count
        self._bytes[reading.address] += count
        reading.bytes_held += count
