"""The control API under /__paper__/, by which a test or a person at the desk changes the paper exchange."""

import sqlite3
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from exchanges.paper.actions import accounts, events, orders, prices
from exchanges.paper.actions.body import Query, json_object, parse_decimal, parse_json
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.snapshot import ledger_json
from exchanges.paper.state import ExchangeState
from exchanges.paper.wire.faults import parse_fault
from exchanges.paper.wire.replies import Reply, refusal_reply, success_reply

Action = Callable[[ExchangeState, object, Query, int], object]


async def answer_control(exchange: ExchangeState, method: str, raw_path: str, body: bytes, now: int) -> Reply:
    url = urlsplit(raw_path)
    action = ACTIONS.get((method, url.path))
    if action is None:
        return refusal_reply(Refusal(-5000, f"The control API has no {method} {url.path}.", 404))
    try:
        answer = action(exchange, parse_json(body), parse_qs(url.query), now)
        await exchange.store.committed()
    except Refusal as error:
        return refusal_reply(error)
    except sqlite3.Error as error:
        return refusal_reply(Refusal(-1000, f"The state could not be written: {error}"))
    return success_reply(answer)


def post_outage(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Refuses every connection for some seconds, also connections to the control API."""
    seconds = parse_decimal("seconds", json_object(body).get("seconds"))
    if exchange.refuse_for is None:
        raise Refusal(-1104, "The server has no port to close.")
    exchange.refuse_for(float(seconds))
    return {}


def get_state(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    since = query.get("since", ["0"])[0]
    if not since.isdigit():
        raise Refusal(-1104, "since is a time in milliseconds.")
    return ledger_json(exchange.ledger, query.get("api_key", [""])[0], int(since))


def delete_state(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    exchange.wipe()
    return {}


def get_requests(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    since = query.get("since", ["0"])[0]
    if not since.isdigit():
        raise Refusal(-1104, "since is the index of the first entry wanted.")
    return exchange.journal.since(int(since))


def post_faults(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    faults = [parse_fault(json_object(row)) for row in (body if isinstance(body, list) else [body])]
    for fault in faults:
        exchange.faults.add(fault)
    return exchange.faults.active


def get_faults(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    return exchange.faults.active


def delete_faults(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    exchange.faults.clear()
    return {}


ACTIONS: dict[tuple[str, str], Action] = {
    ("GET", "/__paper__/state"): get_state,
    ("DELETE", "/__paper__/state"): delete_state,
    ("GET", "/__paper__/requests"): get_requests,
    ("GET", "/__paper__/prices"): prices.get_prices,
    ("POST", "/__paper__/prices"): prices.post_prices,
    ("POST", "/__paper__/bands"): prices.post_bands,
    ("GET", "/__paper__/liquidity"): prices.get_liquidity,
    ("POST", "/__paper__/liquidity"): prices.post_liquidity,
    ("GET", "/__paper__/markets"): prices.get_markets,
    ("POST", "/__paper__/markets"): prices.post_markets,
    ("POST", "/__paper__/accounts"): accounts.post_accounts,
    ("POST", "/__paper__/balances"): accounts.post_balances,
    ("POST", "/__paper__/transfer"): accounts.post_transfer,
    ("POST", "/__paper__/hand"): orders.post_hand,
    ("POST", "/__paper__/cancel"): orders.post_cancel,
    ("POST", "/__paper__/fills"): orders.post_fills,
    ("POST", "/__paper__/forget"): orders.post_forget,
    ("POST", "/__paper__/liquidate"): events.post_liquidate,
    ("POST", "/__paper__/adl"): events.post_adl,
    ("POST", "/__paper__/deliver"): events.post_deliver,
    ("POST", "/__paper__/funding"): events.post_funding,
    ("POST", "/__paper__/outage"): post_outage,
    ("GET", "/__paper__/faults"): get_faults,
    ("POST", "/__paper__/faults"): post_faults,
    ("DELETE", "/__paper__/faults"): delete_faults,
}
