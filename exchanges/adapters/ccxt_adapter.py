"""The adapter for any exchange through ccxt's unified methods. An exchange with traps of its own gets a subclass."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import ccxt

from exchanges.adapters.protocol import (
    Balance,
    Capabilities,
    Fill,
    Income,
    KeyPermissions,
    MarketSpec,
    OrderKey,
    OrderReport,
    OrderRequest,
    PositionReport,
    Weights,
)
from exchanges.amounts import EXACT, plain
from exchanges.enums import MarketType, OrderType, OutsideKind, ReportStatus, Side
from exchanges.errors import NotSent, OutcomeUnknown, Unavailable
from exchanges.fields import DIGITS, PLACES

_PLAIN = frozenset({OrderType.MARKET, OrderType.LIMIT})
_TRIGGERED = frozenset({OrderType.STOP_LIMIT, OrderType.STOP_MARKET})

_SIDES = {side.value: side for side in Side}
_STATUSES = {
    "open": ReportStatus.ACCEPTED,
    "closed": ReportStatus.FILLED,
    "canceled": ReportStatus.CANCELED,
    "expired": ReportStatus.EXPIRED,
    "rejected": ReportStatus.REJECTED,
}
_ORDER_TYPES = {
    ("market", False): OrderType.MARKET,
    ("limit", False): OrderType.LIMIT,
    ("market", True): OrderType.STOP_MARKET,
    ("limit", True): OrderType.STOP_LIMIT,
}


# The errors from reading an answer that differs from the exchange's documentation. ArithmeticError: the text is no
# number, or the number is out of range.
UNREADABLE = (ccxt.BaseError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)

_USUAL_PAGES = frozenset({20, 30, 40, 50, 100, 200, 250, 300, 500, 1000})  # the rows of exchanges' full pages
_MOST_SPANS = 50  # of one question

MAX_NAME = 80  # the most characters that columns keep of an exchange's id or symbol


def read_number(value: Any) -> Decimal:
    """Reads a number of an answer. None and an empty text count as zero. Raises one of UNREADABLE."""
    number = Decimal(str(value)) if value not in (None, "") else Decimal(0)
    if not number.is_finite():
        raise ValueError("not a number")
    return number


def read_number_or_none(value: Any) -> Decimal | None:
    return read_number(value) or None


def read_amount(value: Any) -> Decimal:
    """Reads a quantity, price, fee or balance. Raises ValueError where a column cannot keep every digit."""
    number = read_number(value)
    exponent = EXACT.normalize(number).as_tuple().exponent
    if number.adjusted() >= DIGITS - PLACES or (isinstance(exponent, int) and exponent < -PLACES):
        raise ValueError("not an amount")
    return number


def read_nonnegative_amount(value: Any) -> Decimal:
    number = read_amount(value)
    if number < 0:
        raise ValueError("negative")
    return number


def read_positive_amount(value: Any) -> Decimal:
    number = read_amount(value)
    if number <= 0:
        raise ValueError("not positive")
    return number


def read_name(value: Any) -> str:
    """Reads an id, a symbol or a currency of an answer; "" for None."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError("not a name")
    text = str(value)
    if len(text) > MAX_NAME or not text.isprintable():
        raise ValueError("not a name")
    return text


def read_required_name(value: Any) -> str:
    """Reads an id that the answer must have. Raises ValueError for None and for an empty text."""
    found = read_name(value)
    if not found:
        raise ValueError("no name")
    return found


def read_side(value: Any) -> Side | None:
    """Reads a side in small or in capital letters; None for any other text."""
    return _SIDES.get(str(value).lower())


def read_time(milliseconds: Any) -> datetime | None:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


class CcxtAdapter:
    """Makes one call of one account. `client` is a clone for this call only."""

    def __init__(self, client: Any, market_type: MarketType) -> None:
        self.client = client
        self.market_type = market_type

    def _features(self) -> dict[str, Any]:
        """ccxt's own notes on the exchange's endpoints for this market type."""
        kind = ("swap", "linear") if self.market_type is MarketType.FUTURES else ("spot",)
        features: Any = self.client.features or {}
        for name in kind:
            features = (features or {}).get(name) or {}
        known: dict[str, Any] = features
        return known

    @property
    def capabilities(self) -> Capabilities:
        features = self._features()
        # ccxt's `has` lies about stop orders, and `features` does not. ccxt would send a stop order that `features`
        # denies as a plain order.
        triggers = bool((features.get("createOrder") or {}).get("triggerPrice"))
        is_futures = self.market_type is MarketType.FUTURES
        history = features.get("fetchClosedOrders") or {}
        canceled_days = history.get("daysBackCanceled")
        needs_symbol = (features.get("fetchOpenOrders") or {}).get("symbolRequired") is not False
        return Capabilities(
            _PLAIN | _TRIGGERED if triggers else _PLAIN,
            finds_by_client_order_id=False,
            has_reduce_only=is_futures,
            has_leverage=is_futures,
            has_income=is_futures and bool(self.client.has.get("fetchFundingHistory")),
            history_days=history.get("daysBack") or None,
            forgets_unfilled_after=timedelta(days=canceled_days) if canceled_days else None,
            weights=Weights(all_open_orders=None if needs_symbol else 1),
            # Whether the minimum concerns orders that only reduce is documented nowhere, so the exchange decides.
            checks_notional_of_exits=not is_futures,
        )

    # Commands

    async def place_order(self, request: OrderRequest) -> OrderReport:
        self._require_order_type(request)
        self.client.send_before = request.send_before
        params: dict[str, str | bool] = {"clientOrderId": request.client_order_id}
        if request.stop_price is not None:
            params["triggerPrice"] = format(request.stop_price, "f")
        if request.reduce_only:
            params["reduceOnly"] = True
        _, price = self._plain_numbers(request)
        kind = "limit" if request.order_type.needs_price else "market"
        with self._commanding():
            order = await self.client.create_order(
                request.symbol, kind, request.side.value, self._amount(request), price, params
            )
            return confirmed_report(self._report(order), request.client_order_id, is_echoed=False)

    async def cancel_order(self, key: OrderKey) -> OrderReport | None:
        if not key.order_id:
            raise NotSent("The exchange's id of the order is not known.", code="no_order_id")
        with self._commanding():
            await self.client.cancel_order(key.order_id, key.symbol)
        return None

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        with self._commanding():
            await self.client.set_leverage(leverage, symbol)

    # Questions

    async def fetch_order(self, key: OrderKey) -> OrderReport:
        _check_id(key)
        with self._asking():
            report = self._report(await self.client.fetch_order(key.order_id, key.symbol))
            return confirmed_report(report, key.client_order_id, is_echoed=False)

    async def fetch_open_orders(
        self, symbol: str = "", order_types: Collection[OrderType] = tuple(OrderType)
    ) -> Sequence[OrderReport]:
        with self._asking():
            limit = self._limit("fetchOpenOrders")
            orders = await self.client.fetch_open_orders(symbol or None, None, limit)
            return [self._report(order) for order in _uncut_page(orders, limit)]

    async def fetch_orders(self, symbol: str, since: datetime) -> Sequence[OrderReport]:
        with self._asking():
            orders = await self._rows_since("fetchOrders", self.client.fetch_orders, symbol, since)
            return [self._report(order) for order in orders]

    async def fetch_order_fills(self, key: OrderKey) -> Sequence[Fill]:
        _check_id(key)
        with self._asking():
            limit = self._limit("fetchOrderTrades")
            trades = await self.client.fetch_order_trades(key.order_id, key.symbol, None, limit)
            return [self._fill(trade) for trade in _uncut_page(trades, limit)]

    async def fetch_fills(self, symbol: str, since: datetime) -> Sequence[Fill]:
        with self._asking():
            trades = await self._rows_since("fetchMyTrades", self.client.fetch_my_trades, symbol, since)
            return [self._fill(trade) for trade in trades]

    async def fetch_income(self, since: datetime) -> Sequence[Income]:
        if not self.capabilities.has_income:
            return []
        with self._asking():
            fetch = self.client.fetch_funding_history
            return [
                self._funding(row)
                for row in await self._rows_since("fetchFundingHistory", fetch, None, since)
            ]

    async def fetch_account_id(self) -> str:
        """Returns "": ccxt has no unified method for the id of an account."""
        return ""

    async def fetch_balance(self) -> Sequence[Balance]:
        with self._asking():
            balance = await self.client.fetch_balance()
            return [
                Balance(currency, read_amount(balance["free"].get(currency)), read_amount(total))
                for currency, total in balance["total"].items()
            ]

    async def fetch_positions(self) -> Sequence[PositionReport]:
        if self.market_type is not MarketType.FUTURES:
            return []
        with self._asking():
            rows = await self.client.fetch_positions()
            return net_positions(self._position(row) for row in rows if read_number(row["contracts"]))

    async def fetch_prices(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        with self._asking():
            tickers = await self.client.fetch_tickers(list(symbols))
            return {
                symbol: read_number(ticker["last"]) for symbol, ticker in tickers.items() if ticker["last"]
            }

    async def fetch_permissions(self) -> KeyPermissions:
        """Returns unknown permissions: ccxt has no unified method for the permissions of a key."""
        return KeyPermissions()

    async def load_markets(self) -> Sequence[MarketSpec]:
        with self._asking():
            markets = await self.client.fetch_markets()
            return [self._spec(market) for market in markets if self._is_ours(market)]

    async def aclose(self) -> None:
        """Closes nothing: the connection pool belongs to the process."""

    def _require_order_type(self, request: OrderRequest) -> None:
        """Raises NotSent for an order type outside the capabilities, because ccxt would send another order type."""
        if request.order_type not in self.capabilities.order_types:
            raise NotSent(
                f"{request.order_type} orders cannot be placed here.", code="order_type_unsupported"
            )

    # History

    def _limit(self, endpoint: str) -> int | None:
        """The most rows of one answer, as ccxt notes the number; None where unknown."""
        limit: int | None = (self._features().get(endpoint) or {}).get("limit")
        return limit

    async def _rows_since(
        self, endpoint: str, fetch: Callable[..., Awaitable[Any]], symbol: str | None, since: datetime
    ) -> list[dict[str, Any]]:
        """All rows since the time, span after span. Raises Unavailable for a history that may be cut."""
        now = datetime.now(UTC)
        known = self._features().get(endpoint) or {}
        days_back = known.get("daysBack")
        if days_back and since < now - timedelta(days=days_back):
            raise Unavailable("The exchange does not keep so long a history.", code="history_too_long")
        rows: list[dict[str, Any]] = []
        for start, params in _spans(since, now, known.get("untilDays")):
            self.client.restart_time()
            page = await fetch(symbol, _epoch_ms(start), self._limit(endpoint), params)
            rows += _uncut_page(page, self._limit(endpoint))
        return rows

    # Translation

    def _is_ours(self, market: dict[str, Any]) -> bool:
        if self.market_type is MarketType.FUTURES:
            return bool(market["contract"] and market["linear"] and market["type"] in ("swap", "future"))
        return bool(market["spot"])

    def _spec(self, market: dict[str, Any]) -> MarketSpec:
        size = read_number(market.get("contractSize")) or Decimal(1)
        limits = market["limits"]
        lot = read_number(market["precision"]["amount"]) * size
        return MarketSpec(
            symbol=market["symbol"],
            exchange_symbol=market["id"],
            market_type=self.market_type,
            base=market["base"],
            quote=market["quote"],
            tick_size=read_number(market["precision"]["price"]),
            lot_size=lot,
            min_quantity=read_number(limits["amount"]["min"]) * size or lot,
            max_quantity=_base_units(limits["amount"]["max"], size),
            min_notional=read_number((limits.get("cost") or {}).get("min")),
            market_max_quantity=_base_units((limits.get("market") or {}).get("max"), size),
            contract_size=size,
            is_active=market["active"] is not False,
            raw=market,
        )

    def _contract_size(self, symbol: str) -> Decimal:
        return read_number(self.client.market(symbol).get("contractSize")) or Decimal(1)

    def _amount(self, request: OrderRequest) -> str:
        """The quantity in the exchange's unit: contracts for a market with a contract size, else base units."""
        return format(request.quantity / self._contract_size(request.symbol), "f")

    @staticmethod
    def _plain_numbers(request: OrderRequest) -> tuple[str, str | None]:
        price = None if request.price is None else plain(request.price)
        return plain(request.quantity), price

    def _report(self, order: dict[str, Any]) -> OrderReport:
        size = self._contract_size(order["symbol"]) if order.get("symbol") else Decimal(1)
        return OrderReport(
            order_id=read_name(order["id"]),
            client_order_id=read_name(order["clientOrderId"]),
            symbol=read_name(order["symbol"]),
            status=_STATUSES.get(order["status"] or ""),
            quantity=read_nonnegative_amount(order["amount"]) * size if order["amount"] else None,
            filled=read_nonnegative_amount(order["filled"]) * size,
            average=read_number_or_none(order["average"]),
            reported_at=read_time(order["lastTradeTimestamp"] or order["timestamp"]),
            side=read_side(order.get("side")),
            order_type=_ORDER_TYPES.get((str(order.get("type")), bool(order.get("triggerPrice")))),
            price=read_number_or_none(order.get("price")),
            stop_price=read_number_or_none(order.get("triggerPrice")),
            reduce_only=order.get("reduceOnly") is True,
            created_at=read_time(order["timestamp"]),
        )

    def _fill(self, trade: dict[str, Any]) -> Fill:
        fee = trade.get("fee") or {}
        return Fill(
            trade_id=read_required_name(trade["id"]),
            order_id=read_name(trade["order"]),
            symbol=read_name(trade["symbol"]),
            side=Side(trade["side"]),
            quantity=read_positive_amount(trade["amount"]) * self._contract_size(trade["symbol"]),
            price=read_nonnegative_amount(trade["price"]),
            fee=read_amount(fee.get("cost")),
            fee_currency=read_name(fee.get("currency")),
            executed_at=datetime.fromtimestamp(trade["timestamp"] / 1000, UTC),
            is_maker=trade.get("takerOrMaker") == "maker",
        )

    @staticmethod
    def _funding(row: dict[str, Any]) -> Income:
        return Income(
            income_id=read_required_name(row["id"]),
            kind=OutsideKind.FUNDING,
            symbol=read_name(row["symbol"]),
            amount=read_amount(row["amount"]),
            currency=read_name(row["code"]),
            at=datetime.fromtimestamp(row["timestamp"] / 1000, UTC),
        )

    def _position(self, row: dict[str, Any]) -> tuple[str, Decimal]:
        quantity = abs(read_amount(row["contracts"])) * self._contract_size(row["symbol"])
        sign = -1 if row["side"] == "short" else 1
        return read_name(row["symbol"]), sign * quantity

    # Conclusions. The transport raises errors of exchanges.errors. For other errors of ccxt, the conclusion depends
    # on the request: sent or not sent.

    @contextmanager
    def _commanding(self) -> Iterator[None]:
        try:
            yield
        except UNREADABLE as error:
            if not self.client.sent:
                raise NotSent(f"The request could not be built: {type(error).__name__}.") from error
            raise OutcomeUnknown(f"The answer could not be read: {type(error).__name__}.") from error

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (NotSent, OutcomeUnknown) as error:
            raise Unavailable(error.message, code=error.code, http_status=error.http_status) from error
        except UNREADABLE as error:
            raise Unavailable(f"The answer could not be read: {type(error).__name__}.") from error


def confirmed_report(report: OrderReport, client_order_id: str, *, is_echoed: bool = True) -> OrderReport:
    """Returns the report where the report proves acceptance, by an exchange order id and our client order id.

    Raises OutcomeUnknown otherwise. An exchange with `is_echoed` False may leave the client order id out, but a foreign
    client order id contradicts acceptance at every exchange.
    """
    is_ours = report.client_order_id == client_order_id or not (is_echoed or report.client_order_id)
    if report.order_id and is_ours:
        return report
    raise OutcomeUnknown("The answer does not name our order.", code="answer_without_our_order")


def net_positions(rows: Iterable[tuple[str, Decimal]]) -> list[PositionReport]:
    """Adds the rows of a symbol into one report, because an account may hold a long and a short position apart."""
    held: dict[str, Decimal] = {}
    for symbol, quantity in rows:
        held[symbol] = EXACT.add(held.get(symbol, Decimal(0)), quantity)
    return [PositionReport(symbol, read_amount(quantity)) for symbol, quantity in held.items() if quantity]


def _check_id(key: OrderKey) -> None:
    """Raises Unavailable without an exchange order id, because ccxt would ask with an empty id."""
    if not key.order_id:
        raise Unavailable("The exchange's id of the order is not known.", code="no_order_id")


def _uncut_page(page: list[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    """Raises Unavailable for a page that may be cut, because the rows left out would count as absent.

    ccxt does not tell whether an answer was whole, and an exchange may cut pages to fewer rows than ccxt notes.
    """
    if len(page) in _USUAL_PAGES or (limit and len(page) >= limit):
        raise Unavailable("The answer may be a part of the history.", code="history_too_long")
    return page


def _spans(
    since: datetime, now: datetime, longest_days: float | None
) -> Iterator[tuple[datetime, dict[str, int]]]:
    """The beginning and the parameters of each span until now. The last span has no end."""
    longest = timedelta(days=longest_days or 0)
    if longest and now - since > _MOST_SPANS * longest:
        raise Unavailable("There is more history than one question can read.", code="history_too_long")
    start = since
    while longest and now - start >= longest:
        yield start, {"until": _epoch_ms(start + longest) - 1}
        start += longest
    yield start, {}


def _base_units(contracts: Any, size: Decimal) -> Decimal | None:
    """Converts a limit in contracts to base units; None where the exchange sets no limit."""
    return EXACT.multiply(read_number(contracts), size) or None


def _epoch_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
