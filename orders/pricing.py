"""Reference prices for a run: known at once, or on their way without anyone waiting in place."""

import queue
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from exchanges import prices
from exchanges.prices import Key
from orders.turns import bell


class PriceDesk:
    """Not thread-safe, except that prices arrive from the exchanges' thread."""

    def __init__(self) -> None:
        self._known: dict[Key, tuple[Decimal | None, datetime]] = {}
        self._asked: set[Key] = set()
        self._arrivals: queue.SimpleQueue[tuple[Key, Decimal | None]] = queue.SimpleQueue()

    def has(self, key: Key, *, now: datetime) -> bool:
        """Whether the question is answered, if only by "there is none"; asks for it when it is not, or not any more."""
        self._take_arrivals(now)
        if key in self._known and now - self._known[key][1] <= timedelta(seconds=settings.PRICE_MAX_AGE_S):
            return True
        cached = prices.cached(key, now=now)
        if cached is not None:
            self._known[key] = (cached, now)
            return True
        if key not in self._asked:
            self._asked.add(key)
            prices.request(key, self._arrived)
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
        self._arrivals.put((key, price))
        bell.ring()

    def _take_arrivals(self, now: datetime) -> None:
        while not self._arrivals.empty():
            key, price = self._arrivals.get()
            self._known[key] = (price, now)
            self._asked.discard(key)
            if price is not None:
                prices.remember({key: price}, now=now)
