"""Signed endpoints for orders of USDT-margined futures.

https://developers.binance.com/docs/derivatives/usds-margined-futures/trade/rest-api
"""

import uuid
from collections.abc import Callable
from decimal import Decimal

from exchanges.paper.endpoints import rules
from exchanges.paper.endpoints.call import Call
from exchanges.paper.endpoints.lookup import Row, Span, find_order, read_span, select_page
from exchanges.paper.engine.blotter import MarketSymbol
from exchanges.paper.engine.catalog import FUTURES, TRADING, Market
from exchanges.paper.engine.codec import Json, decimal_text, fixed_places
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.margin import affords_order
from exchanges.paper.engine.matching import (
    cancel_resting_order,
    crosses_market,
    place_order,
)
from exchanges.paper.engine.outside import ADL, LIQUIDATION
from exchanges.paper.engine.records import ZERO, Order, Trade
from exchanges.paper.engine.reduction import reducible_quantity, require_room
from exchanges.paper.wire import parameters

CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX")
FORCED = {"LIQUIDATION": LIQUIDATION, "ADL": ADL}
WEEK_MS = 7 * 86_400_000
DONE: Json = {"code": 200, "msg": "The operation of cancel all open order is done."}


def create_order(call: Call) -> Json:
    order = _requested_order(call)
    _check_order(call, order)
    order.order_id = call.ledger.next_id()
    place_order(call.ledger, call.account, order, call.now)
    call.accepted(order)
    return _created_json(order, call.params)


def test_order(call: Call) -> Json:
    order = _requested_order(call)
    _check_order(call, order)
    return _created_json(order, call.params)


def _requested_order(call: Call) -> Order:
    params = call.params
    market = call.ledger.open_market(FUTURES, parameters.required(params, "symbol"))
    side, kind = parameters.side(params), parameters.required(params, "type")
    if kind in CONDITIONAL:
        raise Refusal(-4120)
    if kind not in ("LIMIT", "MARKET"):
        raise Refusal(-1116)
    check_position_side(params)
    qty = parameters.number(params, "quantity")
    rules.check_futures_quantity(market, qty, kind == "MARKET")
    return Order(
        order_id=0,
        client_order_id=parameters.client_id(params, "newClientOrderId", FUTURES, uuid.uuid4().hex[:22]),
        api_key=call.account.api_key,
        market=FUTURES,
        symbol=market.symbol,
        side=side,
        type=kind,
        time_in_force=parameters.time_in_force(params, TIMES_IN_FORCE) if kind == "LIMIT" else "GTC",
        qty=qty,
        price=_requested_price(call, market, side) if kind == "LIMIT" else _no_price(params),
        time=call.now,
        reduce_only=parameters.flag(params, "reduceOnly"),
        orig_type=kind,
        updated=call.now,
    )


def check_position_side(params: parameters.Params) -> None:
    if params.get("positionSide", "BOTH") != "BOTH":
        raise Refusal(-4061)


def _requested_price(call: Call, market: Market, side: str) -> Decimal:
    price = parameters.number(call.params, "price")
    rules.check_tick(market, price)
    rules.check_band(market, price, call.ledger.reference_price(market.symbol), side)
    return price


def _no_price(params: parameters.Params) -> Decimal:
    if params.get("price"):
        raise Refusal(-1106, "Parameter 'price' sent when not required.")
    return ZERO


def _check_order(call: Call, order: Order) -> None:
    market, last = call.ledger.market(FUTURES, order.symbol), call.ledger.prices[order.symbol]
    notional = order.qty * (order.price or last)
    check_client_id(call, order.client_order_id)
    if order.reduce_only:
        _cap_to_position(call, order)
    else:
        _check_opening(market, notional)
    if order.is_market:
        rules.check_opposite_price(market, last, call.ledger.reference_price(order.symbol), order.side)
    if len(call.blotter.open_orders(FUTURES, order.symbol)) >= rules.MAX_OPEN_ORDERS:
        raise Refusal(-2025)
    if order.time_in_force == "GTX" and crosses_market(order, last):
        raise Refusal(-5022)
    if not order.reduce_only and not affords_order(
        call.ledger, call.account, order.symbol, order.side, notional
    ):
        raise Refusal(-2019)


def check_client_id(call: Call, client_id: str) -> None:
    if call.blotter.is_client_id_open(FUTURES, client_id):
        raise Refusal(-4116)


def _cap_to_position(call: Call, order: Order) -> None:
    order.qty = min(order.qty, reducible_quantity(call.account, order.symbol, order.side))
    if not order.qty:
        raise Refusal(-2022)
    require_room(call.ledger, call.account, order)


def _check_opening(market: Market, notional: Decimal) -> None:
    if market.status != TRADING:
        raise Refusal(-4140)
    rules.check_futures_notional(market, notional)


def get_order(call: Call) -> Json:
    return order_json(_one_order(call, -2013))


def cancel_order(call: Call) -> Json:
    order = _one_order(call, -2011)
    if not order.is_open:
        raise Refusal(-2011)
    cancel_resting_order(call.ledger, order, call.now)
    return order_json(order)


def _one_order(call: Call, missing: int) -> Order:
    market = call.ledger.market(FUTURES, parameters.required(call.params, "symbol"))
    order = find_order(call.blotter, FUTURES, market.symbol, call.params)
    if order is None or (missing == -2013 and call.is_hidden(order)):
        raise Refusal(missing)
    return order


def open_order(call: Call) -> Json:
    order = _one_order(call, -2013)
    if not order.is_open:
        raise Refusal(-2013)
    return order_json(order)


def cancel_open_orders(call: Call) -> Json:
    symbol = call.ledger.market(FUTURES, parameters.required(call.params, "symbol")).symbol
    for order in call.blotter.open_orders(FUTURES, symbol):
        cancel_resting_order(call.ledger, order, call.now)
    return DONE


def open_orders(call: Call) -> list[Json]:
    symbol = call.params.get("symbol")
    if symbol:
        call.ledger.market(FUTURES, symbol)
    return [order_json(order) for order in call.visible(call.blotter.open_orders(FUTURES, symbol))]


def all_orders(call: Call) -> list[Json]:
    rows = call.visible(_rows_of_symbol(call, call.blotter.history, lambda order: order.order_id))
    return [
        order_json(order)
        for order in select_page(rows, call.params, "orderId", lambda order: order.order_id, week_span(call))
    ]


def week_span(call: Call) -> Span:
    """The span asked for, of seven days at most: without times, the last seven days."""
    return read_span(call.params, WEEK_MS, -4165, call.now - WEEK_MS)


def user_trades(call: Call) -> list[Json]:
    if call.params.get("fromId") and (call.params.get("startTime") or call.params.get("endTime")):
        raise Refusal(-1128)
    rows = _rows_of_symbol(call, call.blotter.trades, lambda trade: trade.time)
    order_id = parameters.optional_integer(call.params, "orderId")
    if order_id is not None:
        rows = [trade for trade in rows if trade.order_id == order_id]
    span = Span(None, None) if order_id is not None else week_span(call)
    return [
        _trade_json(trade) for trade in select_page(rows, call.params, "fromId", lambda trade: trade.id, span)
    ]


def force_orders(call: Call) -> list[Json]:
    """The account's liquidations and forced closes by ADL, newest last."""
    rows = _rows_of_symbol(call, call.blotter.history, lambda order: order.order_id)
    wanted = FORCED.get(call.params.get("autoCloseType", ""), tuple(FORCED.values()))
    forced = [order for order in rows if order.client_order_id.startswith(wanted)]
    return [
        order_json(order)
        for order in select_page(forced, call.params, "", lambda order: order.order_id, week_span(call))
    ]


def _rows_of_symbol(call: Call, rows: dict[MarketSymbol, list[Row]], key: Callable[[Row], int]) -> list[Row]:
    """The rows of one symbol, or the rows of all symbols sorted by the key."""
    symbol = call.params.get("symbol")
    if symbol:
        return rows.get(MarketSymbol(FUTURES, call.ledger.market(FUTURES, symbol).symbol), [])
    return sorted((row for (kind, _), found in rows.items() if kind == FUTURES for row in found), key=key)


def order_json(order: Order) -> Json:
    average = fixed_places(order.average, 5) if order.executed else "0.00"
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status,
        "clientOrderId": order.client_order_id,
        "price": decimal_text(order.price),
        "avgPrice": average,
        "origQty": decimal_text(order.qty),
        "executedQty": decimal_text(order.executed),
        "cumQty": decimal_text(order.executed),
        "cumQuote": decimal_text(order.quote),
        "timeInForce": order.time_in_force,
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": decimal_text(order.stop_price),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.orig_type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "time": order.time,
        "updateTime": order.updated,
    }


def _created_json(order: Order, params: parameters.Params) -> Json:
    """The answer to a new order. ACK, Binance's default, shows a new order and tells nothing of fills."""
    answer = order_json(order)
    del answer["time"]
    if params.get("newOrderRespType") == "RESULT":
        return answer
    nothing = {"executedQty": "0", "cumQty": "0", "cumQuote": "0", "avgPrice": "0.00"}
    return answer | {"status": "NEW"} | nothing


def _trade_json(trade: Trade) -> Json:
    return {
        "symbol": trade.symbol,
        "id": trade.id,
        "orderId": trade.order_id,
        "side": trade.side,
        "price": decimal_text(trade.price),
        "qty": decimal_text(trade.qty),
        "realizedPnl": decimal_text(trade.realized_pnl),
        "quoteQty": decimal_text(trade.quote_qty),
        "commission": decimal_text(trade.commission),
        "commissionAsset": trade.commission_asset,
        "time": trade.time,
        "positionSide": "BOTH",
        "buyer": trade.side == "BUY",
        "maker": trade.maker,
    }
