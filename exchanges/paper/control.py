"""The control API under /__paper__/, by which a test or a person at the desk changes the paper exchange."""

import sqlite3
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from urllib.parse import parse_qs, urlsplit

from exchanges.paper.engine.catalog import FUTURES, OPENING_PRICES, SPOT
from exchanges.paper.engine.codec import Json, loads
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.engine.matching import move_price
from exchanges.paper.engine.snapshot import ledger_json
from exchanges.paper.state import ExchangeState
from exchanges.paper.wire.faults import parse_fault
from exchanges.paper.wire.replies import Reply, refusal_reply, success_reply

Query = dict[str, list[str]]


async def answer_control(exchange: ExchangeState, method: str, raw_path: str, body: bytes, now: int) -> Reply:
    url = urlsplit(raw_path)
    action = ACTIONS.get((method, url.path))
    if action is None:
        return refusal_reply(Refusal(-5000, f"The control API has no {method} {url.path}.", 404))
    try:
        answer = action(exchange, _parse_json(body), parse_qs(url.query), now)
        await exchange.store.committed()
    except Refusal as error:
        return refusal_reply(error)
    except sqlite3.Error as error:
        return refusal_reply(Refusal(-1000, f"The state could not be written: {error}"))
    return success_reply(answer)


def _parse_json(body: bytes) -> object:
    try:
        return loads(body) if body else {}
    except ValueError as error:
        raise Refusal(-1104, "The body is not JSON.") from error


def _json_object(body: object) -> Json:
    if not isinstance(body, dict):
        raise Refusal(-1104, "The body is not a JSON object.")
    return body


def _parse_decimal(name: str, value: object) -> Decimal:
    try:
        parsed = Decimal(str(value))
    except InvalidOperation as error:
        raise Refusal(-1104, f"{name} is not a number: {value}") from error
    if not parsed.is_finite() or parsed < 0:
        raise Refusal(-1104, f"{name} is not a positive number: {value}")
    return parsed


def _parse_decimals(body: object) -> dict[str, Decimal]:
    return {name: _parse_decimal(name, value) for name, value in _json_object(body).items()}


def _known_symbol(symbol: str) -> str:
    if symbol not in OPENING_PRICES:
        raise Refusal(-1121, f"Invalid symbol: {symbol}")
    return symbol


def get_state(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    return ledger_json(exchange.ledger, query.get("api_key", [""])[0])


def delete_state(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    exchange.wipe()
    return {}


def get_requests(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    since = query.get("since", ["0"])[0]
    if not since.isdigit():
        raise Refusal(-1104, "since is the index of the first entry wanted.")
    return exchange.journal.since(int(since))


def get_prices(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    return exchange.ledger.prices


def post_prices(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    prices = {_known_symbol(symbol): price for symbol, price in _parse_decimals(body).items()}
    if not all(prices.values()):
        raise Refusal(-1104, "A price is greater than zero.")
    for symbol, price in prices.items():
        move_price(exchange.ledger, symbol, price, now)
    return exchange.ledger.prices


def post_liquidity(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Sets the base units that one order fills at arrival or at a move of the price; null removes the cap."""
    for symbol, qty in _json_object(body).items():
        _set_cap(exchange.ledger, _known_symbol(symbol), qty)
    exchange.ledger.touch_counters()
    return exchange.ledger.liquidity


def _set_cap(ledger: Ledger, symbol: str, qty: object) -> None:
    if qty is None:
        ledger.liquidity.pop(symbol, None)
    else:
        ledger.liquidity[symbol] = _parse_decimal(symbol, qty)


def post_accounts(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    asked = _json_object(body)
    api_key, balances = _required_text(asked, "api_key"), asked.get("balances")
    opening = None if balances is None else _parse_decimals(balances)
    account = exchange.ledger.open_account(api_key, str(asked.get("secret") or ""), opening)
    account.can_withdraw = bool(asked.get("can_withdraw", account.can_withdraw))
    return {"api_key": api_key}


def _required_text(asked: Json, name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise Refusal(-1102, f"{name} is missing.")
    return value


def post_balances(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Sets the free amounts of a spot account, or the futures wallet (USDT)."""
    asked = _json_object(body)
    account = exchange.ledger.open_account(_required_text(asked, "api_key"))
    balances, kind = _parse_decimals(asked.get("balances")), asked.get("market", SPOT)
    if kind == SPOT:
        for asset, amount in balances.items():
            account.wallet(asset).free = amount
    elif kind == FUTURES and set(balances) == {"USDT"}:
        account.margin_balance = balances["USDT"]
    else:
        raise Refusal(-1104, "market is spot, or futures with USDT only.")
    account.updated = now
    return ledger_json(exchange.ledger, account.api_key)["accounts"][account.api_key]["balances"]


def post_faults(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    faults = [parse_fault(_json_object(row)) for row in (body if isinstance(body, list) else [body])]
    for fault in faults:
        exchange.faults.add(fault)
    return exchange.faults.active


def get_faults(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    return exchange.faults.active


def delete_faults(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    exchange.faults.clear()
    return {}


ACTIONS: dict[tuple[str, str], Callable[[ExchangeState, object, Query, int], object]] = {
    ("GET", "/__paper__/state"): get_state,
    ("DELETE", "/__paper__/state"): delete_state,
    ("GET", "/__paper__/requests"): get_requests,
    ("GET", "/__paper__/prices"): get_prices,
    ("POST", "/__paper__/prices"): post_prices,
    ("POST", "/__paper__/liquidity"): post_liquidity,
    ("POST", "/__paper__/accounts"): post_accounts,
    ("POST", "/__paper__/balances"): post_balances,
    ("GET", "/__paper__/faults"): get_faults,
    ("POST", "/__paper__/faults"): post_faults,
    ("DELETE", "/__paper__/faults"): delete_faults,
}
