"""Actions on orders: orders that the account's owner places at the exchange's own app."""

import uuid

from exchanges.paper.actions.body import Query, json_object, known_kind, required_text
from exchanges.paper.endpoints import futures, spot
from exchanges.paper.endpoints.call import Call
from exchanges.paper.engine.catalog import FUTURES
from exchanges.paper.engine.codec import Json
from exchanges.paper.engine.records import Order
from exchanges.paper.state import ExchangeState

PASSED_ON = ("symbol", "side", "quantity", "quoteOrderQty", "price", "stopPrice", "timeInForce", "reduceOnly")


def post_hand(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Places an order by hand: a market order, or a limit order where a price is given.

    The client order id begins with the app (`web` by default, for example `ios`).
    """
    asked = json_object(body)
    kind = known_kind(asked.get("market"))
    account = exchange.ledger.open_account(required_text(asked, "api_key"))
    call = Call(exchange.ledger, account, _order_params(asked), now)
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
    client_id = f"{asked.get('app') or 'web'}_{uuid.uuid4().hex[:20]}"
    return {
        "type": str(asked.get("type") or kind),
        "timeInForce": "GTC",
        "newClientOrderId": client_id,
    } | given
