"""Adapters for Binance Spot, for Binance USDⓈ-M futures, and for the paper exchange, which has the same REST API.

ccxt names endpoints, and signs what is rare. This module signs the requests of orders and reads the answers field by
field, because ccxt's signature and unified parser cost more than the rest of the call, and because the parser hides the
fields that are missing from an answer.
https://developers.binance.com/docs/binance-spot-api-docs/rest-api
https://developers.binance.com/docs/derivatives/usds-margined-futures
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import yarl

from exchanges.adapters.ccxt_adapter import (
    CcxtAdapter,
    confirmed_report,
    net_positions,
    read_amount,
    read_name,
    read_nonnegative_amount,
    read_number,
    read_number_or_none,
    read_positive_amount,
    read_required_name,
    read_side,
    read_time,
)
from exchanges.adapters.outcomes import classify_binance
from exchanges.adapters.protocol import (
    Balance,
    Capabilities,
    Fill,
    Income,
    KeyPermissions,
    OrderKey,
    OrderReport,
    OrderRequest,
    PositionReport,
    Weights,
)
from exchanges.adapters.signing import signed_query
from exchanges.adapters.transport import StrictTransport
from exchanges.amounts import EXACT
from exchanges.enums import MarketType, OrderType, OutsideKind, ReportStatus, Side, TimeInForce
from exchanges.errors import (
    ExchangeError,
    OrderNotFound,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unavailable,
)

# A status that is missing here leaves the order's status unchanged.
_STATUSES = {
    "NEW": ReportStatus.ACCEPTED,
    "PENDING_NEW": ReportStatus.ACCEPTED,
    "PARTIALLY_FILLED": ReportStatus.PARTIALLY_FILLED,
    "FILLED": ReportStatus.FILLED,
    "CANCELED": ReportStatus.CANCELED,
    "EXPIRED": ReportStatus.EXPIRED,
    "EXPIRED_IN_MATCH": ReportStatus.EXPIRED,
    "REJECTED": ReportStatus.REJECTED,
}
# Spot and futures have different words for the same stop order.
_ORDER_TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "LIMIT_MAKER": OrderType.LIMIT,
    "STOP_LOSS": OrderType.STOP_MARKET,
    "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT,
    "STOP_MARKET": OrderType.STOP_MARKET,
    "STOP": OrderType.STOP_LIMIT,
}
# https://developers.binance.com/docs/derivatives/usds-margined-futures/user-data-streams/Event-Order-Update
_OUTSIDE_PREFIXES = {
    "autoclose-": OutsideKind.LIQUIDATION,
    "adl_autoclose": OutsideKind.ADL,
    "settlement_autoclose-": OutsideKind.DELIVERY,
    "delivery_autoclose-": OutsideKind.DELIVERY,
}
# Trades tell these incomes too; an income of a type that is named nowhere here moves money and no position.
_INCOME_OF_TRADES = frozenset({"REALIZED_PNL", "COMMISSION", "DELIVERED_SETTELMENT"})
_INCOME_KINDS = {
    "FUNDING_FEE": OutsideKind.FUNDING,
    "SPECIAL_FUNDING_FEE": OutsideKind.FUNDING,
    "INSURANCE_CLEAR": OutsideKind.LIQUIDATION,
}
# "Order was canceled or expired with no executed qty over 90 days ago and has been archived", on spot only.
_ARCHIVED = "-2026"
# The requests of every alert; a private key in place of a secret signs otherwise.
_OF_ORDERS = frozenset(
    {("POST", "order"), ("DELETE", "order"), ("GET", "order"), ("GET", "userTrades"), ("GET", "myTrades")}
)
_KEY_PAIR = "PRIVATE KEY"
_PAGE = 1000  # the most rows of one answer
_MOST_PAGES = 50  # of one question
_PLAIN = frozenset({OrderType.MARKET, OrderType.LIMIT})
_STOPS = frozenset({OrderType.STOP_LIMIT, OrderType.STOP_MARKET})
_ALL_TYPES = _PLAIN | _STOPS
_TIMES_IN_FORCE = {
    TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK", TimeInForce.POST_ONLY: "GTX",
}  # fmt: skip


def _read_flag(raw: dict[str, Any], name: str) -> bool:
    """Reads a flag. Raises ValueError or KeyError without a flag: silence is neither permission nor prohibition."""
    said = raw[name]
    if not isinstance(said, bool):
        raise ValueError(name)  # noqa: TRY004 - the answer is unreadable; the program made no mistake of types
    return said


def _archived_report(key: OrderKey) -> OrderReport:
    """The report of an order that ended without a fill so long ago that Binance Spot does not show the order."""
    return OrderReport(
        order_id=key.order_id,
        client_order_id=key.client_order_id,
        symbol=key.symbol,
        status=ReportStatus.CANCELED,
        quantity=None,
        filled=Decimal(0),
        average=None,
        reported_at=None,
    )


def _read_rows(answer: Any) -> list[Any]:
    """Raises TypeError for anything but a list, because an empty object is not the absence of orders."""
    if not isinstance(answer, list):
        raise TypeError("not a list")
    return answer


@dataclass(frozen=True, slots=True)
class _History:
    """One endpoint with rows of the past, oldest first. `from_id` names the parameter for the first id of a page."""

    get: Callable[[dict[str, Any]], Awaitable[Any]]
    row_id: str
    from_id: str
    takes_span_with_id: bool = True


class BinanceTransport(StrictTransport):
    weight_header = "X-MBX-USED-WEIGHT-1M"
    common_headers: dict[str, str] | None = None  # of every request; set for a template

    def sign(
        self, path: str, api: Sequence[str] = ("public",), method: str = "GET", params: Any = None
    ) -> dict[str, Any]:
        """Signs the requests of orders by `exchanges.adapters.signing`, and all others by ccxt."""
        if not self._may_sign(path, api, method, params or {}):
            signed: dict[str, Any] = super().sign(path, api, method, params or {})  # type: ignore[misc]
            return signed
        client: Any = self
        signed_text = signed_query(
            {"timestamp": client.nonce(), **params, "recvWindow": client.options["recvWindow"]}, client.secret
        )
        url, headers = f"{client.urls['api'][api[0]]}/{path}", {"X-MBX-APIKEY": client.apiKey}
        if method != "POST":
            return {"url": f"{url}?{signed_text}", "method": method, "body": None, "headers": headers}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return {"url": url, "method": method, "body": signed_text, "headers": headers}

    def _may_sign(self, path: str, api: Sequence[str], method: str, params: dict[str, Any]) -> bool:
        """Whether ccxt's `sign` does nothing beyond the plain signature: no broker's name, no key pair, no test net."""
        client: Any = self
        return (
            (method, path) in _OF_ORDERS
            and (method != "POST" or "newClientOrderId" in params)
            and "recvWindow" not in params
            and bool(client.apiKey and client.secret)
            and _KEY_PAIR not in client.secret
            and "testnet" not in client.urls["api"][api[0]]
        )

    def prepare_request_headers(self, headers: dict[str, str] | None = None) -> dict[str, str]:
        """Adds the headers that all requests share. ccxt's own method gathers these headers anew each time."""
        if self.common_headers is None:
            gathered: dict[str, str] = super().prepare_request_headers(headers)  # type: ignore[misc]
            return gathered
        return {**(headers or {}), **self.common_headers}

    def _doubt(self, *_: object) -> None:
        """Doubts no answer: Binance refuses by HTTP status, and the adapters read every answer field by field."""

    def classify(
        self, http_status: int, body: object | None, retry_after: str | None, url: str
    ) -> ExchangeError:
        """Reads the answer by the market of the endpoint, because a futures key asks some endpoints of spot too."""
        is_futures = yarl.URL(url, encoded=True).path.startswith("/fapi/")
        market_type = MarketType.FUTURES if is_futures else MarketType.SPOT
        return classify_binance(http_status, body, market_type=market_type, retry_after=retry_after)


class BinanceSpot(CcxtAdapter):
    response_type = "FULL"  # the answer includes the fills that happened at once
    stop_options: dict[str, str | bool] = {}  # ccxt picks the endpoint by these options
    capabilities = Capabilities(
        # The spot market calls POST_ONLY another order type.
        times_in_force=frozenset(TimeInForce) - {TimeInForce.POST_ONLY},
        order_types=_PLAIN | _STOPS,
        weight_per_minute=6000,
        weights=Weights(order=4, open_orders=6, all_open_orders=80, holdings=20),
        open_order_lists=(_ALL_TYPES,),
        forgets_unfilled_after=timedelta(days=90),
    )
    trading_permission = "enableSpotAndMarginTrading"
    longest_span = timedelta(hours=24)  # of one question about the past
    shows_newest_of_all = True  # a question without times gets the newest rows of all time

    async def place_order(self, request: OrderRequest) -> OrderReport:
        self._require_order_type(request)
        self.client.send_before = request.send_before
        with self._commanding():
            raw = await self._post(self._order_parameters(request))
            return confirmed_report(self._raw_report(raw, request.symbol), request.client_order_id)

    async def cancel_order(self, key: OrderKey) -> OrderReport | None:
        with self._commanding():
            raw = await self._delete(self._name_parameters(key))
            # Spot echoes the cancel's own client order id as clientOrderId, and our client order id as the original.
            echoed = raw.get("origClientOrderId") or raw.get("clientOrderId")
            report = self._raw_report({**raw, "clientOrderId": echoed}, key.symbol)
            return confirmed_report(report, key.client_order_id)

    async def fetch_order(self, key: OrderKey) -> OrderReport:
        with self._asking():
            try:
                raw = await self._get(self._name_parameters(key))
            except OutcomeUnknown as error:
                if error.exchange_code == _ARCHIVED:
                    return _archived_report(key)
                raise
            return confirmed_report(self._raw_report(raw, key.symbol), key.client_order_id)

    async def fetch_open_orders(
        self, symbol: str = "", order_types: Collection[OrderType] = _ALL_TYPES
    ) -> Sequence[OrderReport]:
        with self._asking():
            rows = _read_rows(await self.client.privateGetOpenOrders(self._symbol_parameters(symbol)))
            return [self._raw_report(raw, symbol) for raw in rows]

    async def fetch_orders(self, symbol: str, since: datetime) -> Sequence[OrderReport]:
        with self._asking():
            history = _History(self.client.privateGetAllOrders, "orderId", "orderId")
            return [
                self._raw_report(raw, symbol) for raw in await self._history_since(history, symbol, since)
            ]

    async def fetch_order_fills(self, key: OrderKey) -> Sequence[Fill]:
        with self._asking():
            order_id = key.order_id or (await self._get(self._name_parameters(key)))["orderId"]
            return await self._all_fills(order_id, key.symbol)

    async def fetch_fills(self, symbol: str, since: datetime) -> Sequence[Fill]:
        with self._asking():
            history = _History(self._get_trades, "id", "fromId", takes_span_with_id=False)
            return [self._raw_fill(row, symbol) for row in await self._history_since(history, symbol, since)]

    async def fetch_income(self, since: datetime) -> Sequence[Income]:
        """Returns nothing: the trades tell everything that moves money on spot, except transfers."""
        return []

    async def fetch_account_id(self) -> str:
        with self._asking():
            account = await self.client.privateGetAccount({"omitZeroBalances": "true"})
            return read_name(account.get("uid"))

    async def fetch_balance(self) -> Sequence[Balance]:
        with self._asking():
            account = await self.client.privateGetAccount({"omitZeroBalances": "true"})
            return [self._balance(row["asset"], row["free"], row["locked"]) for row in account["balances"]]

    async def fetch_prices(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        wanted = {self._id(symbol): symbol for symbol in symbols}
        parameters = {"symbol": next(iter(wanted))} if len(wanted) == 1 else {}
        with self._asking():
            answer = await self._get_prices(parameters)
            rows = answer if isinstance(answer, list) else [answer]
            return {
                wanted[row["symbol"]]: read_number(row["price"]) for row in rows if row["symbol"] in wanted
            }

    async def fetch_permissions(self) -> KeyPermissions:
        """Reads the key's permissions: https://developers.binance.com/docs/wallet/account/api-key-permission"""
        with self._asking():
            raw = await self.client.sapiGetAccountApiRestrictions()
            return KeyPermissions(
                can_trade=_read_flag(raw, self.trading_permission),
                can_withdraw=_read_flag(raw, "enableWithdrawals"),
                is_ip_restricted=_read_flag(raw, "ipRestrict"),
            )

    # Endpoints

    async def _post(self, parameters: dict[str, Any]) -> Any:
        return await self.client.privatePostOrder(parameters)

    async def _get(self, parameters: dict[str, Any]) -> Any:
        return await self.client.privateGetOrder(parameters)

    async def _delete(self, parameters: dict[str, Any]) -> Any:
        return await self.client.privateDeleteOrder(parameters)

    async def _get_trades(self, parameters: dict[str, Any]) -> Any:
        return await self.client.privateGetMyTrades(parameters)

    async def _get_prices(self, parameters: dict[str, Any]) -> Any:
        return await self.client.publicGetTickerPrice(parameters)

    # Translation

    def _id(self, symbol: str) -> str:
        market_id: str = self.client.market(symbol)["id"]
        return market_id

    def _symbol(self, market_id: str) -> str:
        found = self.client.markets_by_id.get(market_id)
        return found[0]["symbol"] if found else read_name(market_id)

    def _name_parameters(self, key: OrderKey) -> dict[str, str]:
        """Names the order by the exchange order id where known, because Binance may take a client order id twice."""
        name = {"orderId": key.order_id} if key.order_id else {"origClientOrderId": key.client_order_id}
        return {"symbol": self._id(key.symbol), **name}

    def _symbol_parameters(self, symbol: str) -> dict[str, str]:
        return {"symbol": self._id(symbol)} if symbol else {}

    async def _history_since(self, history: _History, symbol: str, since: datetime) -> list[dict[str, Any]]:
        """All rows since the time, oldest first. Raises Unavailable where the rows would take too many pages."""
        named = {"symbol": self._id(symbol), "limit": str(_PAGE)}
        spans = list(self._spans(since))
        if len(spans) > 1 and self.shows_newest_of_all:
            newest = await self._page(history, named)
            if len(newest) < _PAGE or int(newest[0]["time"]) < int(spans[0]["startTime"]):
                return [row for row in newest if int(row["time"]) >= int(spans[0]["startTime"])]
        found: list[dict[str, Any]] = []
        pages_left = _MOST_PAGES
        for span in spans:
            pages_left -= await self._read_span(history, named, span, found, pages_left)
        return found

    async def _read_span(
        self,
        history: _History,
        named: dict[str, str],
        span: dict[str, str],
        found: list[dict[str, Any]],
        most_pages: int,
    ) -> int:
        """Adds the rows of the span to `found`, page after page. Returns the number of pages."""
        asked = named | span
        for number in range(1, most_pages + 1):
            page = await self._page(history, asked)
            last = max((int(row[history.row_id]) for row in found), default=-1)
            new = [row for row in page if int(row[history.row_id]) > last]
            found += new
            if len(page) < _PAGE:
                return number
            if not new and history.from_id in asked:
                break  # the exchange shows the same page again
            # Pages by id run past the end of a window: its first page may hold nothing new, and the rows behind may.
            following = max(int(row[history.row_id]) for row in (*found, *page)) + 1
            asked = named | {history.from_id: str(following)} | (span if history.takes_span_with_id else {})
        raise Unavailable("There is more history than one question can read.", code="history_too_long")

    async def _page(self, history: _History, asked: dict[str, str]) -> list[dict[str, Any]]:
        self.client.restart_time()
        return _read_rows(await history.get(asked))

    def _spans(self, since: datetime) -> Iterator[dict[str, str]]:
        """The parameters of the spans until now. The last span has no end, because our clock may be behind."""
        longest_ms = self.longest_span // timedelta(milliseconds=1)
        start, now = self._exchange_ms(since), self._exchange_ms(datetime.now(UTC))
        while now - start >= longest_ms:
            yield {"startTime": str(start), "endTime": str(start + longest_ms - 1)}
            start += longest_ms
        yield {"startTime": str(start)}

    def _exchange_ms(self, moment: datetime) -> int:
        """The moment on the exchange's clock, in milliseconds."""
        ours_ahead_ms = int(self.client.options.get("timeDifference") or 0)
        return int(moment.timestamp() * 1000) - ours_ahead_ms

    def _order_parameters(self, request: OrderRequest) -> dict[str, Any]:
        """The same parameters as from ccxt. Plain orders skip ccxt, whose many checks take longer."""
        if request.order_type in _STOPS:
            return self._stop_parameters(request)
        amount, price = self._plain_numbers(request)
        params: dict[str, Any] = {
            "symbol": self._id(request.symbol),
            "side": request.side.value.upper(),
            "newClientOrderId": request.client_order_id,
            "newOrderRespType": self.response_type,
            "type": request.order_type.value,
            "quantity": amount,
        }
        if price is not None:
            params["price"] = price
        if request.order_type is OrderType.LIMIT:
            params["timeInForce"] = _TIMES_IN_FORCE[request.time_in_force]
        return params | self._extras(request)

    def _stop_parameters(self, request: OrderRequest) -> dict[str, Any]:
        amount, price = self._plain_numbers(request)
        assert request.stop_price is not None
        params: dict[str, str | bool] = {
            "clientOrderId": request.client_order_id,
            "stopLossPrice": format(request.stop_price, "f"),
            **self.stop_options,
            **self._extras(request),
        }
        kind = "limit" if request.order_type.needs_price else "market"
        built: dict[str, Any] = self.client.create_order_request(
            request.symbol, kind, request.side.value, amount, price, params
        )
        return built

    def _extras(self, request: OrderRequest) -> dict[str, str | bool]:
        return {}

    def _raw_report(self, raw: dict[str, Any], symbol: str = "") -> OrderReport:
        filled = read_nonnegative_amount(raw.get("executedQty"))
        return OrderReport(
            order_id=read_name(raw.get("orderId")),
            client_order_id=read_name(raw.get("clientOrderId")),
            symbol=symbol or self._symbol(raw["symbol"]),
            status=_STATUSES.get(raw.get("status", "")),
            quantity=read_nonnegative_amount(raw.get("origQty")) or None,
            filled=filled,
            average=self._average(raw, filled),
            reported_at=read_time(raw.get("updateTime") or raw.get("transactTime")),
            fills=self._embedded_fills(raw, symbol),
            side=read_side(raw.get("side")),
            order_type=_ORDER_TYPES.get(raw.get("type", "")),
            price=read_number_or_none(raw.get("price")),
            stop_price=read_number_or_none(raw.get("stopPrice")),
            reduce_only=raw.get("reduceOnly") is True,
            created_at=read_time(raw.get("time")),
        )

    def _average(self, raw: dict[str, Any], filled: Decimal) -> Decimal | None:
        return read_number(raw.get("cummulativeQuoteQty")) / filled if filled else None

    def _embedded_fills(self, raw: dict[str, Any], symbol: str) -> tuple[Fill, ...] | None:
        if "fills" not in raw:
            return None
        shared = {"orderId": raw["orderId"], "isBuyer": raw["side"] == "BUY", "time": raw["transactTime"]}
        return tuple(
            self._raw_fill({"id": fill["tradeId"], **shared, **fill}, symbol) for fill in raw["fills"]
        )

    async def _all_fills(self, order_id: str, symbol: str) -> list[Fill]:
        """All fills of an order. A full answer holds the newest fills, so that the pages then begin with the first."""
        history = _History(self._get_trades, "id", "fromId", takes_span_with_id=False)
        named = {"symbol": self._id(symbol), "orderId": order_id, "limit": str(_PAGE)}
        rows = await self._page(history, named)
        if len(rows) >= _PAGE:
            rows = []
            await self._read_span(history, named, {"fromId": "0"}, rows, _MOST_PAGES)
        return [self._raw_fill(row, symbol) for row in rows]

    def _raw_fill(self, row: dict[str, Any], symbol: str) -> Fill:
        return Fill(
            trade_id=read_required_name(row["id"]),
            order_id=read_name(row["orderId"]),
            symbol=symbol,
            side=Side.BUY if row.get("isBuyer", row.get("side") == "BUY") else Side.SELL,
            quantity=read_positive_amount(row["qty"]),
            price=read_nonnegative_amount(row["price"]),
            fee=read_amount(row["commission"]),
            fee_currency=read_name(row["commissionAsset"]),
            executed_at=datetime.fromtimestamp(int(row["time"]) / 1000, UTC),
            is_maker=bool(row.get("isMaker", row.get("maker", False))),
        )

    @staticmethod
    def _balance(currency: str, free: str, locked: str) -> Balance:
        available = read_amount(free)
        return Balance(currency, available, read_amount(EXACT.add(available, read_amount(locked))))


class BinanceFutures(BinanceSpot):
    """A stop order is an "algo order" with separate endpoints. A triggered stop order becomes another order."""

    capabilities = Capabilities(
        order_types=_PLAIN | _STOPS,
        times_in_force=frozenset(TimeInForce),
        has_reduce_only=True,
        has_leverage=True,
        weight_per_minute=2400,
        weights=Weights(order=1, open_orders=1, all_open_orders=40, holdings=5, income=30),
        open_order_lists=(_PLAIN, _STOPS),
        has_income=True,
        history_days=90,
        forgets_unfilled_after=timedelta(days=3),
        checks_notional_of_exits=False,
        outside_prefixes=_OUTSIDE_PREFIXES,
    )
    response_type = "RESULT"
    stop_options = {"isAlgoOrder": True}
    trading_permission = "enableFutures"
    longest_span = timedelta(days=7)
    shows_newest_of_all = False

    async def place_order(self, request: OrderRequest) -> OrderReport:
        if request.order_type not in _STOPS:
            return await super().place_order(request)
        self._require_order_type(request)
        self.client.send_before = request.send_before
        with self._commanding():
            raw = await self.client.fapiPrivatePostAlgoOrder(
                {**self._order_parameters(request), "algoType": "CONDITIONAL"}
            )
            return confirmed_report(self._algo_report(raw, request.symbol), request.client_order_id)

    async def cancel_order(self, key: OrderKey) -> OrderReport | None:
        if key.order_type not in _STOPS:
            return await super().cancel_order(key)
        with self._commanding():
            working = await self._working_key(key)
            if working is None:
                await self.client.fapiPrivateDeleteAlgoOrder(self._algo_name_parameters(key))
            else:
                await self._delete(self._name_parameters(working))
        return None

    async def fetch_order(self, key: OrderKey) -> OrderReport:
        if key.order_type not in _STOPS:
            return await super().fetch_order(key)
        with self._asking():
            report = confirmed_report(
                self._algo_report(await self._get_algo(key), key.symbol), key.client_order_id
            )
            return await self._followed(report) if report.working_order_id else report

    async def fetch_open_orders(
        self, symbol: str = "", order_types: Collection[OrderType] = _ALL_TYPES
    ) -> Sequence[OrderReport]:
        asked, reports = self._symbol_parameters(symbol), []
        with self._asking():
            if not _PLAIN.isdisjoint(order_types):
                plain = _read_rows(await self.client.fapiPrivateGetOpenOrders(asked))
                reports += [self._raw_report(raw, symbol) for raw in plain]
            if not _STOPS.isdisjoint(order_types):
                algo = _read_rows(await self.client.fapiPrivateGetOpenAlgoOrders(asked))
                reports += [self._algo_report(raw, symbol) for raw in algo]
        return reports

    async def fetch_orders(self, symbol: str, since: datetime) -> Sequence[OrderReport]:
        with self._asking():
            plain_orders = _History(self.client.fapiPrivateGetAllOrders, "orderId", "orderId")
            algo_orders = _History(self.client.fapiPrivateGetAllAlgoOrders, "algoId", "algoId")
            plain = await self._history_since(plain_orders, symbol, since)
            algo = await self._history_since(algo_orders, symbol, since)
            return [
                *(self._raw_report(raw, symbol) for raw in plain),
                *(self._algo_report(raw, symbol) for raw in algo),
            ]

    async def fetch_order_fills(self, key: OrderKey) -> Sequence[Fill]:
        if key.order_type not in _STOPS:
            return await super().fetch_order_fills(key)
        with self._asking():
            working = await self._working_key(key)
            if working is None:
                return []
            return await self._all_fills(working.order_id, key.symbol)

    async def fetch_income(self, since: datetime) -> Sequence[Income]:
        """https://developers.binance.com/docs/derivatives/usds-margined-futures/account/rest-api/Get-Income-History"""
        with self._asking():
            rows = [row for span in self._spans(since) for row in await self._income_of(span)]
            return [self._income(row) for row in rows if row["incomeType"] not in _INCOME_OF_TRADES]

    async def _income_of(self, span: dict[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        history = _History(self.client.fapiPrivateGetIncome, "tranId", "page")
        for number in range(1, _MOST_PAGES + 1):
            page = await self._page(history, {**span, "limit": str(_PAGE), "page": str(number)})
            found += page
            if len(page) < _PAGE:
                return found
        raise Unavailable("There is more income than one question can read.", code="history_too_long")

    async def fetch_account_id(self) -> str:
        """The id of the spot account with the same key, because the futures account has no id; "" where refused."""
        try:
            return await super().fetch_account_id()
        except Throttled:
            raise
        except Rejected:
            return ""

    async def fetch_balance(self) -> Sequence[Balance]:
        with self._asking():
            rows = await self.client.fapiPrivateV3GetBalance()
            return [
                Balance(row["asset"], read_amount(row["availableBalance"]), read_amount(row["balance"]))
                for row in rows
            ]

    async def fetch_positions(self) -> Sequence[PositionReport]:
        with self._asking():
            rows = await self.client.fapiPrivateV3GetPositionRisk()
            return net_positions(
                (self._symbol(row["symbol"]), read_amount(row["positionAmt"])) for row in rows
            )

    async def fetch_permissions(self) -> KeyPermissions:
        """Reads the permissions. Binance tells the position mode only to a key with permission to trade futures.

        https://developers.binance.com/docs/derivatives/usds-margined-futures/account/rest-api/Get-Current-Position-Mode
        """
        permissions = await super().fetch_permissions()
        if not permissions.can_trade:
            return permissions
        with self._asking():
            raw = await self.client.fapiPrivateGetPositionSideDual()
            return replace(permissions, is_hedge_mode=_read_flag(raw, "dualSidePosition"))

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        with self._commanding():
            await self.client.fapiPrivatePostLeverage({"symbol": self._id(symbol), "leverage": str(leverage)})

    # Endpoints

    async def _post(self, parameters: dict[str, Any]) -> Any:
        return await self.client.fapiPrivatePostOrder(parameters)

    async def _get(self, parameters: dict[str, Any]) -> Any:
        return await self.client.fapiPrivateGetOrder(parameters)

    async def _delete(self, parameters: dict[str, Any]) -> Any:
        return await self.client.fapiPrivateDeleteOrder(parameters)

    async def _get_trades(self, parameters: dict[str, Any]) -> Any:
        return await self.client.fapiPrivateGetUserTrades(parameters)

    async def _get_prices(self, parameters: dict[str, Any]) -> Any:
        return await self.client.fapiPublicV2GetTickerPrice(parameters)

    async def _get_algo(self, key: OrderKey) -> Any:
        return await self.client.fapiPrivateGetAlgoOrder(self._algo_name_parameters(key))

    # Translation

    def _extras(self, request: OrderRequest) -> dict[str, str | bool]:
        return {"reduceOnly": True} if request.reduce_only else {}

    def _average(self, raw: dict[str, Any], filled: Decimal) -> Decimal | None:
        return read_number_or_none(raw.get("avgPrice")) if filled else None

    @staticmethod
    def _algo_name_parameters(key: OrderKey) -> dict[str, str]:
        return {"algoId": key.order_id} if key.order_id else {"clientAlgoId": key.client_order_id}

    def _algo_report(self, raw: dict[str, Any], symbol: str = "") -> OrderReport:
        working = read_name(raw.get("actualOrderId") or None)
        status = _STATUSES.get(raw.get("algoStatus", ""))
        return OrderReport(
            order_id=read_name(raw.get("algoId")),
            client_order_id=read_name(raw.get("clientAlgoId")),
            symbol=symbol or self._symbol(raw["symbol"]),
            status=ReportStatus.ACCEPTED if working else status,
            quantity=read_nonnegative_amount(raw.get("quantity")) or None,
            filled=Decimal(0),
            average=None,
            reported_at=read_time(raw.get("updateTime")),
            working_order_id=working,
            side=read_side(raw.get("side")),
            order_type=_ORDER_TYPES.get(raw.get("orderType", "")),
            price=read_number_or_none(raw.get("price")),
            stop_price=read_number_or_none(raw.get("triggerPrice")),
            reduce_only=raw.get("reduceOnly") is True,
            created_at=read_time(raw.get("createTime")),
        )

    def _income(self, row: dict[str, Any]) -> Income:
        """One income. `tranId` is unique only among the incomes of one type."""
        return Income(
            income_id=read_required_name(f"{row['incomeType']}:{row['tranId']}"),
            kind=_INCOME_KINDS.get(row["incomeType"], OutsideKind.TRANSFER),
            symbol=self._symbol(row["symbol"]) if row["symbol"] else "",
            amount=read_amount(row["income"]),
            currency=read_name(row["asset"]),
            at=datetime.fromtimestamp(int(row["time"]) / 1000, UTC),
        )

    async def _working_key(self, key: OrderKey) -> OrderKey | None:
        """The key of the order that a triggered stop order became; None before the trigger."""
        report = self._algo_report(await self._get_algo(key), key.symbol)
        if not report.working_order_id:
            return None
        return OrderKey(key.symbol, key.client_order_id, report.working_order_id)

    async def _followed(self, stop: OrderReport) -> OrderReport:
        """The report of the order that a triggered stop order became, under the ids of the stop order."""
        try:
            raw = await self._get({"symbol": self._id(stop.symbol), "orderId": stop.working_order_id})
        except OrderNotFound:
            return stop  # the stop order triggered, and look-ups do not show the new order yet
        child = self._raw_report(raw, stop.symbol)
        return replace(
            stop,
            status=child.status,
            quantity=child.quantity,
            filled=child.filled,
            average=child.average,
            reported_at=child.reported_at,
        )
