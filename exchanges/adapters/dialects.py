"""The dialects of exchanges: each dialect names an adapter per market type, and a transport."""

from dataclasses import dataclass

from exchanges.adapters.binance import BinanceFutures, BinanceSpot, BinanceTransport
from exchanges.adapters.ccxt_adapter import CcxtAdapter
from exchanges.adapters.transport import StrictTransport
from exchanges.enums import MarketType


@dataclass(frozen=True, slots=True)
class Dialect:
    adapters: dict[MarketType, type[CcxtAdapter]]
    transport: type[StrictTransport] = StrictTransport


DIALECTS = {
    "ccxt": Dialect({MarketType.SPOT: CcxtAdapter, MarketType.FUTURES: CcxtAdapter}),
    "binance": Dialect({MarketType.SPOT: BinanceSpot, MarketType.FUTURES: BinanceFutures}, BinanceTransport),
}
