"""The last prices for one run: known at once, or requested in the background while the run goes on."""

import queue
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal

from exchanges.market_data import prices
from exchanges.market_data.prices import Key


class ReferencePrices:
    """Not thread-safe, except that prices may arrive from the exchanges' thread.

    The age of a price counts from the price's arrival, not from the first use in this run.
    """

    def __init__(
        self, clock: Callable[[], datetime], notify: Callable[[], None] = lambda: None, *, owner: int
    ) -> None:
        """`notify` is called on the exchanges' thread at each arrival. The run asks in the share of `owner`."""
        self._clock = clock
        self._owner = owner
        self._notify = notify
        self._known: dict[Key, tuple[Decimal | None, datetime]] = {}
        self._requested: set[Key] = set()
        self._arrivals: queue.SimpleQueue[tuple[Key, Decimal | None, datetime]] = queue.SimpleQueue()

    def request(self, key: Key, *, now: datetime) -> bool:
        """Whether the exchange's answer is here and young, also an answer without a price; else requests the price."""
        self._take_arrivals()
        if key in self._known and prices.is_young(self._known[key][1], now=now):
            return True
        cached = prices.cached_price(key, now=now)
        if cached is not None:
            self._known[key] = cached
            return True
        if key not in self._requested:
            self._requested.add(key)
            prices.request_price(key, self._receive_price, owner=self._owner)
        return False

    def recall(self, keys: Iterable[Key], *, now: datetime) -> None:
        """Takes over cached prices, so that nothing waits for an arrival that nobody will tell of; requests nothing."""
        for key in keys:
            if key not in self._known and (cached := prices.cached_price(key, now=now)) is not None:
                self._known[key] = cached

    def knows(self, key: Key) -> bool:
        """Whether an answer has come, also an answer without a price; requests nothing."""
        return key in self._known

    def fetch(self, keys: Iterable[Key], *, now: datetime) -> None:
        """Fetches the prices of all keys and waits for the exchanges."""
        requested = list(keys)
        found = prices.fetch_now(requested, now=now, owner=self._owner)
        self._known |= {key: (found.get(key), now) for key in requested}

    def price(self, key: Key) -> Decimal | None:
        return self._known[key][0] if key in self._known else None

    def _receive_price(self, key: Key, price: Decimal | None) -> None:
        self._arrivals.put((key, price, self._clock()))
        self._notify()

    def _take_arrivals(self) -> None:
        while not self._arrivals.empty():
            key, price, arrived_at = self._arrivals.get()
            self._known[key] = (price, arrived_at)
            self._requested.discard(key)
            if price is not None:
                prices.remember_prices({key: price}, now=arrived_at)
