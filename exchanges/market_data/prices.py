"""Last prices, at most PRICE_MAX_AGE_S old. The cache shares prices, and one fetch serves all waiting callers.

A question counts for the owner of the account or strategy that asks, so a flood of one owner's questions delays the
owner's own only. A price is everybody's: where several owners ask, the first answer serves all. Each owner has a
question of its own on the way, because a question waits behind the other calls of its owner.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from django.conf import settings
from django.core.cache import cache

from exchanges.enums import MarketType
from exchanges.gateway import Call, Outcome, gateway

Key = tuple[str, MarketType, str]  # exchange, market type, symbol
Arrival = Callable[[Key, Decimal | None], None]

_AHEAD = timedelta(seconds=1)

_waiting: dict[Key, list[Arrival]] = {}
_asked: set[tuple[Key, int]] = set()  # the owners' questions on their way
_lock = threading.Lock()


def cached_price(key: Key, *, now: datetime) -> tuple[Decimal, datetime] | None:
    """The cached price with the time of its arrival; None where no young price is cached."""
    known = cache.get(_cache_key(key))
    if known is None or not is_young(known[1], now=now):
        return None
    return Decimal(known[0]), known[1]


def is_young(came_at: datetime, *, now: datetime) -> bool:
    """Whether the price is recent. A price from the future is not: the clock was set back, and tells no age.

    A price may have come a moment after `now`, because `now` is the beginning of a piece of work.
    """
    return -_AHEAD <= now - came_at <= timedelta(seconds=settings.PRICE_MAX_AGE_S)


def remember_prices(prices: dict[Key, Decimal], *, now: datetime) -> None:
    entries = {_cache_key(key): (str(price), now) for key, price in prices.items()}
    cache.set_many(entries, timeout=settings.PRICE_MAX_AGE_S)


def request_price(key: Key, arrived: Arrival, *, owner: int) -> None:
    """Asks the exchange for one price, in the share of `owner`.

    Callers who ask before an answer arrives share the answer. An owner has one question about a price on its way.

    The gateway's thread calls `arrived` once, with None where the exchange gave no price. The receiver has to call
    `remember_prices`, because the cache may be a network away and the gateway's thread must not wait.
    """
    with _lock:
        _waiting.setdefault(key, []).append(arrived)
        if (key, owner) in _asked:
            return
        _asked.add((key, owner))
    exchange, market_type, symbol = key
    call = Call(exchange, market_type, "fetch_prices", ([symbol],), owner=owner)
    gateway.start([call], partial(_deliver_price, key))


def fetch_now(keys: Iterable[Key], *, now: datetime, owner: int) -> dict[Key, Decimal]:
    """Returns cached prices, fetches the missing prices side by side, and waits. Leaves out keys without a price."""
    known = {key: cached_price(key, now=now) for key in keys}
    found = {key: price[0] for key, price in known.items() if price}
    return found | fetch_fresh({key: owner for key, price in known.items() if price is None}, now=now)


def fetch_fresh(owners: Mapping[Key, int], *, now: datetime) -> dict[Key, Decimal]:
    """Fetches the prices side by side, whatever is cached, and waits. Leaves out keys without a price.

    Each price is asked for in the share of its owner.
    """
    calls = [
        Call(exchange, kind, "fetch_prices", ([symbol],), owner=owner)
        for (exchange, kind, symbol), owner in owners.items()
    ]
    answers = zip(owners, gateway.call_all(calls), strict=True)
    found = {key: price for key, outcome in answers if (price := _price_in(key, outcome)) is not None}
    remember_prices(found, now=now)
    return found


def refresh_prices(exchange: str, market_type: MarketType, symbols: Iterable[str], *, now: datetime) -> int:
    """Fetches and remembers the prices of all symbols in one call, for everybody. Raises ExchangeError."""
    prices = gateway.call(Call(exchange, market_type, "fetch_prices", (sorted(set(symbols)),)))
    remember_prices({(exchange, market_type, symbol): price for symbol, price in prices.items()}, now=now)
    return len(prices)


def _deliver_price(key: Key, outcome: Outcome) -> None:
    price = _price_in(key, outcome)
    with _lock:
        _asked.discard((key, outcome.call.owner))
        # Without a price, another owner's question may still bring one.
        is_over = price is not None or not any(asked == key for asked, _ in _asked)
        waiting = _waiting.pop(key, []) if is_over else []
    for arrived in waiting:
        arrived(key, price)


def _price_in(key: Key, outcome: Outcome) -> Decimal | None:
    return None if outcome.error is not None else outcome.value.get(key[2])


def _cache_key(key: Key) -> str:
    return "price:" + ":".join(key).replace(" ", "")
