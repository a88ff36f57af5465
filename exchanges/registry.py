"""The exchanges at which accounts can be opened. A plain ccxt exchange needs only a line in this list."""

from dataclasses import dataclass

from exchanges.enums import MarketType


@dataclass(frozen=True, slots=True)
class Exchange:
    """`clients` names the ccxt class for each market type; `dialect` picks the adapter for the exchange's traps.

    `setting` names the Django setting with the exchange's address, where the ccxt class has another address.
    """

    name: str
    label: str
    clients: dict[MarketType, str]
    dialect: str = "ccxt"
    setting: str = ""


_ALL = [
    Exchange(
        "paper",
        "Paper",
        {MarketType.SPOT: "binance", MarketType.FUTURES: "binanceusdm"},
        dialect="binance",
        setting="PAPER_EXCHANGE_URL",
    ),
    Exchange("binance", "Binance Spot", {MarketType.SPOT: "binance"}, dialect="binance"),
    Exchange("binanceusdm", "Binance USDⓈ-M Futures", {MarketType.FUTURES: "binanceusdm"}, dialect="binance"),
]
EXCHANGES = {exchange.name: exchange for exchange in _ALL}


def exchange_choices() -> list[tuple[str, str]]:
    """For model fields: a new exchange is no change of the schema, and so needs no migration."""
    return [(exchange.name, exchange.label) for exchange in EXCHANGES.values()]


def is_traded(name: str, market_type: MarketType) -> bool:
    return name in EXCHANGES and market_type in EXCHANGES[name].clients
