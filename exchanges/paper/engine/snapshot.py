"""The ledger as the control API shows it. All amounts are exact decimal strings."""

from exchanges.paper.engine.catalog import FUTURES
from exchanges.paper.engine.codec import text
from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.engine.margin import margin, unrealized
from exchanges.paper.engine.records import Account, AlgoOrder, Order, Trade


def snapshot(ledger: Ledger, api_key: str = "") -> dict:
    """Of one account, or of all."""
    accounts = [account for key, account in ledger.accounts.items() if api_key in ("", key)]
    shown = {account.api_key: _account(ledger, account) for account in accounts}
    return {"accounts": shown, "prices": {symbol: text(price) for symbol, price in ledger.prices.items()}}


def _account(ledger: Ledger, account: Account) -> dict:
    blotter = ledger.blotters[account.api_key]
    waiting = [_waiting(algo) for algo in blotter.algos.values() if not algo.actual_order_id]
    orders = sorted(
        [_order(order) for order in blotter.orders.values()] + waiting, key=lambda row: row["orderId"]
    )
    trades = [trade for found in blotter.trades.values() for trade in found]
    return {
        "balances": _balances(ledger, account),
        "positions": [_position(ledger, account, symbol) for symbol in sorted(account.positions)],
        "orders": orders,
        "trades": [
            _trade(trade)
            for trade in sorted(trades, key=lambda trade: (trade.time, trade.order_id, trade.id))
        ],
        "algoOrders": [_algo(algo) for algo in blotter.algos.values()],
    }


def _balances(ledger: Ledger, account: Account) -> dict:
    now = margin(ledger, account)
    held = {
        asset: {"free": text(w.free), "locked": text(w.locked)} for asset, w in sorted(account.spot.items())
    }
    futures = {"free": text(now.available), "locked": text(now.initial), "balance": text(now.wallet)}
    return {"spot": held, "futures": {"USDT": futures}}


def _position(ledger: Ledger, account: Account, symbol: str) -> dict:
    position = account.position(symbol)
    return {
        "symbol": symbol,
        "positionAmt": text(position.amount),
        "entryPrice": text(position.entry_price),
        "unRealizedProfit": text(unrealized(ledger, account, symbol)),
        "leverage": ledger.leverage(account, symbol),
    }


def _order(order: Order) -> dict:
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
        "price": text(order.price),
        "stopPrice": text(order.stop_price),
        "origQty": text(order.qty),
        "executedQty": text(order.executed),
        "cumQuote": text(order.quote),
        "reduceOnly": order.reduce_only,
        "time": order.time,
        "updateTime": order.updated,
    }


def _waiting(algo: AlgoOrder) -> dict:
    """A conditional order is shown as an order until it has become one."""
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
        "price": text(algo.price),
        "stopPrice": text(algo.trigger_price),
        "origQty": text(algo.qty),
        "executedQty": "0",
        "cumQuote": "0",
        "reduceOnly": algo.reduce_only or algo.close_position,
        "time": algo.time,
        "updateTime": algo.updated,
    }


def _algo(algo: AlgoOrder) -> dict:
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "symbol": algo.symbol,
        "status": algo.status,
        "actualOrderId": algo.actual_order_id or None,
        "triggerTime": algo.trigger_time or None,
    }


def _trade(trade: Trade) -> dict:
    return {
        "id": trade.id,
        "orderId": trade.order_id,
        "clientOrderId": trade.client_order_id,
        "symbol": trade.symbol,
        "market": trade.market,
        "side": trade.side,
        "price": text(trade.price),
        "qty": text(trade.qty),
        "quoteQty": text(trade.quote_qty),
        "commission": text(trade.commission),
        "commissionAsset": trade.commission_asset,
        "realizedPnl": text(trade.realized_pnl),
        "maker": trade.maker,
        "time": trade.time,
    }
