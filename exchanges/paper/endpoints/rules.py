"""Checks of an order against a market's filters, in Binance's order.

https://developers.binance.com/docs/binance-spot-api-docs/filters
https://developers.binance.com/docs/derivatives/usds-margined-futures/common-definition
"""

from decimal import Decimal

from exchanges.paper.engine.catalog import Market, decimal_places
from exchanges.paper.engine.codec import decimal_text, fixed_places
from exchanges.paper.engine.errors import Refusal

MAX_OPEN_ORDERS = 200
MAX_STOP_ORDERS = {"spot": 5, "futures": 10}
MAX_SPOT_NOTIONAL = Decimal(9_000_000)


def check_spot(market: Market, qty: Decimal, price: Decimal, average: Decimal) -> None:
    """Checks price, quantity and notional. A market order has price 0. Raises -1013 with the filter's name."""
    if price:
        _require_filter("PRICE_FILTER", price % market.tick == 0)
        _require_filter(
            "PERCENT_PRICE_BY_SIDE", market.price_floor <= price / average <= market.price_ceiling
        )
    _require_filter("LOT_SIZE", qty >= market.min_qty and qty % market.step == 0 and qty <= market.max_qty)
    if not price:
        _require_filter("MARKET_LOT_SIZE", qty <= market.market_max_qty)
    _require_filter("NOTIONAL", qty * (price or average) >= market.min_notional)
    if price and market.quote == "USDT":
        _require_filter("NOTIONAL", qty * price <= MAX_SPOT_NOTIONAL)


def check_spot_stop(market: Market, stop_price: Decimal) -> None:
    _require_filter("PRICE_FILTER", stop_price > 0 and stop_price % market.tick == 0)


def _require_filter(name: str, passed: bool) -> None:
    if not passed:
        raise Refusal(-1013, f"Filter failure: {name}")


def check_futures_quantity(market: Market, qty: Decimal, is_market: bool) -> None:
    if qty <= 0:
        raise Refusal(-4003)
    if decimal_places(qty) > market.quantity_digits:
        raise Refusal(-1111)
    if qty < market.min_qty:
        raise Refusal(-4004)
    if qty % market.step:
        raise Refusal(-4023)
    if qty > (market.market_max_qty if is_market else market.max_qty):
        raise Refusal(-4005)


def check_tick(market: Market, price: Decimal) -> None:
    if price <= 0:
        raise Refusal(-4001)
    if decimal_places(price) > market.price_digits:
        raise Refusal(-1111)
    if price % market.tick:
        raise Refusal(-4014)


def check_band(market: Market, price: Decimal, mark: Decimal, side: str) -> None:
    """Refuses a buy price too far above the mark price, and a sell price too far below the mark price."""
    highest, lowest = mark * market.price_ceiling, mark * market.price_floor
    if side == "BUY" and price > highest:
        raise Refusal(
            -4016, f"Limit price can't be higher than {fixed_places(highest, market.price_digits)}."
        )
    if side == "SELL" and price < lowest:
        raise Refusal(-4024, f"Limit price can't be lower than {fixed_places(lowest, market.price_digits)}.")


def check_opposite_price(market: Market, last: Decimal, mark: Decimal, side: str) -> None:
    """Refuses a market order while the best price of the other side is outside of the band."""
    closed = last > mark * market.price_ceiling if side == "BUY" else last < mark * market.price_floor
    if closed:
        raise Refusal(-4131)


def check_futures_notional(market: Market, notional: Decimal) -> None:
    if notional < market.min_notional:
        least = decimal_text(market.min_notional)
        raise Refusal(
            -4164, f"Order's notional must be no smaller than {least} (unless you choose reduce only)."
        )
