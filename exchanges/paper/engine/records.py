"""The records of the paper exchange: accounts, orders, trades. Times are epoch milliseconds."""

from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256

ZERO = Decimal(0)
FINAL = frozenset({"FILLED", "CANCELED", "EXPIRED", "REJECTED", "FINISHED"})
MARKET_TYPES = frozenset({"MARKET", "STOP_LOSS", "TAKE_PROFIT", "STOP_MARKET", "TAKE_PROFIT_MARKET"})


@dataclass(slots=True)
class Order:
    """One order. `quote` is the executed notional.

    `reserved` is the amount reserved for the open rest: an amount of the spent asset on spot, notional on futures.
    """

    order_id: int
    client_order_id: str
    api_key: str
    market: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal
    price: Decimal
    time: int
    stop_price: Decimal = ZERO
    quote_qty: Decimal = ZERO
    executed: Decimal = ZERO
    quote: Decimal = ZERO
    reserved: Decimal = ZERO
    status: str = "NEW"
    reduce_only: bool = False
    waiting: bool = False  # a spot stop that has not triggered
    orig_type: str = ""
    algo_id: int = 0
    updated: int = 0

    @property
    def remaining(self) -> Decimal:
        return self.qty - self.executed

    @property
    def is_open(self) -> bool:
        return self.status not in FINAL

    @property
    def is_market(self) -> bool:
        return self.type == "MARKET" or (self.market == "spot" and self.type in MARKET_TYPES)

    @property
    def average(self) -> Decimal:
        return self.quote / self.executed if self.executed else ZERO


@dataclass(slots=True)
class AlgoOrder:
    """A conditional futures order. The trigger makes an `Order` with the same client order id."""

    algo_id: int
    client_algo_id: str
    api_key: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal
    price: Decimal
    trigger_price: Decimal
    time: int
    status: str = "NEW"
    reduce_only: bool = False
    close_position: bool = False
    working_type: str = "CONTRACT_PRICE"
    actual_order_id: int = 0
    trigger_time: int = 0
    updated: int = 0

    @property
    def is_open(self) -> bool:
        return self.status == "NEW"


AnyOrder = Order | AlgoOrder


def exchange_id(order: AnyOrder) -> int:
    return order.algo_id if isinstance(order, AlgoOrder) else order.order_id


@dataclass(slots=True)
class Trade:
    id: int
    order_id: int
    client_order_id: str
    api_key: str
    market: str
    symbol: str
    side: str
    price: Decimal
    qty: Decimal
    quote_qty: Decimal
    commission: Decimal
    commission_asset: str
    realized_pnl: Decimal
    maker: bool
    time: int
    tran_id: int = 0


@dataclass(slots=True)
class Income:
    """One change of a futures wallet without a trade: funding, a fee of the insurance fund, or a transfer."""

    tran_id: int
    api_key: str
    kind: str
    symbol: str
    amount: Decimal
    asset: str
    time: int


@dataclass(slots=True)
class Wallet:
    free: Decimal = ZERO
    locked: Decimal = ZERO


@dataclass(slots=True)
class Position:
    """A position in one-way mode: a positive amount is long, a negative amount short."""

    amount: Decimal = ZERO
    entry_price: Decimal = ZERO
    updated: int = 0


@dataclass(slots=True)
class Account:
    """One account with its first API key. `more_keys` are the account's other API keys, with their secrets."""

    api_key: str
    secret: str = ""
    more_keys: dict[str, str] = field(default_factory=dict)
    can_withdraw: bool = False
    poor: bool = False  # too little free margin for reduce-only orders beyond the position
    spot: dict[str, Wallet] = field(default_factory=dict)
    margin_balance: Decimal = ZERO  # the futures wallet, USDT
    positions: dict[str, Position] = field(default_factory=dict)
    leverage: dict[str, int] = field(default_factory=dict)
    margin_type: dict[str, str] = field(default_factory=dict)
    updated: int = 0

    @property
    def uid(self) -> int:
        """The exchange's number for the account, whichever key asks."""
        return int.from_bytes(sha256(self.api_key.encode()).digest()[:5], "big")

    def secret_of(self, api_key: str) -> str:
        return self.secret if api_key == self.api_key else self.more_keys[api_key]

    def wallet(self, asset: str) -> Wallet:
        return self.spot.setdefault(asset, Wallet())

    def position(self, symbol: str) -> Position:
        return self.positions.get(symbol) or Position()
