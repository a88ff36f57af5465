"""Actions on the accounts: an account with its switches, and the amounts of an account."""

from exchanges.paper.actions.body import Query, json_object, parse_decimals, parse_number, required_text
from exchanges.paper.engine.catalog import FUTURES, SPOT
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.outside import transfer_margin, transfer_spot
from exchanges.paper.engine.records import Account
from exchanges.paper.engine.snapshot import ledger_json
from exchanges.paper.state import ExchangeState


def post_accounts(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    asked = json_object(body)
    api_key, balances = required_text(asked, "api_key"), asked.get("balances")
    opening = None if balances is None else parse_decimals(balances)
    if asked.get("same_account_as"):
        other = exchange.ledger.open_account(required_text(asked, "same_account_as"))
        exchange.ledger.add_key(other, api_key, str(asked.get("secret") or ""))
    account = exchange.ledger.open_account(api_key, str(asked.get("secret") or ""), opening)
    account.can_withdraw = bool(asked.get("can_withdraw", account.can_withdraw))
    account.poor = bool(asked.get("poor", account.poor))
    return {"api_key": api_key}


def post_balances(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Sets the free amounts of a spot account, or the futures wallet (USDT)."""
    asked = json_object(body)
    account = exchange.ledger.open_account(required_text(asked, "api_key"))
    balances, kind = parse_decimals(asked.get("balances")), asked.get("market", SPOT)
    if kind == SPOT:
        for asset, amount in balances.items():
            account.wallet(asset).free = amount
    elif kind == FUTURES and set(balances) == {"USDT"}:
        account.margin_balance = balances["USDT"]
    else:
        raise Refusal(-1104, "market is spot, or futures with USDT only.")
    account.updated = now
    return _shown_balances(exchange, account)


def post_transfer(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Moves coins in or, where the amount is negative, out of a spot account or the futures wallet (USDT)."""
    asked = json_object(body)
    account = exchange.ledger.open_account(required_text(asked, "api_key"))
    asset, kind = required_text(asked, "asset"), asked.get("market", SPOT)
    amount = parse_number("amount", asked.get("amount"))
    if kind == SPOT:
        transfer_spot(exchange.ledger, account, asset, amount, now)
    elif kind == FUTURES and asset == "USDT":
        transfer_margin(exchange.ledger, account, amount, now)
    else:
        raise Refusal(-1104, "market is spot, or futures with USDT only.")
    return _shown_balances(exchange, account)


def _shown_balances(exchange: ExchangeState, account: Account) -> object:
    return ledger_json(exchange.ledger, account.api_key)["accounts"][account.api_key]["balances"]
