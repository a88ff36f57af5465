"""The endpoints of the benchmark's exchange: whatever tradehub and the other contenders ask of Binance's futures."""

from collections.abc import Callable
from typing import Any

from exchanges.paper.endpoints.public import PUBLIC
from fanout.exchange.book import Account, Fields, Json, Order, accounts, ledger, now_ms

Answer = tuple[str, Any]  # status line and content
OK, REFUSED, NOT_FOUND = "200 OK", "400 Bad Request", "404 Not Found"


def answer_request(method: str, path: str, fields: Fields, api_key: str) -> Answer:
    endpoint = _SIGNED.get((method, path))
    if endpoint is not None:
        return endpoint(accounts[api_key], fields)
    if method == "GET" and path in PUBLIC:
        show, _ = PUBLIC[path]
        return OK, show(ledger, fields, now_ms())
    return NOT_FOUND, {"code": -1000, "msg": f"Not part of the benchmark: {method} {path}"}


def _one_order(order: Order | None, missing: int) -> Answer:
    return (OK, order.json()) if order else (REFUSED, {"code": missing, "msg": "Unknown order sent."})


def _of_symbol(orders: dict[int, Order], fields: Fields) -> Answer:
    symbol, first = fields.get("symbol"), int(fields.get("orderId", 0))
    since = int(fields.get("startTime", 0))
    wanted = (order for order in orders.values() if order.order_id >= first and order.created_at >= since)
    return OK, [order.json() for order in wanted if symbol in (None, order.symbol)]


def _balance(account: Account, fields: Fields) -> Answer:
    much = "50000000.00000000"
    names = ("balance", "crossWalletBalance", "availableBalance", "maxWithdrawAmount")
    row: Json = {"accountAlias": "bench", "asset": "USDT", "crossUnPnl": "0.00000000"}
    return OK, [row | dict.fromkeys(names, much) | {"marginAvailable": True, "updateTime": now_ms()}]


def _positions(account: Account, fields: Fields) -> Answer:
    held = [(symbol, amount) for symbol, amount in account.positions.items() if amount]
    return OK, [_position(symbol, str(amount)) for symbol, amount in held]


def _position(symbol: str, amount: str) -> Json:
    price = str(ledger.prices[symbol])
    return {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": amount,
        "entryPrice": price,
        "breakEvenPrice": price,
        "markPrice": price,
        "unRealizedProfit": "0.00000000",
        "liquidationPrice": "0",
        "marginAsset": "USDT",
        "updateTime": now_ms(),
    }


def _constant(content: Any) -> Callable[[Account, Fields], Answer]:
    return lambda account, fields: (OK, content)


_PERMISSIONS = {
    "ipRestrict": True,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableFutures": True,
    "enableSpotAndMarginTrading": True,
}
_SIGNED: dict[tuple[str, str], Callable[[Account, Fields], Answer]] = {
    ("POST", "/fapi/v1/order"): lambda account, fields: (OK, account.place(fields).json()),
    ("GET", "/fapi/v1/order"): lambda account, fields: _one_order(account.find(fields), -2013),
    ("DELETE", "/fapi/v1/order"): lambda account, fields: _one_order(account.cancel(fields), -2011),
    ("GET", "/fapi/v1/openOrders"): lambda account, fields: _of_symbol(account.open_orders, fields),
    ("GET", "/fapi/v1/allOrders"): lambda account, fields: _of_symbol(account.orders, fields),
    ("GET", "/fapi/v1/userTrades"): lambda account, fields: (OK, account.fills_asked(fields)),
    ("GET", "/fapi/v1/openAlgoOrders"): _constant([]),
    ("GET", "/fapi/v1/allAlgoOrders"): _constant([]),
    ("GET", "/fapi/v1/income"): _constant([]),
    ("GET", "/fapi/v3/balance"): _balance,
    ("GET", "/fapi/v3/positionRisk"): _positions,
    ("GET", "/fapi/v1/positionSide/dual"): _constant({"dualSidePosition": False}),
    ("GET", "/sapi/v1/account/apiRestrictions"): _constant(_PERMISSIONS),
}
