"""What every exchange looks like from above: frozen dataclasses in, reports out, Decimals throughout."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from exchanges.enums import MarketType, OrderType, ReportStatus, Side


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Secrets of one account. Never printed: `repr` shows the class only."""

    api_key: str
    secret: str
    password: str = ""


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """One tradable instrument and its rules. Quantities are base units (shares for stocks), never contracts."""

    symbol: str  # unified: BTC/USDT, BTC/USDT:USDT, KRX:005930
    exchange_symbol: str  # the exchange's own: BTCUSDT
    market_type: MarketType
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_quantity: Decimal
    max_quantity: Decimal | None
    min_notional: Decimal
    market_max_quantity: Decimal | None = (
        None  # of orders without a limit price, where those may be smaller only
    )
    contract_size: Decimal = Decimal(1)
    is_active: bool = True
    raw: dict[str, Any] = field(
        default_factory=dict, compare=False, repr=False
    )  # the adapter's own market record


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an exchange can do. `has_client_order_ids`, `has_fractions` and `has_leverage` describe it and decide
    nothing: every order carries our id, quantities follow the market's lot, and nobody changes a leverage there."""

    order_types: frozenset[OrderType]
    has_client_order_ids: bool = True
    finds_by_client_order_id: bool = True
    has_reduce_only: bool = False
    has_fractions: bool = True
    has_leverage: bool = False
    receive_window_s: int = 5  # after this a request that was not yet seen can no longer be accepted
    weight_per_minute: int | None = None  # of requests that one address may send; None where it is not known


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order, sized and rounded: `quantity` in base units on the lot, prices on the tick.

    It does not leave after `send_before`: a process that slept must not send what was given up meanwhile.
    """

    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool = False
    send_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class OrderKey:
    """Names one order at an exchange. `order_type` tells adapters that keep stop orders apart where to look."""

    symbol: str
    client_order_id: str
    order_id: str = ""
    order_type: OrderType = OrderType.LIMIT


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `fee` is positive when paid, in `fee_currency`."""

    trade_id: str
    order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    executed_at: datetime
    is_maker: bool = False


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What the exchange says of one order. `fills` is None where the answer did not carry them.

    `status` is None when the exchange used a word that we do not know: keep what we have.
    """

    order_id: str
    client_order_id: str
    symbol: str
    status: ReportStatus | None
    quantity: Decimal | None
    filled: Decimal
    average: Decimal | None
    reported_at: datetime | None
    fills: tuple[Fill, ...] | None = None
    # The order in the matching engine, where a conditional order has another id than the order it triggers.
    working_order_id: str = ""


@dataclass(frozen=True, slots=True)
class Balance:
    currency: str
    free: Decimal
    total: Decimal


@dataclass(frozen=True, slots=True)
class PositionReport:
    symbol: str
    quantity: Decimal  # signed: negative is short


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """What a key may do, by its exchange's word; None where the exchange does not say.

    `is_hedge_mode`: its account holds long and short positions of one symbol apart.
    """

    can_trade: bool | None = None
    can_withdraw: bool | None = None
    is_ip_restricted: bool | None = None
    is_hedge_mode: bool | None = None


class ExchangeAdapter(Protocol):
    """One account at one exchange and market type.

    Commands (`place_order`, `cancel_order`, `set_leverage`) raise `Rejected`, `DuplicateClientOrderId`,
    `OrderNotFound`, `NotSent` or `OutcomeUnknown`; questions raise `OrderNotFound`, `Rejected` or `Unavailable`.
    """

    capabilities: Capabilities

    async def place_order(self, request: OrderRequest) -> OrderReport: ...

    async def cancel_order(self, key: OrderKey) -> OrderReport | None:
        """The order as the answer shows it; None where the answer only says yes: look it up."""
        ...

    async def fetch_order(self, key: OrderKey) -> OrderReport: ...

    async def fetch_open_orders(self, symbol: str = "") -> Sequence[OrderReport]:
        """Of one symbol, or of all: some exchanges count that question forty times as much."""
        ...

    async def fetch_orders(self, symbol: str, since: datetime) -> Sequence[OrderReport]: ...

    async def fetch_order_fills(self, key: OrderKey) -> Sequence[Fill]: ...

    async def fetch_fills(self, symbol: str, since: datetime) -> Sequence[Fill]: ...

    async def fetch_balance(self) -> Sequence[Balance]: ...

    async def fetch_positions(self) -> Sequence[PositionReport]: ...

    async def fetch_prices(self, symbols: Sequence[str]) -> dict[str, Decimal]: ...

    async def fetch_permissions(self) -> KeyPermissions: ...

    async def load_markets(self) -> Sequence[MarketSpec]: ...

    async def set_leverage(self, symbol: str, leverage: int) -> None: ...

    async def aclose(self) -> None: ...
