"""Actions on the accounts: an account with its switches, and the amounts of an account."""

from exchanges.paper.actions.body import Query, json_object, parse_decimals, required_text
from exchanges.paper.engine.catalog import FUTURES, SPOT
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.snapshot import ledger_json
from exchanges.paper.state import ExchangeState


def post_accounts(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    asked = json_object(body)
    api_key, balances = required_text(asked, "api_key"), asked.get("balances")
    opening = None if balances is None else parse_decimals(balances)
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
    return ledger_json(exchange.ledger, account.api_key)["accounts"][account.api_key]["balances"]
