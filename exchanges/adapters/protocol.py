"""The protocol of all exchange adapters: frozen dataclasses go in, reports come out, with Decimals throughout."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from exchanges.enums import MarketType, OrderType, OutsideKind, ReportStatus, Side, TimeInForce


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """The secrets of one account. `repr` hides the secrets."""

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
    # The maximum of orders without a limit price, where the exchange sets a smaller maximum for these orders.
    market_max_quantity: Decimal | None = None
    contract_size: Decimal = Decimal(1)
    is_active: bool = True
    # The adapter's own record of the market.
    raw: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Weights:
    """The request weight of questions about orders, holdings and income.

    `open_orders` is the weight of one list for one symbol, `all_open_orders` for all symbols; None where the exchange
    insists on a symbol.
    """

    order: int = 1
    open_orders: int = 1
    all_open_orders: int | None = None
    holdings: int = 1
    income: int = 1


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities of an exchange.

    `has_client_order_ids`, `has_fractions` and `has_leverage` describe the exchange and decide nothing: every order
    carries our client order id, quantities follow the market's lot, and the service changes no leverage.
    """

    order_types: frozenset[OrderType]
    has_client_order_ids: bool = True
    finds_by_client_order_id: bool = True
    has_reduce_only: bool = False
    has_fractions: bool = True
    has_leverage: bool = False
    receive_window_s: int = (
        5  # the exchange accepts no request that arrives later than this time after sending
    )
    weight_per_minute: int | None = None  # the request weight allowed to one address; None where unknown
    weights: Weights = Weights()
    # The exchange's lists of open orders, by the order types that a list certainly holds.
    open_order_lists: tuple[frozenset[OrderType], ...] = (frozenset({OrderType.MARKET, OrderType.LIMIT}),)
    has_income: bool = False  # `fetch_income` tells the money that came or went without a trade
    # The days for which the exchange lists orders, None where no end is known, and the time after which the exchange
    # forgets an order that ended without a fill. The absence of an older order proves nothing.
    history_days: int | None = None
    forgets_unfilled_after: timedelta | None = None
    times_in_force: frozenset[TimeInForce] = frozenset({TimeInForce.GTC})
    checks_notional_of_exits: bool = True  # the exchange refuses also an exit below the minimum notional
    # The client order ids of orders that the exchange itself makes begin with these prefixes.
    outside_prefixes: Mapping[str, OutsideKind] = field(default_factory=dict, hash=False)

    def kind_of(self, client_order_id: str) -> OutsideKind:
        """The origin of an order that is not ours; an order without a prefix of the exchange was made by hand."""
        found = (kind for prefix, kind in self.outside_prefixes.items() if client_order_id.startswith(prefix))
        return next(found, OutsideKind.HAND)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order, sized and rounded: `quantity` in base units on the lot, prices on the tick.

    The order does not leave after `send_before`, because a process that slept must not send an order that another
    process gave up meanwhile.
    """

    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool = False
    time_in_force: TimeInForce = TimeInForce.GTC  # of LIMIT orders
    send_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class OrderKey:
    """Names one order at an exchange. `order_type` tells the endpoint where stop orders have separate endpoints."""

    symbol: str
    client_order_id: str
    order_id: str = ""
    order_type: OrderType = OrderType.LIMIT


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. A paid `fee` is positive; the unit is `fee_currency`."""

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
    """The exchange's report of one order. `fills` is None where the answer carried no list of fills.

    `status` is None where the exchange used an unknown status word; our status of the order stays.
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
    # The id of the triggered order in the matching engine, where a conditional order gets a new id by its trigger.
    working_order_id: str = ""
    # The order itself, where the exchange tells: for an order with our prefix and without a row of ours.
    side: Side | None = None
    order_type: OrderType | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool = False
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Income:
    """Money that came (positive) or went (negative) without a trade. `symbol` is empty where no market is concerned.

    `income_id` is unique within the account.
    """

    income_id: str
    kind: OutsideKind
    symbol: str
    amount: Decimal
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    currency: str
    free: Decimal
    total: Decimal


@dataclass(frozen=True, slots=True)
class PositionReport:
    symbol: str
    quantity: Decimal  # signed; a short position is negative


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """The permissions of a key, as told by the exchange; None where the exchange tells nothing.

    `is_hedge_mode`: the key's account holds long and short positions of one symbol apart.
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
        """Returns the order of the answer; None where the answer only confirms the cancel: look up the order."""
        ...

    async def fetch_order(self, key: OrderKey) -> OrderReport: ...

    async def fetch_open_orders(
        self, symbol: str = "", order_types: Collection[OrderType] = tuple(OrderType)
    ) -> Sequence[OrderReport]:
        """The open orders of one symbol, or of all symbols. Some exchanges count all symbols forty times as much.

        Contains every order of `order_types`, and may leave out orders of other types.
        """
        ...

    async def fetch_orders(self, symbol: str, since: datetime) -> Sequence[OrderReport]:
        """All orders since the time, except orders that the exchange forgot meanwhile, as `capabilities` tells.

        Raises Unavailable, code "history_too_long", where the answer may be a part of the orders.
        """
        ...

    async def fetch_order_fills(self, key: OrderKey) -> Sequence[Fill]:
        """All fills of the order, from the first. Raises Unavailable like `fetch_orders`."""
        ...

    async def fetch_fills(self, symbol: str, since: datetime) -> Sequence[Fill]:
        """All fills since the time. Raises Unavailable like `fetch_orders`."""
        ...

    async def fetch_income(self, since: datetime) -> Sequence[Income]:
        """The income without trades since the time, oldest first; empty where `has_income` is false."""
        ...

    async def fetch_account_id(self) -> str:
        """The exchange's own id of the account, equal for all keys of the account; "" where there is none."""
        ...

    async def fetch_balance(self) -> Sequence[Balance]: ...

    async def fetch_positions(self) -> Sequence[PositionReport]: ...

    async def fetch_prices(self, symbols: Sequence[str]) -> dict[str, Decimal]: ...

    async def fetch_permissions(self) -> KeyPermissions: ...

    async def load_markets(self) -> Sequence[MarketSpec]: ...

    async def set_leverage(self, symbol: str, leverage: int) -> None: ...

    async def aclose(self) -> None: ...
