"""Request weights by address and order counts by account, in fixed windows as at Binance."""

from dataclasses import dataclass, field
from typing import NamedTuple

from exchanges.paper.engine.errors import Refusal
from exchanges.paper.wire.parameters import Params

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
WITHOUT_SYMBOL = {
    "/api/v3/openOrders": 80,
    "/api/v3/ticker/24hr": 80,
    "/api/v3/ticker/bookTicker": 4,
    "/api/v3/ticker/price": 4,
    "/fapi/v1/openOrders": 40,
    "/fapi/v1/openAlgoOrders": 40,
    "/fapi/v1/ticker/24hr": 40,
    "/fapi/v1/ticker/bookTicker": 5,
    "/fapi/v1/ticker/price": 2,
    "/fapi/v2/ticker/price": 2,
}
OF_ONE_ORDER = {"/api/v3/myTrades": 5}


def request_weight(path: str, params: Params, weight: int) -> int:
    """The weight of a request: `weight`, except for endpoints whose weight depends on the parameters."""
    if params.get("orderId") and path in OF_ONE_ORDER:
        return OF_ONE_ORDER[path]
    return weight if params.get("symbol") else WITHOUT_SYMBOL.get(path, weight)


class Counter(NamedTuple):
    """Names one counter: the address or API key that sends, and the name of the limit."""

    sender: str
    limit: str


class Count(NamedTuple):
    """The number that a counter has reached in a window. Windows are numbered from the epoch."""

    window: int
    used: int


class OrderCounts(NamedTuple):
    in_ten_seconds: int
    in_a_minute: int


@dataclass(slots=True)
class Limits:
    """Counts weights and orders.

    `weight_limit` is the most weight of one address and API family in a minute; 0 means no limit.
    """

    weight_limit: int = 0
    counts: dict[Counter, Count] = field(default_factory=dict)

    def spend(self, remote: str, path: str, weight: int, now: int) -> int:
        """Adds a request's weight. Returns the weight of this minute; raises -1003 beyond the limit."""
        used = self._count(Counter(remote, path[1:5]), MINUTE_MS, weight, now)
        if self.weight_limit and used > self.weight_limit:
            raise Refusal(-1003)
        return used

    def used(self, remote: str, path: str, now: int) -> int:
        return self._count(Counter(remote, path[1:5]), MINUTE_MS, 0, now)

    def order_counts(self, api_key: str, orders: int, now: int) -> OrderCounts:
        """Counts the orders of a request, and returns the orders of the account in both windows."""
        return OrderCounts(
            in_ten_seconds=self._count(Counter(api_key, "10S"), TEN_SECONDS_MS, orders, now),
            in_a_minute=self._count(Counter(api_key, "1M"), MINUTE_MS, orders, now),
        )

    def _count(self, counter: Counter, window_ms: int, added: int, now: int) -> int:
        window = now // window_ms
        last = self.counts.get(counter, Count(window, 0))
        used = last.used + added if last.window == window else added
        self.counts[counter] = Count(window, used)
        return used


def retry_after_s(now: int) -> int:
    """The seconds to the end of this minute's window."""
    return (MINUTE_MS - now % MINUTE_MS) // 1000 + 1
