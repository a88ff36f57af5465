"""The markets of the paper exchange: a checked-in table with the filters published by Binance."""

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from exchanges.paper.engine.codec import Json

SPOT = "spot"
FUTURES = "futures"

TABLE = Path(__file__).with_name("markets.json")

# A spot price may be 0.2 to 5 times the last price: https://developers.binance.com/docs/binance-spot-api-docs/filters
SPOT_BAND = Decimal(5)
MAX_LEVERAGE = 125
TRADING, DELISTED = "TRADING", "DELISTED"
RULES = (
    "tick",
    "step",
    "min_qty",
    "max_qty",
    "market_max_qty",
    "min_notional",
    "price_floor",
    "price_ceiling",
)
TRADED = (TRADING, "PRE_SETTLE")  # before its settlement, a market takes closing orders only
# A delisted market is absent from the list of markets.
STATUSES = {
    SPOT: (TRADING, "BREAK", "HALT", DELISTED),
    FUTURES: (TRADING, "BREAK", "PRE_SETTLE", "SETTLING", "CLOSE", DELISTED),
}


@dataclass(frozen=True, slots=True)
class Market:
    """One tradable instrument. Quantities are base units; prices and notionals are quote units."""

    market: str
    symbol: str
    base: str
    quote: str
    opening_price: Decimal
    tick: Decimal
    step: Decimal
    max_qty: Decimal
    market_max_qty: Decimal
    min_notional: Decimal
    price_ceiling: Decimal  # times the last price: the highest bid of a buyer
    price_floor: Decimal  # times the last price: the lowest ask of a seller
    min_qty: Decimal
    status: str = TRADING

    @property
    def price_digits(self) -> int:
        return decimal_places(self.tick)

    @property
    def quantity_digits(self) -> int:
        return decimal_places(self.step)


def decimal_places(step: Decimal) -> int:
    return max(0, -int(step.normalize().as_tuple().exponent))


def _market_of_row(kind: str, row: Json) -> Market:
    rules = row[kind]
    band = Decimal(rules.get("band", SPOT_BAND))
    return Market(
        market=kind,
        symbol=row["base"] + row["quote"],
        base=row["base"],
        quote=row["quote"],
        opening_price=Decimal(row["price"]),
        tick=Decimal(rules["tick"]),
        step=Decimal(rules["step"]),
        min_qty=Decimal(rules["step"]),
        max_qty=Decimal(rules["max_qty"]),
        market_max_qty=Decimal(rules["market_max_qty"]),
        min_notional=Decimal(rules["min_notional"]),
        price_ceiling=band,
        price_floor=1 / band if kind == SPOT else 2 - band,
    )


def changed_market(market: Market, rules: dict[str, str]) -> Market:
    """Returns the market with changed rules and status. A changed step is the smallest quantity, too."""
    changes: Json = {name: Decimal(rules[name]) for name in RULES if name in rules}
    changes = {"min_qty": changes.get("step", market.min_qty)} | changes
    return replace(market, status=rules.get("status", market.status), **changes)


_ROWS = json.loads(TABLE.read_text())
MARKETS = {
    kind: {row["base"] + row["quote"]: _market_of_row(kind, row) for row in _ROWS if kind in row}
    for kind in (SPOT, FUTURES)
}
OPENING_PRICES = {row["base"] + row["quote"]: Decimal(row["price"]) for row in _ROWS}
ASSETS = sorted({row[side] for row in _ROWS for side in ("base", "quote")})
