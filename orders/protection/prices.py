"""The last prices of protected positions: requested in the background, because the tracker must not wait for them."""

import queue
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from exchanges.market_data import prices
from exchanges.market_data.prices import Key

_EVERY = timedelta(seconds=1)


class PriceWatch:
    """Not thread-safe, except that prices arrive on the gateway's thread."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._known: dict[Key, tuple[Decimal, datetime]] = {}
        self._asked: dict[Key, datetime] = {}
        self._arrivals: queue.SimpleQueue[tuple[Key, Decimal | None, datetime]] = queue.SimpleQueue()

    def look(self, wanted: Mapping[Key, int]) -> Mapping[Key, Decimal]:
        """Returns the young prices that have come, and requests the next ones, each in the share of its owner.

        Waits for nothing.
        """
        now = self._clock()
        self._take_arrivals()
        for key, owner in wanted.items():
            asked = self._asked.get(key)
            if asked is None or not timedelta(0) <= now - asked < _EVERY:
                self._asked[key] = now
                prices.request_price(key, self._receive_price, owner=owner)
        self._known = {key: known for key, known in self._known.items() if key in wanted}
        return {key: price for key, (price, at) in self._known.items() if prices.is_young(at, now=now)}

    def _receive_price(self, key: Key, price: Decimal | None) -> None:
        self._arrivals.put((key, price, self._clock()))

    def _take_arrivals(self) -> None:
        while not self._arrivals.empty():
            key, price, at = self._arrivals.get()
            if price is not None:
                self._known[key] = (price, at)
