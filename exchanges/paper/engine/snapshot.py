"""The ledger in the control API's JSON. All amounts are exact decimal strings."""

from exchanges.paper.engine.catalog import FUTURES
from exchanges.paper.engine.codec import Json, decimal_text
from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.engine.margin import account_margin, unrealized_profit
from exchanges.paper.engine.records import Account, AlgoOrder, Income, Order, Trade


def ledger_json(ledger: Ledger, api_key: str = "", since: int = 0) -> Json:
    """The prices, and one account or all accounts, by API key. Two keys of one account show the same account.

    Orders and trades that are older than `since`, in milliseconds, are left out.
    """
    accounts = ledger.accounts | ledger.other_keys
    shown = {
        key: _account_json(ledger, account, since)
        for key, account in accounts.items()
        if api_key in ("", key)
    }
    return {
        "accounts": shown,
        "prices": {symbol: decimal_text(price) for symbol, price in ledger.prices.items()},
    }


def _account_json(ledger: Ledger, account: Account, since: int) -> Json:
    blotter = ledger.blotters[account.api_key]
    waiting = [
        _waiting_json(algo)
        for algo in blotter.algos.values()
        if not algo.actual_order_id and algo.updated >= since
    ]
    placed = [_order_json(order) for order in blotter.orders.values() if order.updated >= since]
    orders = sorted(placed + waiting, key=lambda row: row["orderId"])
    trades = [trade for found in blotter.trades.values() for trade in found if trade.time >= since]
    return {
        "uid": account.uid,
        "balances": _balances_json(ledger, account),
        "positions": [_position_json(ledger, account, symbol) for symbol in sorted(account.positions)],
        "orders": orders,
        "trades": [
            _trade_json(trade)
            for trade in sorted(trades, key=lambda trade: (trade.time, trade.order_id, trade.id))
        ],
        "income": [_income_json(income) for income in blotter.income],
        "algoOrders": [_algo_json(algo) for algo in blotter.algos.values()],
    }


def _balances_json(ledger: Ledger, account: Account) -> Json:
    now = account_margin(ledger, account)
    held = {
        asset: {"free": decimal_text(w.free), "locked": decimal_text(w.locked)}
        for asset, w in sorted(account.spot.items())
    }
    futures = {
        "free": decimal_text(now.available),
        "locked": decimal_text(now.initial),
        "balance": decimal_text(now.wallet),
    }
    return {"spot": held, "futures": {"USDT": futures}}


def _position_json(ledger: Ledger, account: Account, symbol: str) -> Json:
    position = account.position(symbol)
    return {
        "symbol": symbol,
        "positionAmt": decimal_text(position.amount),
        "entryPrice": decimal_text(position.entry_price),
        "unRealizedProfit": decimal_text(unrealized_profit(ledger, account, symbol)),
        "leverage": ledger.leverage(account, symbol),
    }


def _order_json(order: Order) -> Json:
    return {
        "orderId": order.order_id,
        "clientOrderId": order.client_order_id,
        "symbol": order.symbol,
        "market": order.market,
        "side": order.side,
        "type": order.type,
        "origType": order.orig_type,
        "status": order.status,
        "timeInForce": order.time_in_force,
        "price": decimal_text(order.price),
        "stopPrice": decimal_text(order.stop_price),
        "origQty": decimal_text(order.qty),
        "executedQty": decimal_text(order.executed),
        "cumQuote": decimal_text(order.quote),
        "reduceOnly": order.reduce_only,
        "time": order.time,
        "updateTime": order.updated,
    }


def _waiting_json(algo: AlgoOrder) -> Json:
    """Shows a conditional order as an order, until a trigger makes the real order."""
    return {
        "orderId": algo.algo_id,
        "clientOrderId": algo.client_algo_id,
        "symbol": algo.symbol,
        "market": FUTURES,
        "side": algo.side,
        "type": algo.type,
        "origType": algo.type,
        "status": algo.status,
        "timeInForce": algo.time_in_force,
        "price": decimal_text(algo.price),
        "stopPrice": decimal_text(algo.trigger_price),
        "origQty": decimal_text(algo.qty),
        "executedQty": "0",
        "cumQuote": "0",
        "reduceOnly": algo.reduce_only or algo.close_position,
        "time": algo.time,
        "updateTime": algo.updated,
    }


def _algo_json(algo: AlgoOrder) -> Json:
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "symbol": algo.symbol,
        "status": algo.status,
        "actualOrderId": algo.actual_order_id or None,
        "triggerTime": algo.trigger_time or None,
    }


def _income_json(income: Income) -> Json:
    return {
        "tranId": income.tran_id,
        "incomeType": income.kind,
        "symbol": income.symbol,
        "income": decimal_text(income.amount),
        "asset": income.asset,
        "time": income.time,
    }


def _trade_json(trade: Trade) -> Json:
    return {
        "id": trade.id,
        "orderId": trade.order_id,
        "clientOrderId": trade.client_order_id,
        "symbol": trade.symbol,
        "market": trade.market,
        "side": trade.side,
        "price": decimal_text(trade.price),
        "qty": decimal_text(trade.qty),
        "quoteQty": decimal_text(trade.quote_qty),
        "commission": decimal_text(trade.commission),
        "commissionAsset": trade.commission_asset,
        "realizedPnl": decimal_text(trade.realized_pnl),
        "maker": trade.maker,
        "time": trade.time,
    }
