"""Actions on orders: orders by hand, fills in many parts, and orders that the exchange forgets."""

import uuid

from exchanges.paper.actions.body import Query, json_object, known_kind, parse_decimal, required_text
from exchanges.paper.endpoints import futures, spot
from exchanges.paper.endpoints.algo import create_algo
from exchanges.paper.endpoints.call import Call
from exchanges.paper.engine.blotter import Blotter
from exchanges.paper.engine.catalog import FUTURES, SPOT
from exchanges.paper.engine.codec import Json
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.matching import cancel_resting_order, fill_in_parts
from exchanges.paper.engine.records import AlgoOrder, AnyOrder, Order
from exchanges.paper.state import ExchangeState

PASSED_ON = (
    "symbol",
    "side",
    "quantity",
    "quoteOrderQty",
    "price",
    "stopPrice",
    "triggerPrice",
    "timeInForce",
    "reduceOnly",
)


def post_hand(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Places an order by hand: a market order, or a limit order where a price is given.

    A trigger price makes a conditional futures order. The client order id begins with the app (`web` by default, for
    example `ios`).
    """
    asked = json_object(body)
    kind = known_kind(asked.get("market"))
    account = exchange.ledger.open_account(required_text(asked, "api_key"))
    call = Call(exchange.ledger, account, _order_params(asked), now)
    if kind == FUTURES and asked.get("triggerPrice"):
        return create_algo(call)
    market = futures if kind == FUTURES else spot
    market.create_order(call)
    return next(market.order_json(order) for order in call.orders if isinstance(order, Order))


def _order_params(asked: Json) -> dict[str, str]:
    given = {
        name: str(asked[name]).lower() if name == "reduceOnly" else str(asked[name])
        for name in PASSED_ON
        if asked.get(name)
    }
    kind = "LIMIT" if asked.get("price") else "MARKET"
    if asked.get("triggerPrice"):
        kind = "STOP" if asked.get("price") else "STOP_MARKET"
    client_id = f"{asked.get('app') or 'web'}_{uuid.uuid4().hex[:20]}"
    return {
        "type": str(asked.get("type") or kind),
        "timeInForce": "GTC",
        "algoType": "CONDITIONAL",
        "newClientOrderId": client_id,
        "clientAlgoId": client_id,
    } | given


def post_cancel(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Cancels open orders as the account's owner: all, or of a symbol or market, or by name."""
    asked = json_object(body)
    required_text(asked, "api_key")
    found: list[AnyOrder] = [*_wanted_orders(exchange, asked), *_wanted_algos(exchange, asked)]
    canceled = [order for order in found if order.is_open]
    for order in canceled:
        _cancel_order(exchange, order, now)
    return {"canceled": [_client_id(order) for order in canceled]}


def _cancel_order(exchange: ExchangeState, order: AnyOrder, now: int) -> None:
    if isinstance(order, AlgoOrder):
        exchange.ledger.close_algo(order, "CANCELED", now)
    else:
        cancel_resting_order(exchange.ledger, order, now)


def post_fills(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Fills a resting order at the order's price in `count` trades, whole or up to `quantity`."""
    asked = json_object(body)
    found = [order for order in _wanted_orders(exchange, asked) if order.is_open]
    count = asked.get("count", 1)
    if len(found) != 1 or not isinstance(count, int) or count < 1:
        raise Refusal(-2013, "Names no single open order, or no count of trades.")
    qty = parse_decimal("quantity", asked.get("quantity", found[0].remaining))
    trades = fill_in_parts(exchange.ledger, found[0], qty, count, now)
    return {"orderId": found[0].order_id, "count": len(trades)}


def post_forget(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Forgets ended orders, and an open order where `client_order_id` or `orderId` names the order.

    `older_than_s` keeps younger orders; `unfilled` keeps orders with fills. Trades stay.
    """
    asked = json_object(body)
    latest = now - int(parse_decimal("older_than_s", asked.get("older_than_s", 0)) * 1000)
    asked_for: list[AnyOrder] = [*_wanted_orders(exchange, asked), *_wanted_algos(exchange, asked)]
    forgotten = [order for order in asked_for if _may_go(asked, order) and order.updated <= latest]
    for order in forgotten:
        _forget_order(exchange, order, now)
    return {"forgotten": [_client_id(order) for order in forgotten]}


def _may_go(asked: Json, order: AnyOrder) -> bool:
    if order.is_open:
        return bool(asked.get("client_order_id") or asked.get("orderId"))
    return not (asked.get("unfilled") and isinstance(order, Order) and order.executed)


def _forget_order(exchange: ExchangeState, order: AnyOrder, now: int) -> None:
    """Ends an open order, whose funds are free again, and forgets the order."""
    if order.is_open:
        _cancel_order(exchange, order, now)
    if isinstance(order, AlgoOrder):
        exchange.ledger.drop_algo(order)
    else:
        exchange.ledger.drop_order(order)


def _wanted_orders(exchange: ExchangeState, asked: Json) -> list[Order]:
    orders = [order for blotter in _wanted_blotters(exchange, asked) for order in blotter.orders.values()]
    return [
        order
        for order in orders
        if _is_wanted(asked, order) and str(asked.get("orderId") or order.order_id) == str(order.order_id)
    ]


def _wanted_algos(exchange: ExchangeState, asked: Json) -> list[AlgoOrder]:
    if asked.get("orderId") or asked.get("market") == SPOT:
        return []
    algos = [algo for blotter in _wanted_blotters(exchange, asked) for algo in blotter.algos.values()]
    return [algo for algo in algos if _is_wanted(asked, algo)]


def _wanted_blotters(exchange: ExchangeState, asked: Json) -> list[Blotter]:
    if not asked.get("api_key"):
        return list(exchange.ledger.blotters.values())
    account = exchange.ledger.open_account(required_text(asked, "api_key"))
    return [exchange.ledger.blotters[account.api_key]]


def _is_wanted(asked: Json, order: AnyOrder) -> bool:
    market = order.market if isinstance(order, Order) else FUTURES
    return (
        asked.get("symbol") in (None, order.symbol)
        and asked.get("market") in (None, market)
        and asked.get("client_order_id") in (None, _client_id(order))
    )


def _client_id(order: AnyOrder) -> str:
    return order.client_algo_id if isinstance(order, AlgoOrder) else order.client_order_id
