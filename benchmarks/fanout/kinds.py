"""The kinds of alerts, as the orders of one account, in the same terms for all contenders."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SYMBOL, MARKET_ID = "BTC/USDT:USDT", "BTCUSDT"
LEGS = 5


class Kind(StrEnum):
    LIMIT = "limit"
    MARKET = "market"  # filled at once
    EXIT = "exit"  # closes the position of MARKET
    BATCH = "batch"  # limit orders, in each account one after another


@dataclass(frozen=True, slots=True)
class PlainOrder:
    side: str
    order_type: str
    price: int | None = None
    reduce_only: bool = False

    def leg(self) -> dict[str, Any]:
        """The order as a leg of tradehub's message."""
        leg = {"symbol": SYMBOL, "side": self.side, "order_type": self.order_type}
        priced = {} if self.price is None else {"price": str(self.price)}
        return leg | priced | {"qty_per": -100 if self.reduce_only else 5}


ORDERS = {
    Kind.LIMIT: (PlainOrder("buy", "LIMIT", 90_000),),
    Kind.MARKET: (PlainOrder("buy", "MARKET"),),
    Kind.EXIT: (PlainOrder("sell", "MARKET", reduce_only=True),),
    Kind.BATCH: tuple(PlainOrder("buy", "LIMIT", 90_000 - 10 * number) for number in range(LEGS)),
}


def strategy_name(base: str, kind: Kind) -> str:
    """The strategy of the kind. An exit cancels the entries of its strategy, so limit orders have another one."""
    return f"{base}-market" if kind in (Kind.MARKET, Kind.EXIT) else base


def alert_fields(kind: Kind) -> dict[str, Any]:
    legs = [order.leg() for order in ORDERS[kind]]
    return legs[0] if len(legs) == 1 else {"orders": legs}
