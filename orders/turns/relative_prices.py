"""Relative prices at an order's turn: numbers from the last price of the symbol at the order's exchange.

A relative price stays in the terms of the order's row, and wins over the number in the price column of an order that is
not sent yet. So an order whose transaction was rolled back takes the market's price again, and no number that was never
committed.
"""

from decimal import Decimal
from typing import NamedTuple

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import OrderType, Side
from orders.domain.reasons import Denied
from orders.domain.sizing import price_from_market
from orders.domain.terms import RELATIVE, RelativePrice
from orders.models import Order


class Levels(NamedTuple):
    """Limit price and stop price, before rounding to the tick."""

    price: Decimal | None
    stop_price: Decimal | None


def has_relative_price(order: Order) -> bool:
    """Whether the type of the order uses a price that is relative to the market's price."""
    return bool(_relative_prices(order))


def levels_of(order: Order, market: MarketSpec, last_price: Decimal | None) -> Levels:
    """The prices of an order at its turn. Raises Denied where a relative price becomes no number."""
    known = {"price": order.price, "stop_price": order.stop_price}
    for name, relative in _relative_prices(order).items():
        known[name] = price_from_market(market, relative, last_price)
    return Levels(**known)


def check_stop_side(order: Order, side: Side) -> None:
    """Denies a relative stop that its market has reached already, whatever the price: the sign is wrong.

    An exit would otherwise count as a stop that the market has passed, and might close at the market's price.
    """
    stop = _relative_prices(order).get("stop_price")
    if stop is not None and stop.value * side.sign < 0:
        raise Denied("stop_wrong_side", {"symbol": order.symbol, "distance": str(stop)})


def _relative_prices(order: Order) -> dict[str, RelativePrice]:
    kind, stored = OrderType(order.order_type), order.terms.get(RELATIVE, {})
    is_used = {"price": kind.needs_price, "stop_price": kind.needs_stop_price}
    return {name: RelativePrice.from_json(part) for name, part in stored.items() if is_used[name]}
