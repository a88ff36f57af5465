"""Endpoints of conditional futures orders, which have a service and ids of their own since December 2025.

https://developers.binance.com/docs/derivatives/usds-margined-futures/trade/rest-api/New-Algo-Order
"""

import uuid
from decimal import Decimal

from exchanges.paper.endpoints import rules
from exchanges.paper.endpoints.call import Call
from exchanges.paper.endpoints.futures import (
    CONDITIONAL,
    DONE,
    TIMES_IN_FORCE,
    check_client_id,
    check_position_side,
    week_span,
)
from exchanges.paper.endpoints.lookup import select_page
from exchanges.paper.engine.catalog import FUTURES, Market
from exchanges.paper.engine.codec import Json, decimal_text
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.matching import is_triggered
from exchanges.paper.engine.records import ZERO, AlgoOrder
from exchanges.paper.wire import parameters

WITH_PRICE = ("STOP", "TAKE_PROFIT")


def create_algo(call: Call) -> Json:
    algo = _requested_algo(call)
    _check_algo(call, algo)
    algo.algo_id = call.ledger.next_id()
    call.ledger.add_algo(algo)
    call.accepted(algo)
    return algo_json(algo)


def _requested_algo(call: Call) -> AlgoOrder:
    params = call.params
    market = call.ledger.open_market(FUTURES, parameters.required(params, "symbol"))
    side, kind = parameters.side(params), parameters.required(params, "type")
    if parameters.required(params, "algoType") != "CONDITIONAL" or kind not in CONDITIONAL[:4]:
        raise Refusal(-1116)
    check_position_side(params)
    closing = parameters.flag(params, "closePosition")
    return AlgoOrder(
        algo_id=0,
        client_algo_id=parameters.client_id(params, "clientAlgoId", FUTURES, uuid.uuid4().hex[:22]),
        api_key=call.account.api_key,
        symbol=market.symbol,
        side=side,
        type=kind,
        time_in_force=parameters.time_in_force({"timeInForce": "GTC"} | params, TIMES_IN_FORCE),
        qty=ZERO if closing else _requested_quantity(call, market, kind),
        price=_requested_price(params, market) if kind in WITH_PRICE else ZERO,
        trigger_price=parameters.number(params, "triggerPrice"),
        time=call.now,
        reduce_only=parameters.flag(params, "reduceOnly"),
        close_position=closing,
        working_type=params.get("workingType", "CONTRACT_PRICE"),
        updated=call.now,
    )


def _requested_price(params: parameters.Params, market: Market) -> Decimal:
    price = parameters.number(params, "price")
    rules.check_tick(market, price)
    return price


def _requested_quantity(call: Call, market: Market, kind: str) -> Decimal:
    qty = parameters.number(call.params, "quantity")
    rules.check_futures_quantity(market, qty, kind not in WITH_PRICE)
    return qty


def _check_algo(call: Call, algo: AlgoOrder) -> None:
    market = call.ledger.market(FUTURES, algo.symbol)
    rules.check_tick(market, algo.trigger_price)
    check_client_id(call, algo.client_algo_id)
    if not algo.reduce_only and not algo.close_position:
        rules.check_futures_notional(market, algo.qty * (algo.price or algo.trigger_price))
    if len(call.blotter.open_algo_orders(algo.symbol)) >= rules.MAX_STOP_ORDERS[FUTURES]:
        raise Refusal(-4045)
    if is_triggered(algo.type, algo.side, algo.trigger_price, call.ledger.prices[algo.symbol]):
        raise Refusal(-2021)


def get_algo(call: Call) -> Json:
    algo = _find_algo(call)
    if algo is None or call.is_hidden(algo):
        raise Refusal(-2013)
    return algo_json(algo)


def cancel_algo(call: Call) -> Json:
    algo = _find_algo(call)
    if algo is None or not algo.is_open:
        raise Refusal(-2011)
    call.ledger.close_algo(algo, "CANCELED", call.now)
    return {"algoId": algo.algo_id, "clientAlgoId": algo.client_algo_id, "code": "200", "msg": "success"}


def _find_algo(call: Call) -> AlgoOrder | None:
    if call.params.get("algoId"):
        return call.blotter.algos.get(parameters.integer(call.params, "algoId"))
    if call.params.get("clientAlgoId"):
        return call.blotter.algo_by_client.get(call.params["clientAlgoId"])
    raise Refusal(-1102, "Param 'clientAlgoId' or 'algoId' must be sent, but both were empty/null!")


def open_algos(call: Call) -> list[Json]:
    symbol = call.params.get("symbol")
    if symbol:
        call.ledger.market(FUTURES, symbol)
    found = call.visible(call.blotter.open_algo_orders(symbol))
    wanted = parameters.optional_integer(call.params, "algoId")
    return [algo_json(algo) for algo in found if wanted in (None, algo.algo_id)]


def all_algos(call: Call) -> list[Json]:
    symbol = call.ledger.market(FUTURES, parameters.required(call.params, "symbol")).symbol
    rows = call.visible([algo for algo in call.blotter.algos.values() if algo.symbol == symbol])
    span = week_span(call)
    return [
        algo_json(algo) for algo in select_page(rows, call.params, "algoId", lambda algo: algo.algo_id, span)
    ]


def cancel_open_algos(call: Call) -> Json:
    symbol = call.ledger.market(FUTURES, parameters.required(call.params, "symbol")).symbol
    for algo in call.blotter.open_algo_orders(symbol):
        call.ledger.close_algo(algo, "CANCELED", call.now)
    return DONE


def algo_json(algo: AlgoOrder) -> Json:
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.type,
        "symbol": algo.symbol,
        "side": algo.side,
        "positionSide": "BOTH",
        "timeInForce": algo.time_in_force,
        "quantity": decimal_text(algo.qty),
        "algoStatus": algo.status,
        "actualOrderId": str(algo.actual_order_id) if algo.actual_order_id else "",
        "actualPrice": "0.00000",
        "triggerPrice": decimal_text(algo.trigger_price),
        "price": decimal_text(algo.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": algo.working_type,
        "priceMatch": "NONE",
        "closePosition": algo.close_position,
        "priceProtect": False,
        "reduceOnly": algo.reduce_only,
        "createTime": algo.time,
        "updateTime": algo.updated,
        "triggerTime": algo.trigger_time,
        "goodTillDate": 0,
    }
