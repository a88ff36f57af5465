"""Sizes a leg into an order for the exchange, or denies the leg with a reason (SPEC section 6).

Quantities are base units (shares for stocks), also where the exchange counts contracts: the lot of such a market is in
base units too, and the market's adapter converts base units to contracts.
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
from orders.domain.terms import RelativeKind, RelativePrice

__all__ = [
    "Sized",
    "find_closing_side",
    "floor_to_step",
    "from_contracts",
    "minimum_that_would_do",
    "price_from_market",
    "reference_price",
    "round_to_tick",
    "size_closing",
    "size_opening",
    "to_contracts",
]

WHOLE = Decimal(-100)
_PERCENT = Decimal(100)
_LARGEST = Decimal(10) ** 20 - 1  # the largest number of the database columns
_FINEST = Decimal(1).scaleb(-18)  # their last digit


@dataclass(frozen=True, slots=True)
class Sized:
    """The order as tradehub sends the order: quantity on the lot, prices on the tick."""

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
    quote_qty: Decimal | None = None,
) -> Sized:
    """Sizes an entry by `qty_per` (percent of capital, or shares), `qty` (base units or shares) or `quote_qty`.

    `capital` is in `capital_currency`, prices are in the market's quote currency. The quantity is rounded down to the
    lot; a quantity of shares must be a multiple of the lot already. `last_price` is for MARKET orders; a missing
    `last_price` denies only a percentage. Raises Denied.
    """
    limit, stop = _rounded_prices(market, order_type, side, price, stop_price)
    reference = reference_price(order_type, price, stop_price, last_price)
    asked = qty
    if asked is None and market.market_type is MarketType.STOCK:
        asked = qty_per
    if quote_qty is not None:
        asked = quote_qty / _known_price(market, reference)
    if asked is None:
        budget = _quote_budget(market, capital, capital_currency, leverage)
        asked = budget * (qty_per or 0) / (_PERCENT * _known_price(market, reference))
    quantity = _quantity_on_lot(market, asked, reference)
    _check_market_limits(market, order_type, quantity, limit or stop or reference)
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
    asked: Decimal | None = None,
) -> Sized:
    """Sizes a closing leg: -`qty_per` percent of `held`, the signed position of the strategy account; or `asked`.

    The quantity is rounded down to the lot and never exceeds the position; -100 closes the whole position except for a
    remainder below one lot. A MARKET or STOP_MARKET exit is cut down to the exchange's maximum quantity: an exit of a
    part is better than no exit. The minimum notional holds only where the exchange has no reduce-only orders, and is
    checked only where a price is known. Raises Denied.
    """
    closing_side = find_closing_side(side, held)
    limit, stop = _rounded_prices(market, order_type, closing_side, price, stop_price)
    if asked is None:
        asked = abs(held) * -qty_per / _PERCENT
    quantity = floor_to_step(min(asked, abs(held)), market.lot_size)
    if not quantity and qty_per == WHOLE:
        raise _nothing_held(closing_side)
    if not order_type.needs_price:
        quantity = min(quantity, floor_to_step(_max_quantity(market, order_type), market.lot_size))
    reference = None if has_reduce_only else limit or stop or last_price
    _check_lot(market, quantity, asked, reference)
    _check_market_limits(market, order_type, quantity, reference)
    return Sized(closing_side, quantity, limit, stop, reduce_only=has_reduce_only)


def reference_price(
    order_type: OrderType, price: Decimal | None, stop_price: Decimal | None, last_price: Decimal | None
) -> Decimal | None:
    """Returns the price for the size of an order: the limit price, else the stop price, else the last price."""
    if order_type.needs_price:
        return price
    return stop_price if order_type.needs_stop_price else last_price


@exact
def minimum_that_would_do(market: MarketSpec, reference: Decimal | None) -> Decimal:
    """Returns the smallest quantity on the lot with the market's minimum quantity and notional at this price."""
    least = max(market.min_quantity, market.lot_size)
    if reference:
        least = max(least, market.min_notional / reference)
    return ceil_to_step(least, market.lot_size)


@exact
def price_from_market(market: MarketSpec, relative: RelativePrice, last_price: Decimal | None) -> Decimal:
    """Returns a relative price as a number, before rounding to the tick; cut after the database's last digit.

    Raises Denied without a last price, without a tick to count in, and for a number that is no price.
    """
    last = _known_price(market, last_price)
    if relative.kind is RelativeKind.TICKS and market.tick_size <= 0:
        raise Denied("tick_unknown", {"symbol": market.symbol, "distance": str(relative)})
    unit = {
        RelativeKind.PERCENT: last / _PERCENT,
        RelativeKind.TICKS: market.tick_size,
        RelativeKind.OFFSET: Decimal(1),
    }
    price = floor_to_step(last + relative.value * unit[relative.kind], _FINEST)
    if not 0 < price <= _LARGEST:
        numbers = _reason_params(market, price=price, last_price=last)
        raise Denied("relative_price_unusable", {**numbers, "distance": str(relative)})
    return price


def _known_price(market: MarketSpec, reference: Decimal | None) -> Decimal:
    if not reference:
        raise Denied("price_unavailable", {"symbol": market.symbol})
    return reference


def _quote_budget(market: MarketSpec, capital: Decimal, capital_currency: str, leverage: Decimal) -> Decimal:
    """Returns the amount of quote currency for a `qty_per` of 100. Raises Denied."""
    params = {**_reason_params(market, capital=capital), "capital_currency": capital_currency}
    if capital_currency.upper() != market.quote.upper():
        raise Denied("capital_currency_mismatch", params)
    if capital <= 0:
        raise Denied("no_capital", params)
    return capital * leverage if market.market_type is MarketType.FUTURES else capital


def _quantity_on_lot(market: MarketSpec, asked: Decimal, reference: Decimal | None) -> Decimal:
    quantity = floor_to_step(asked, market.lot_size)
    if market.market_type is MarketType.STOCK and quantity != asked:
        needed = max(quantity, minimum_that_would_do(market, reference))
        raise Denied(
            "not_whole_shares", _reason_params(market, quantity=asked, lot=market.lot_size, needed=needed)
        )
    _check_lot(market, quantity, asked, reference)
    return quantity


def _rounded_prices(
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
        raise Denied("invalid_after_rounding", _reason_params(market, price=asked, tick=market.tick_size))
    return rounded


def find_closing_side(side: Side | None, held: Decimal) -> Side:
    """Returns the side that closes the signed position `held`. Raises Denied where `side` closes nothing."""
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
        raise Denied("below_lot", _reason_params(market, quantity=asked, lot=market.lot_size, needed=needed))


def _max_quantity(market: MarketSpec, order_type: OrderType) -> Decimal:
    largest = min(market.max_quantity or _LARGEST, _LARGEST)
    if order_type.needs_price:
        return largest
    return min(market.market_max_quantity or largest, largest)


def _check_market_limits(
    market: MarketSpec, order_type: OrderType, quantity: Decimal, price: Decimal | None
) -> None:
    """Raises Denied for an order beyond the market's minimums or maximum. The notional is checked only with a price."""
    minimum, maximum, least = market.min_quantity, _max_quantity(market, order_type), market.min_notional
    needed = minimum_that_would_do(market, price)
    if quantity < minimum:
        raise Denied(
            "below_min_quantity", _reason_params(market, quantity=quantity, minimum=minimum, needed=needed)
        )
    if quantity > maximum:
        raise Denied("above_max_quantity", _reason_params(market, quantity=quantity, maximum=maximum))
    notional = quantity * (price or 0)
    if price and notional < least:
        raise Denied(
            "below_min_notional", _reason_params(market, notional=notional, minimum=least, needed=needed)
        )


def _reason_params(market: MarketSpec, **numbers: Decimal) -> dict[str, str]:
    names = {"symbol": market.symbol, "quote": market.quote}
    return {**names, **{name: _short_text(number) for name, number in numbers.items()}}


def _short_text(number: Decimal) -> str:
    """Returns a number with at most 18 decimals, rounded down: a sentence needs no more decimals."""
    return plain(floor_to_step(number, _FINEST))
