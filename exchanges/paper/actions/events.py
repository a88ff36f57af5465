"""Actions on positions: what happens at an exchange without an order of the account's owner."""

from decimal import Decimal

from exchanges.paper.actions.body import Query, json_object, parse_decimal, parse_number, required_text
from exchanges.paper.endpoints.futures import order_json
from exchanges.paper.engine.catalog import FUTURES
from exchanges.paper.engine.codec import Json
from exchanges.paper.engine.outside import deleverage, deliver_contract, liquidate, pay_funding
from exchanges.paper.state import ExchangeState


def post_liquidate(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Liquidates a position at the last price or at `price`, whole or up to `quantity`."""
    asked = json_object(body)
    account = exchange.ledger.open_account(required_text(asked, "api_key"))
    return order_json(liquidate(exchange.ledger, account, *_close_of(exchange, asked), now))


def post_adl(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    asked = json_object(body)
    account = exchange.ledger.open_account(required_text(asked, "api_key"))
    return order_json(deleverage(exchange.ledger, account, *_close_of(exchange, asked), now))


def _close_of(exchange: ExchangeState, asked: Json) -> tuple[str, Decimal | None, Decimal | None]:
    quantity, price = (
        None if asked.get(name) is None else parse_decimal(name, asked[name])
        for name in ("quantity", "price")
    )
    return _futures_symbol(exchange, asked), quantity, price


def _futures_symbol(exchange: ExchangeState, asked: Json) -> str:
    return exchange.ledger.market(FUTURES, required_text(asked, "symbol")).symbol


def post_deliver(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Delists a futures contract. Every position is settled at the last price, every open order expires."""
    symbol = _futures_symbol(exchange, json_object(body))
    return [order_json(order) for order in deliver_contract(exchange.ledger, symbol, now)]


def post_funding(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Lets every position of a symbol pay or get funding, once."""
    asked = json_object(body)
    symbol, rate = _futures_symbol(exchange, asked), parse_number("rate", asked.get("rate"))
    return pay_funding(exchange.ledger, symbol, rate, now)
