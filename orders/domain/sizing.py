"""How much: from what a leg asks for to an order that the exchange takes, or why not (SPEC section 6).

Quantities are base units (shares for stocks), also where the exchange counts contracts: the lot of such a
market is in base units too, and its adapter converts.
"""

from dataclasses import dataclass
from decimal import Decimal

from exchanges.adapters.protocol import MarketSpec
from exchanges.amounts import (
    ceil_to_step,
    exact,
    floor_to_step,
    from_contracts,
    nearest_tick,
    plain,
    round_to_tick,
    to_contracts,
)
from exchanges.enums import MarketType, OrderType, Side
from orders.domain.reasons import Denied

__all__ = [
    "Sized",
    "floor_to_step",
    "from_contracts",
    "minimum_that_would_do",
    "reference_price",
    "round_to_tick",
    "size_closing",
    "size_opening",
    "to_contracts",
]

WHOLE = Decimal(-100)
_PERCENT = Decimal(100)
_LARGEST = Decimal(10) ** 20 - 1  # what the columns keep


@dataclass(frozen=True, slots=True)
class Sized:
    """What will be sent: quantity on the lot, prices on the tick."""

    side: Side
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    reduce_only: bool


@exact
def size_opening(
    *,
    market: MarketSpec,
    order_type: OrderType,
    side: Side,
    qty_per: Decimal | None,
    qty: Decimal | None,
    price: Decimal | None,
    stop_price: Decimal | None,
    capital: Decimal,
    capital_currency: str,
    leverage: Decimal,
    last_price: Decimal | None,
) -> Sized:
    """Sizes a leg by `qty_per` (positive: percent of capital, or shares) or `qty` (base units or shares).

    Capital is in its currency, prices in the market's quote. Rounds down to the lot; stocks must be on it
    already. `last_price` is for MARKET orders; without it only a percentage is denied. Raises Denied.
    """
    limit, stop = _prices(market, order_type, side, price, stop_price)
    reference = reference_price(order_type, price, stop_price, last_price)
    asked = qty
    if asked is None and market.market_type is MarketType.STOCK:
        asked = qty_per
    if asked is None:
        budget = _budget(market, capital, capital_currency, leverage)
        asked = budget * (qty_per or 0) / (_PERCENT * _known(market, reference))
    quantity = _on_lot(market, asked, reference)
    _check_limits(market, order_type, quantity, limit or stop or reference)
    return Sized(side, quantity, limit, stop, reduce_only=False)


@exact
def size_closing(
    *,
    market: MarketSpec,
    order_type: OrderType,
    side: Side | None,
    qty_per: Decimal,
    price: Decimal | None,
    stop_price: Decimal | None,
    held: Decimal,
    has_reduce_only: bool,
    last_price: Decimal | None = None,
) -> Sized:
    """Sizes a leg that closes -`qty_per` percent of `held`, the signed position of the strategy account.

    Never more than is held; -100 closes all of it that is on the lot. An order without a limit price is cut down
    to the most that the exchange takes of its kind: an exit that leaves a rest is better than none. The minimum
    notional holds only where the exchange has no reduce-only orders, and is checked only where a price is known.
    Raises Denied.
    """
    closing_side = _closing_side(side, held)
    limit, stop = _prices(market, order_type, closing_side, price, stop_price)
    asked = abs(held) * -qty_per / _PERCENT
    quantity = floor_to_step(asked, market.lot_size)
    if not quantity and qty_per == WHOLE:
        raise _nothing_held(closing_side)
    if not order_type.needs_price:
        quantity = min(quantity, floor_to_step(_maximum(market, order_type), market.lot_size))
    reference = None if has_reduce_only else limit or stop or last_price
    _check_lot(market, quantity, asked, reference)
    _check_limits(market, order_type, quantity, reference)
    return Sized(closing_side, quantity, limit, stop, reduce_only=has_reduce_only)


def reference_price(
    order_type: OrderType, price: Decimal | None, stop_price: Decimal | None, last_price: Decimal | None
) -> Decimal | None:
    """The price that an order is sized by: its limit, else its trigger, else the market's."""
    if order_type.needs_price:
        return price
    return stop_price if order_type.needs_stop_price else last_price


@exact
def minimum_that_would_do(market: MarketSpec, reference: Decimal | None) -> Decimal:
    """The smallest quantity on the lot that passes the market's minimums at this price."""
    least = max(market.min_quantity, market.lot_size)
    if reference:
        least = max(least, market.min_notional / reference)
    return ceil_to_step(least, market.lot_size)


def _known(market: MarketSpec, reference: Decimal | None) -> Decimal:
    if not reference:
        raise Denied("price_unavailable", {"symbol": market.symbol})
    return reference


def _budget(market: MarketSpec, capital: Decimal, capital_currency: str, leverage: Decimal) -> Decimal:
    """Quote currency that 100 percent stands for."""
    params = {**_params(market, capital=capital), "capital_currency": capital_currency}
    if capital_currency.upper() != market.quote.upper():
        raise Denied("capital_currency_mismatch", params)
    if capital <= 0:
        raise Denied("no_capital", params)
    return capital * leverage if market.market_type is MarketType.FUTURES else capital


def _on_lot(market: MarketSpec, asked: Decimal, reference: Decimal | None) -> Decimal:
    quantity = floor_to_step(asked, market.lot_size)
    if market.market_type is MarketType.STOCK and quantity != asked:
        needed = max(quantity, minimum_that_would_do(market, reference))
        raise Denied("not_whole_shares", _params(market, quantity=asked, lot=market.lot_size, needed=needed))
    _check_lot(market, quantity, asked, reference)
    return quantity


def _prices(
    market: MarketSpec, order_type: OrderType, side: Side, price: Decimal | None, stop_price: Decimal | None
) -> tuple[Decimal | None, Decimal | None]:
    limit = stop = None
    if order_type.needs_price and price is not None:
        limit = _not_zero(market, price, round_to_tick(price, market.tick_size, side))
    if order_type.needs_stop_price and stop_price is not None:
        stop = _not_zero(market, stop_price, nearest_tick(stop_price, market.tick_size))
    return limit, stop


def _not_zero(market: MarketSpec, asked: Decimal, rounded: Decimal) -> Decimal:
    if rounded <= 0:
        raise Denied("invalid_after_rounding", _params(market, price=asked, tick=market.tick_size))
    return rounded


def _closing_side(side: Side | None, held: Decimal) -> Side:
    if side is None and not held:
        raise Denied("no_position")
    closing = side or (Side.SELL if held > 0 else Side.BUY)
    if held * closing.sign >= 0:
        raise _nothing_held(closing)
    return closing


def _nothing_held(closing: Side) -> Denied:
    return Denied("no_long_position" if closing is Side.SELL else "no_short_position")


def _check_lot(market: MarketSpec, quantity: Decimal, asked: Decimal, reference: Decimal | None) -> None:
    if not quantity:
        needed = minimum_that_would_do(market, reference)
        raise Denied("below_lot", _params(market, quantity=asked, lot=market.lot_size, needed=needed))


def _maximum(market: MarketSpec, order_type: OrderType) -> Decimal:
    largest = min(market.max_quantity or _LARGEST, _LARGEST)
    if order_type.needs_price:
        return largest
    return min(market.market_max_quantity or largest, largest)


def _check_limits(
    market: MarketSpec, order_type: OrderType, quantity: Decimal, price: Decimal | None
) -> None:
    """What the exchange would refuse; the notional only where a price is given."""
    minimum, maximum, least = market.min_quantity, _maximum(market, order_type), market.min_notional
    needed = minimum_that_would_do(market, price)
    if quantity < minimum:
        raise Denied("below_min_quantity", _params(market, quantity=quantity, minimum=minimum, needed=needed))
    if quantity > maximum:
        raise Denied("above_max_quantity", _params(market, quantity=quantity, maximum=maximum))
    notional = quantity * (price or 0)
    if price and notional < least:
        raise Denied("below_min_notional", _params(market, notional=notional, minimum=least, needed=needed))


def _params(market: MarketSpec, **numbers: Decimal) -> dict[str, str]:
    names = {"symbol": market.symbol, "quote": market.quote}
    return {**names, **{name: _short(number) for name, number in numbers.items()}}


def _short(number: Decimal) -> str:
    """At most 18 decimals, cut: a sentence needs no more."""
    return plain(floor_to_step(number, Decimal(1).scaleb(-18)))
