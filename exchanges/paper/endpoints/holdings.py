"""Signed endpoints of futures accounts: balances, positions, leverage, modes.

https://developers.binance.com/docs/derivatives/usds-margined-futures/account/rest-api
"""

from decimal import Decimal

from exchanges.paper.endpoints.call import Call
from exchanges.paper.engine.blotter import SymbolSide
from exchanges.paper.engine.catalog import FUTURES, MARKETS, MAX_LEVERAGE
from exchanges.paper.engine.codec import Json, decimal_text, eight_places
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.ledger import margin_symbols
from exchanges.paper.engine.margin import (
    MAINTENANCE_RATE,
    Margin,
    account_margin,
    symbol_margin,
    unrealized_profit,
)
from exchanges.paper.engine.records import ZERO
from exchanges.paper.wire import parameters

SUCCESS: Json = {"code": 200, "msg": "success"}
MARGIN_TYPES = ("ISOLATED", "CROSSED")


def get_balance(call: Call) -> list[Json]:
    now = account_margin(call.ledger, call.account)
    return [
        {
            "accountAlias": "paper",
            "asset": "USDT",
            "balance": eight_places(now.wallet),
            "crossWalletBalance": eight_places(now.wallet),
            "crossUnPnl": eight_places(now.unrealized),
            "availableBalance": eight_places(now.available),
            "maxWithdrawAmount": eight_places(now.available),
            "marginAvailable": True,
            "updateTime": call.account.updated or call.now,
        }
    ]


def get_account(call: Call) -> Json:
    """Version 3 shows only symbols with a position or an open order."""
    return _account_json(call, _active_symbols(call))


def get_account_v2(call: Call) -> Json:
    """Version 2 shows every symbol, and the account's rights."""
    rights: Json = {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": call.account.can_withdraw,
    }
    return rights | {"multiAssetsMargin": False} | _account_json(call, list(MARKETS[FUTURES]))


def _account_json(call: Call, symbols: list[str]) -> Json:
    now = account_margin(call.ledger, call.account)
    sums = _margin_sums(now, _maintenance_margin(call))
    asset: Json = {"asset": "USDT"} | {name: eight_places(value) for name, value in sums.items()}
    asset |= {"marginAvailable": True, "updateTime": call.account.updated or call.now}
    totals = {f"total{name[0].upper()}{name[1:]}": eight_places(sums[name]) for name in TOTALS}
    rest = {"availableBalance": eight_places(now.available), "maxWithdrawAmount": eight_places(now.available)}
    return (
        totals | rest | {"assets": [asset], "positions": [_position_json(call, symbol) for symbol in symbols]}
    )


TOTALS = (
    "initialMargin",
    "maintMargin",
    "walletBalance",
    "unrealizedProfit",
    "marginBalance",
    "positionInitialMargin",
    "openOrderInitialMargin",
    "crossWalletBalance",
    "crossUnPnl",
)


def _margin_sums(now: Margin, maintenance: Decimal) -> dict[str, Decimal]:
    return {
        "walletBalance": now.wallet,
        "unrealizedProfit": now.unrealized,
        "marginBalance": now.balance,
        "maintMargin": maintenance,
        "initialMargin": now.initial,
        "positionInitialMargin": now.of_positions,
        "openOrderInitialMargin": now.of_orders,
        "crossWalletBalance": now.wallet,
        "crossUnPnl": now.unrealized,
        "availableBalance": now.available,
        "maxWithdrawAmount": now.available,
    }


def _maintenance_margin(call: Call) -> Decimal:
    return (
        sum((abs(_position_notional(call, symbol)) for symbol in call.account.positions), ZERO)
        * MAINTENANCE_RATE
    )


def _position_notional(call: Call, symbol: str) -> Decimal:
    return call.account.position(symbol).amount * call.ledger.prices[symbol]


def _active_symbols(call: Call) -> list[str]:
    return sorted(margin_symbols(call.account, call.blotter))


def position_risk(call: Call) -> list[Json]:
    """Version 3 shows only symbols with a position or an open order."""
    return [_position_json(call, symbol) for symbol in _asked_symbols(call, _active_symbols(call))]


def position_risk_v2(call: Call) -> list[Json]:
    """Versions 1 and 2 show every symbol, with leverage and margin type."""
    return [
        _position_json(call, symbol) | _symbol_settings(call, symbol)
        for symbol in _asked_symbols(call, list(MARKETS[FUTURES]))
    ]


def _asked_symbols(call: Call, symbols: list[str]) -> list[str]:
    symbol = call.params.get("symbol")
    if not symbol:
        return symbols
    call.ledger.market(FUTURES, symbol)
    return [symbol] if symbol in symbols else []


def _position_json(call: Call, symbol: str) -> Json:
    held, notional = call.account.position(symbol), _position_notional(call, symbol)
    of_position, total = symbol_margin(call.ledger, call.account, symbol)
    pending, profit = call.blotter.pending, unrealized_profit(call.ledger, call.account, symbol)
    return {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": decimal_text(held.amount),
        "entryPrice": _rounded_price(held.entry_price),
        "breakEvenPrice": _rounded_price(held.entry_price),
        "markPrice": eight_places(call.ledger.prices[symbol]),
        "unRealizedProfit": eight_places(profit),
        "unrealizedProfit": eight_places(profit),
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": eight_places(notional),
        "marginAsset": "USDT",
        "isolatedWallet": "0",
        "initialMargin": eight_places(total),
        "maintMargin": eight_places(abs(notional) * MAINTENANCE_RATE),
        "positionInitialMargin": eight_places(of_position),
        "openOrderInitialMargin": eight_places(total - of_position),
        "adl": 0,
        "bidNotional": decimal_text(pending.get(SymbolSide(symbol, "BUY"), ZERO)),
        "askNotional": decimal_text(pending.get(SymbolSide(symbol, "SELL"), ZERO)),
        "updateTime": held.updated,
    }


def _rounded_price(price: Decimal) -> str:
    return decimal_text(Decimal(eight_places(price)))


def _symbol_settings(call: Call, symbol: str) -> Json:
    isolated = call.account.margin_type.get(symbol) == "ISOLATED"
    return {
        "leverage": str(call.ledger.leverage(call.account, symbol)),
        "maxNotionalValue": "100000000",
        "marginType": "isolated" if isolated else "cross",
        "isolated": isolated,
        "isAutoAddMargin": "false",
        "adlQuantile": 0,
    }


def symbol_config(call: Call) -> list[Json]:
    return [
        {
            "symbol": symbol,
            "marginType": call.account.margin_type.get(symbol, "CROSSED"),
            "isAutoAddMargin": False,
            "leverage": call.ledger.leverage(call.account, symbol),
            "maxNotionalValue": "100000000",
        }
        for symbol in _asked_symbols(call, list(MARKETS[FUTURES]))
    ]


def account_config(call: Call) -> Json:
    rights = {"canTrade": True, "canDeposit": True, "canWithdraw": call.account.can_withdraw}
    return {"feeTier": 0, "dualSidePosition": False, "multiAssetsMargin": False} | rights


def commission_rate(call: Call) -> Json:
    symbol = call.ledger.market(FUTURES, parameters.required(call.params, "symbol")).symbol
    return {"symbol": symbol, "makerCommissionRate": "0.000200", "takerCommissionRate": "0.000500"}


def leverage_bracket(call: Call) -> list[Json]:
    bracket = {
        "bracket": 1,
        "initialLeverage": MAX_LEVERAGE,
        "notionalCap": 100_000_000,
        "notionalFloor": 0,
        "maintMarginRatio": float(MAINTENANCE_RATE),
        "cum": 0,
    }
    return [
        {"symbol": symbol, "brackets": [bracket]} for symbol in _asked_symbols(call, list(MARKETS[FUTURES]))
    ]


def set_leverage(call: Call) -> Json:
    symbol = call.ledger.market(FUTURES, parameters.required(call.params, "symbol")).symbol
    leverage = parameters.integer(call.params, "leverage")
    if not 1 <= leverage <= MAX_LEVERAGE:
        raise Refusal(-4028, f"Leverage {leverage} is not valid")
    call.account.leverage[symbol] = leverage
    call.ledger.touch_account(call.account)
    return {"symbol": symbol, "leverage": leverage, "maxNotionalValue": "100000000"}


def set_margin_type(call: Call) -> Json:
    symbol = call.ledger.market(FUTURES, parameters.required(call.params, "symbol")).symbol
    wanted = parameters.required(call.params, "marginType")
    if wanted not in MARGIN_TYPES:
        raise Refusal(-1102)
    if wanted == call.account.margin_type.get(symbol, "CROSSED"):
        raise Refusal(-4046)
    if call.blotter.open_orders(FUTURES, symbol):
        raise Refusal(-4047)
    if call.account.position(symbol).amount:
        raise Refusal(-4048)
    call.account.margin_type[symbol] = wanted
    call.ledger.touch_account(call.account)
    return SUCCESS


def position_mode(call: Call) -> Json:
    return {"dualSidePosition": False}


def set_position_mode(call: Call) -> Json:
    """Refuses hedge mode: the paper exchange has one-way mode only."""
    if parameters.required(call.params, "dualSidePosition").lower() == "true":
        raise Refusal(-4084, "Method is not allowed currently: the paper exchange knows one-way mode only.")
    raise Refusal(-4059)


def multi_assets_mode(call: Call) -> Json:
    return {"multiAssetsMargin": False}
