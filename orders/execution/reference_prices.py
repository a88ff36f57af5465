"""Reference prices for a run: known at once, or on their way without anyone waiting in place."""

import queue
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal

from exchanges.market_data import prices
from exchanges.market_data.prices import Key
from orders.execution.queue import wake_up


class ReferencePrices:
    """Not thread-safe, except that prices arrive from the exchanges' thread.

    A price is as old as its arrival, however late somebody asks for it here.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._known: dict[Key, tuple[Decimal | None, datetime]] = {}
        self._asked: set[Key] = set()
        self._arrivals: queue.SimpleQueue[tuple[Key, Decimal | None, datetime]] = queue.SimpleQueue()

    def has(self, key: Key, *, now: datetime) -> bool:
        """Whether the question is answered, if only by "there is none"; asks for it when it is not, or not any more."""
        self._take_arrivals()
        if key in self._known and prices.is_young(self._known[key][1], now=now):
            return True
        cached = prices.cached_price(key, now=now)
        if cached is not None:
            self._known[key] = cached
            return True
        if key not in self._asked:
            self._asked.add(key)
            prices.request_price(key, self._arrived)
        return False

    def knows(self, key: Key) -> bool:
        """Whether it was answered; asks nobody."""
        return key in self._known

    def fetch(self, keys: Iterable[Key], *, now: datetime) -> None:
        """Answers the question for all keys, waiting for the exchanges."""
        wanted = list(keys)
        found = prices.fetch_now(wanted, now=now)
        self._known |= {key: (found.get(key), now) for key in wanted}

    def price(self, key: Key) -> Decimal | None:
        return self._known[key][0] if key in self._known else None

    def _arrived(self, key: Key, price: Decimal | None) -> None:
        self._arrivals.put((key, price, self._clock()))
        wake_up.notify()

    def _take_arrivals(self) -> None:
        while not self._arrivals.empty():
            key, price, came_at = self._arrivals.get()
            self._known[key] = (price, came_at)
            self._asked.discard(key)
            if price is not None:
                prices.remember_prices({key: price}, now=came_at)
