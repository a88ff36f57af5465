"""Signed spot endpoints.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints
"""

import uuid
from decimal import Decimal

from exchanges.paper.endpoints import rules
from exchanges.paper.endpoints.call import Call
from exchanges.paper.endpoints.lookup import Span, find_order, read_span, select_page
from exchanges.paper.engine.blotter import MarketSymbol
from exchanges.paper.engine.catalog import SPOT, Market
from exchanges.paper.engine.codec import Json, eight_places, floor_to_step
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.matching import cancel_resting_order, is_triggered, place_order
from exchanges.paper.engine.records import MARKET_TYPES, ZERO, Order, Trade
from exchanges.paper.wire import parameters

LIMIT_TYPES = ("LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")
STOP_TYPES = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
TYPES = ("LIMIT", "MARKET", "LIMIT_MAKER", *STOP_TYPES)
TIMES_IN_FORCE = ("GTC", "IOC", "FOK")
DAY_MS = 86_400_000


def create_order(call: Call) -> Json:
    order = _requested_order(call)
    _check_order(call, order)
    order.order_id = call.ledger.next_id()
    trades = place_order(call.ledger, call.account, order, call.now)
    call.accepted(order)
    return _created_json(order, trades, call.params)


def test_order(call: Call) -> Json:
    _check_order(call, _requested_order(call))
    return {}


def _requested_order(call: Call) -> Order:
    params = call.params
    market = call.ledger.open_market(SPOT, parameters.required(params, "symbol"))
    side, kind = parameters.side(params), parameters.required(params, "type")
    if kind not in TYPES:
        raise Refusal(-1116)
    quote_qty = parameters.optional_number(params, "quoteOrderQty") if kind == "MARKET" else ZERO
    return Order(
        order_id=0,
        client_order_id=parameters.client_id(params, "newClientOrderId", SPOT, uuid.uuid4().hex[:22]),
        api_key=call.account.api_key,
        market=SPOT,
        symbol=market.symbol,
        side=side,
        type=kind,
        time_in_force=parameters.time_in_force(params, TIMES_IN_FORCE) if kind in LIMIT_TYPES else "GTC",
        qty=_requested_quantity(call, market, quote_qty),
        price=_requested_price(params, kind),
        time=call.now,
        stop_price=parameters.number(params, "stopPrice") if kind in STOP_TYPES else ZERO,
        quote_qty=quote_qty,
        waiting=kind in STOP_TYPES,
        orig_type=kind,
        updated=call.now,
    )


def _requested_quantity(call: Call, market: Market, quote_qty: Decimal) -> Decimal:
    if quote_qty:
        return floor_to_step(quote_qty / call.ledger.prices[market.symbol], market.step)
    return parameters.number(call.params, "quantity")


def _requested_price(params: parameters.Params, kind: str) -> Decimal:
    if kind not in MARKET_TYPES:
        return parameters.number(params, "price")
    if params.get("price"):
        raise Refusal(-1106, "Parameter 'price' sent when not required.")
    return ZERO


def _check_order(call: Call, order: Order) -> None:
    market, last = call.ledger.market(SPOT, order.symbol), call.ledger.prices[order.symbol]
    rules.check_spot(market, order.qty, _limit_price(order), call.ledger.reference_price(order.symbol))
    if order.waiting:
        _check_stop(call, market, order, last)
    _check_order_count(call, order)
    if call.blotter.is_client_id_open(SPOT, order.client_order_id):
        raise Refusal(-2010, "Duplicate order sent.")
    if order.type == "LIMIT_MAKER" and _would_take_at_once(order, last):
        raise Refusal(-2010, "Order would immediately match and take.")
    _check_funds(call, market, order, last)


def _limit_price(order: Order) -> Decimal:
    if order.type not in MARKET_TYPES and not order.price:
        raise Refusal(-1013, "Filter failure: PRICE_FILTER")
    return order.price


def _check_stop(call: Call, market: Market, order: Order, last: Decimal) -> None:
    rules.check_spot_stop(market, order.stop_price)
    if is_triggered(order.type, order.side, order.stop_price, last):
        raise Refusal(-2010, "Stop price would trigger immediately.")


def _check_order_count(call: Call, order: Order) -> None:
    standing = call.blotter.open_orders(SPOT, order.symbol)
    if len(standing) >= rules.MAX_OPEN_ORDERS:
        raise Refusal(-1013, "Filter failure: MAX_NUM_ORDERS")
    stops = sum(other.orig_type in STOP_TYPES for other in standing) if order.waiting else 0
    if stops >= rules.MAX_STOP_ORDERS[SPOT]:
        raise Refusal(-1013, "Filter failure: MAX_NUM_ALGO_ORDERS")


def _would_take_at_once(order: Order, last: Decimal) -> bool:
    return order.price >= last if order.side == "BUY" else order.price <= last


def _check_funds(call: Call, market: Market, order: Order, last: Decimal) -> None:
    if order.side == "SELL":
        enough = call.account.wallet(market.base).free >= order.qty
    else:
        needed = order.qty * (order.price or order.stop_price or last)
        enough = call.account.wallet(market.quote).free >= needed
    if not enough:
        raise Refusal(-2010)


def get_order(call: Call) -> Json:
    return order_json(_one_order(call, -2013))


def cancel_order(call: Call) -> Json:
    order = _one_order(call, -2011)
    if not order.is_open:
        raise Refusal(-2011)
    cancel_resting_order(call.ledger, order, call.now)
    return _canceled_json(order, call)


def _one_order(call: Call, missing: int) -> Order:
    market = call.ledger.market(SPOT, parameters.required(call.params, "symbol"))
    order = find_order(call.blotter, SPOT, market.symbol, call.params)
    if order is None or (missing == -2013 and call.is_hidden(order)):
        raise Refusal(missing)
    return order


def cancel_open_orders(call: Call) -> list[Json]:
    symbol = call.ledger.market(SPOT, parameters.required(call.params, "symbol")).symbol
    orders = call.blotter.open_orders(SPOT, symbol)
    if not orders:
        raise Refusal(-2011)
    for order in orders:
        cancel_resting_order(call.ledger, order, call.now)
    return [_canceled_json(order, call) for order in orders]


def open_orders(call: Call) -> list[Json]:
    symbol = call.params.get("symbol")
    if symbol:
        call.ledger.market(SPOT, symbol)
    return [order_json(order) for order in call.visible(call.blotter.open_orders(SPOT, symbol))]


def all_orders(call: Call) -> list[Json]:
    symbol = call.ledger.market(SPOT, parameters.required(call.params, "symbol")).symbol
    rows = call.visible(call.blotter.history.get(MarketSymbol(SPOT, symbol), []))
    span = read_span(call.params, DAY_MS, -1127)
    return [
        order_json(order)
        for order in select_page(rows, call.params, "orderId", lambda order: order.order_id, span)
    ]


def my_trades(call: Call) -> list[Json]:
    symbol = call.ledger.market(SPOT, parameters.required(call.params, "symbol")).symbol
    span = _trade_span(call.params)
    rows = call.blotter.trades.get(MarketSymbol(SPOT, symbol), [])
    order_id = parameters.optional_integer(call.params, "orderId")
    if order_id is not None:
        rows = [trade for trade in rows if trade.order_id == order_id]
    return [
        _trade_json(trade) for trade in select_page(rows, call.params, "fromId", lambda trade: trade.id, span)
    ]


def _trade_span(params: parameters.Params) -> Span:
    if params.get("fromId") and (params.get("startTime") or params.get("endTime")):
        raise Refusal(-1128)
    return read_span(params, DAY_MS, -1127)


def get_account(call: Call) -> Json:
    held = [
        {"asset": asset, "free": eight_places(wallet.free), "locked": eight_places(wallet.locked)}
        for asset, wallet in sorted(call.account.spot.items())
        if wallet.free or wallet.locked
    ]
    rates = {"maker": "0.00100000", "taker": "0.00100000", "buyer": "0.00000000", "seller": "0.00000000"}
    return {
        "makerCommission": 10,
        "takerCommission": 10,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": rates,
        "canTrade": True,
        "canWithdraw": call.account.can_withdraw,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": call.account.updated or call.now,
        "accountType": "SPOT",
        "balances": held,
        "permissions": ["SPOT"],
        "uid": call.account.uid,
    }


def order_json(order: Order) -> Json:
    starved = {"expiryReason": "INSUFFICIENT_LIQUIDITY"} if order.status == "EXPIRED" else {}
    return starved | {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "price": eight_places(order.price),
        "origQty": eight_places(order.qty),
        "executedQty": eight_places(order.executed),
        "cummulativeQuoteQty": eight_places(order.quote),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
        "stopPrice": eight_places(order.stop_price),
        "icebergQty": "0.00000000",
        "time": order.time,
        "updateTime": order.updated,
        "isWorking": not order.waiting,
        "workingTime": -1 if order.waiting else order.time,
        "origQuoteOrderQty": eight_places(order.quote_qty),
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def _created_json(order: Order, trades: list[Trade], params: parameters.Params) -> Json:
    answer = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "transactTime": order.updated,
    }
    detail = params.get("newOrderRespType") or ("FULL" if order.type in ("LIMIT", "MARKET") else "ACK")
    if detail == "ACK":
        return answer
    shown = order_json(order)
    answer |= {name: shown[name] for name in CREATED_FIELDS}
    if order.stop_price:
        answer["stopPrice"] = shown["stopPrice"]
    if "expiryReason" in shown:
        answer["expiryReason"] = shown["expiryReason"]
    return answer if detail == "RESULT" else answer | {"fills": [_fill_json(trade) for trade in trades]}


CREATED_FIELDS = (
    "price",
    "origQty",
    "executedQty",
    "origQuoteOrderQty",
    "cummulativeQuoteQty",
    "status",
    "timeInForce",
    "type",
    "side",
    "workingTime",
    "selfTradePreventionMode",
)


def _fill_json(trade: Trade) -> Json:
    return {
        "price": eight_places(trade.price),
        "qty": eight_places(trade.qty),
        "commission": eight_places(trade.commission),
        "commissionAsset": trade.commission_asset,
        "tradeId": trade.id,
    }


def _canceled_json(order: Order, call: Call) -> Json:
    """A spot cancel has a client id of its own; `origClientOrderId` names the order."""
    shown = order_json(order)
    return {
        "symbol": order.symbol,
        "origClientOrderId": order.client_order_id,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": call.params.get("newClientOrderId") or uuid.uuid4().hex[:22],
        "transactTime": call.now,
    } | {name: shown[name] for name in CREATED_FIELDS if name != "workingTime"}


def _trade_json(trade: Trade) -> Json:
    return {
        "symbol": trade.symbol,
        "id": trade.id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": eight_places(trade.price),
        "qty": eight_places(trade.qty),
        "quoteQty": eight_places(trade.quote_qty),
        "commission": eight_places(trade.commission),
        "commissionAsset": trade.commission_asset,
        "time": trade.time,
        "isBuyer": trade.side == "BUY",
        "isMaker": trade.maker,
        "isBestMatch": True,
    }
