"""Fills orders at a standing price: at arrival, at a move of the price, or after a trigger.

A liquidity cap bounds the quantity that one order fills at arrival, and at each move of the price. The depth of a book
bounds the quantity of all fills together.
"""

from decimal import Decimal

from exchanges.paper.engine.catalog import FUTURES, SPOT, TRADED
from exchanges.paper.engine.codec import floor_to_step
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.engine.margin import affords_order
from exchanges.paper.engine.records import ZERO, Account, AlgoOrder, AnyOrder, Order, Trade, exchange_id
from exchanges.paper.engine.reduction import reducible_quantity, require_room
from exchanges.paper.engine.settlement import fill_order, reserve_funds, spent_asset

TAKE_PROFIT = ("TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TAKE_PROFIT_LIMIT")
ALL_OR_NOTHING = "FOK"
AT_ONCE = ("IOC", "FOK")


def crosses_market(order: Order, price: Decimal) -> bool:
    """Whether the market's price fills the order. A limit price equal to the market's price fills."""
    if order.is_market:
        return True
    return order.price >= price if order.side == "BUY" else order.price <= price


def is_triggered(kind: str, side: str, trigger_price: Decimal, price: Decimal) -> bool:
    """Whether the price triggers an order.

    A buy stop triggers when the price rises to the trigger price, a sell stop when the price falls to the trigger
    price. Take-profits trigger the other way round.
    """
    rising = (side == "BUY") != (kind in TAKE_PROFIT)
    return price >= trigger_price if rising else price <= trigger_price


def place_order(ledger: Ledger, account: Account, order: Order, now: int) -> list[Trade]:
    """Accepts a checked order: reserves funds, fills a crossing order, and lets the remainder rest or expire."""
    ledger.add_order(order)
    if not order.is_market or order.waiting:
        reserve_funds(ledger, account, order)
    return [] if order.waiting else execute_order(ledger, account, order, now)


def execute_order(ledger: Ledger, account: Account, order: Order, now: int) -> list[Trade]:
    price = ledger.prices[order.symbol]
    qty = _takeable_quantity(ledger, account, order, price) if crosses_market(order, price) else ZERO
    trades = [_fill_from_book(ledger, account, order, qty, price, False, now)] if qty else []
    if order.is_open and (order.is_market or order.time_in_force in AT_ONCE):
        end_order(ledger, order, "EXPIRED", now)
    return trades


def _fill_from_book(
    ledger: Ledger, account: Account, order: Order, qty: Decimal, price: Decimal, maker: bool, now: int
) -> Trade:
    ledger.take_liquidity(order.symbol, qty)
    return fill_order(ledger, account, order, qty, price, maker, now)


def _takeable_quantity(ledger: Ledger, account: Account, order: Order, price: Decimal) -> Decimal:
    qty = _fillable_quantity(ledger, account, order)
    if order.market == SPOT and order.is_market and not _can_pay(account, order, qty * price):
        return ZERO
    return ZERO if order.time_in_force == ALL_OR_NOTHING and qty < order.remaining else qty


def _can_pay(account: Account, order: Order, cost: Decimal) -> bool:
    """Whether the account can pay. A triggered market stop may meet a worse price than the reserved money covers."""
    if order.side == "SELL":
        return True
    return cost <= account.wallet(spent_asset(order)).free + order.reserved


def _fillable_quantity(ledger: Ledger, account: Account, order: Order) -> Decimal:
    qty = ledger.offered_quantity(order.symbol, order.remaining)
    if order.market == FUTURES and order.reduce_only:
        return min(qty, reducible_quantity(account, order.symbol, order.side))
    return qty


def end_order(ledger: Ledger, order: Order, status: str, now: int) -> None:
    ledger.close(order, status, now)
    reserve_funds(ledger, ledger.accounts[order.api_key], order)


def cancel_resting_order(ledger: Ledger, order: Order, now: int) -> None:
    end_order(ledger, order, "CANCELED", now)


def fill_in_parts(ledger: Ledger, order: Order, qty: Decimal, count: int, now: int) -> list[Trade]:
    """Fills a quantity of a resting order at the order's price in `count` trades. The last takes the remainder.

    Raises Refusal where the order cannot fill so much, or where the quantity has too few steps.
    """
    account, step = ledger.accounts[order.api_key], ledger.market(order.market, order.symbol).step
    part = floor_to_step(qty / count, step)
    if not part or qty % step or qty > order.remaining or order.waiting or not order.is_open:
        raise Refusal(-1104, f"The open rest of the order has no {count} parts of {qty}.")
    if order.reduce_only and qty > reducible_quantity(account, order.symbol, order.side):
        raise Refusal(-2022)
    parts = [part] * (count - 1)
    parts.append(qty - sum(parts))
    return [fill_order(ledger, account, order, each, order.price, True, now) for each in parts]


def move_price(ledger: Ledger, symbol: str, price: Decimal, now: int) -> None:
    """Sets the market's price. The move reaches resting orders in the order of their prices, then by age."""
    falling = price < ledger.prices[symbol]
    ledger.prices[symbol] = price
    ledger.touch_counters()
    met = [
        order
        for order in ledger.resting[symbol].values()
        if _is_trading(ledger, order) and _is_met(order, price)
    ]
    for order in sorted(
        met, key=lambda order: (-_order_level(order) if falling else _order_level(order), exchange_id(order))
    ):
        _advance_order(ledger, order, now)


def _is_trading(ledger: Ledger, order: AnyOrder) -> bool:
    kind = FUTURES if isinstance(order, AlgoOrder) else order.market
    return ledger.markets[kind][order.symbol].status in TRADED


def _order_level(order: AnyOrder) -> Decimal:
    if isinstance(order, AlgoOrder):
        return order.trigger_price
    return order.stop_price if order.waiting else order.price


def _is_met(order: AnyOrder, price: Decimal) -> bool:
    if isinstance(order, AlgoOrder) or order.waiting:
        return is_triggered(order.type, order.side, _order_level(order), price)
    return crosses_market(order, price)


def _advance_order(ledger: Ledger, order: AnyOrder, now: int) -> None:
    if not order.is_open:
        return
    if isinstance(order, AlgoOrder):
        trigger_algo(ledger, order, now)
    elif order.waiting:
        _trigger_stop(ledger, order, now)
    else:
        _fill_resting_limit(ledger, order, now)


def _fill_resting_limit(ledger: Ledger, order: Order, now: int) -> None:
    """Fills a limit order at the order's own price. A reduce-only order expires where nothing is left to close."""
    account = ledger.accounts[order.api_key]
    qty = _fillable_quantity(ledger, account, order)
    if qty:
        _fill_from_book(ledger, account, order, qty, order.price, True, now)
    if order.is_open and order.reduce_only and not reducible_quantity(account, order.symbol, order.side):
        end_order(ledger, order, "EXPIRED", now)


def _trigger_stop(ledger: Ledger, order: Order, now: int) -> None:
    order.waiting = False
    order.updated = now
    ledger.touch_order(order)
    execute_order(ledger, ledger.accounts[order.api_key], order, now)


def trigger_algo(ledger: Ledger, algo: AlgoOrder, now: int) -> None:
    """Turns a conditional order into an order with the same client order id, or rejects the conditional order."""
    account = ledger.accounts[algo.api_key]
    algo.trigger_time = now
    ledger.close_algo(algo, "TRIGGERED", now)
    order = _triggered_order(ledger, account, algo, now)
    try:
        _check_triggered_order(ledger, account, order)
    except Refusal:
        ledger.close_algo(algo, "REJECTED", now)
        return
    algo.actual_order_id = order.order_id = ledger.next_id()
    place_order(ledger, account, order, now)


def _triggered_order(ledger: Ledger, account: Account, algo: AlgoOrder, now: int) -> Order:
    closing = algo.reduce_only or algo.close_position
    room = reducible_quantity(account, algo.symbol, algo.side)
    wanted = room if algo.close_position else algo.qty
    return Order(
        order_id=0,
        client_order_id=algo.client_algo_id,
        api_key=algo.api_key,
        market=FUTURES,
        symbol=algo.symbol,
        side=algo.side,
        type="LIMIT" if algo.price else "MARKET",
        time_in_force=algo.time_in_force,
        qty=min(wanted, room) if closing else wanted,
        price=algo.price,
        time=now,
        stop_price=algo.trigger_price,
        reduce_only=closing,
        orig_type=algo.type,
        algo_id=algo.algo_id,
        updated=now,
    )


def _check_triggered_order(ledger: Ledger, account: Account, order: Order) -> None:
    if not order.qty:
        raise Refusal(-2022)
    if order.reduce_only:
        require_room(ledger, account, order)
    notional = order.qty * (order.price or ledger.prices[order.symbol])
    if not order.reduce_only and not affords_order(ledger, account, order.symbol, order.side, notional):
        raise Refusal(-2019)
