"""The effects of orders and fills on wallets and positions."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

from exchanges.paper.engine.blotter import SymbolSide
from exchanges.paper.engine.catalog import FUTURES, MARKETS, SPOT
from exchanges.paper.engine.codec import EIGHT
from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.engine.records import ZERO, Account, Order, Position, Trade

SPOT_FEE = Decimal("0.001")
FUTURES_MAKER_FEE = Decimal("0.0002")
FUTURES_TAKER_FEE = Decimal("0.0005")


def reserve_funds(ledger: Ledger, account: Account, order: Order) -> None:
    """Reserves the funds for the open rest of an order, or frees reserved funds after a fill or an end."""
    needed = _needed_amount(order) if order.is_open else ZERO
    change = needed - order.reserved
    if not change:
        return
    order.reserved = needed
    if order.market == FUTURES:
        ledger.blotters[account.api_key].pending[SymbolSide(order.symbol, order.side)] += change
        return
    wallet = account.wallet(spent_asset(order))
    wallet.free -= change
    wallet.locked += change
    ledger.touch_account(account)


def restore_reserved_margin(ledger: Ledger, order: Order) -> None:
    """Counts the margin of a futures order again after a restart. The stored spot wallets keep their locked funds."""
    if order.market == FUTURES and order.reserved:
        ledger.blotters[order.api_key].pending[SymbolSide(order.symbol, order.side)] += order.reserved


def _needed_amount(order: Order) -> Decimal:
    if order.market == FUTURES:
        return ZERO if order.reduce_only else order.remaining * order.price
    if order.side == "SELL":
        return order.remaining
    return order.remaining * (order.price or order.stop_price)


def spent_asset(order: Order) -> str:
    market = MARKETS[order.market][order.symbol]
    return market.quote if order.side == "BUY" else market.base


def fill_order(
    ledger: Ledger, account: Account, order: Order, qty: Decimal, price: Decimal, maker: bool, now: int
) -> Trade:
    """Books one execution. The trade names the fee and the realized profit, the only changes to the sum of money."""
    order.executed += qty
    order.quote += qty * price
    order.updated = now
    order.status = "FILLED" if order.executed == order.qty else "PARTIALLY_FILLED"
    reserve_funds(ledger, account, order)
    settle = _settle_spot if order.market == SPOT else _settle_futures
    settlement = settle(ledger, account, order, qty, price, maker, now)
    trade = Trade(
        id=ledger.next_trade_id(order.market, order.symbol),
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        api_key=order.api_key,
        market=order.market,
        symbol=order.symbol,
        side=order.side,
        price=price,
        qty=qty,
        quote_qty=qty * price,
        commission=settlement.fee,
        commission_asset=settlement.fee_asset,
        realized_pnl=settlement.realized_pnl,
        maker=maker,
        time=now,
        tran_id=ledger.next_tran_id(),
    )
    account.updated = now
    ledger.add_trade(trade)
    ledger.touch_account(account)
    ledger.touch_order(order)
    if order.status == "FILLED":
        ledger.close(order, "FILLED", now)
    return trade


class _Settlement(NamedTuple):
    fee: Decimal
    fee_asset: str
    realized_pnl: Decimal


def _settle_spot(
    ledger: Ledger, account: Account, order: Order, qty: Decimal, price: Decimal, maker: bool, now: int
) -> _Settlement:
    market = MARKETS[SPOT][order.symbol]
    base, quote = (market.base, qty), (market.quote, qty * price)
    (got, received), (gave, paid) = (base, quote) if order.side == "BUY" else (quote, base)
    fee = (received * SPOT_FEE).quantize(EIGHT, ROUND_DOWN)
    account.wallet(gave).free -= paid
    account.wallet(got).free += received - fee
    return _Settlement(fee, got, ZERO)


def _settle_futures(
    ledger: Ledger, account: Account, order: Order, qty: Decimal, price: Decimal, maker: bool, now: int
) -> _Settlement:
    rate = FUTURES_MAKER_FEE if maker else FUTURES_TAKER_FEE
    fee = (qty * price * rate).quantize(EIGHT, ROUND_HALF_EVEN)
    position = ledger.position(account, order.symbol)
    realized = shift_position(position, qty if order.side == "BUY" else -qty, price)
    position.updated = now
    account.margin_balance += realized - fee
    return _Settlement(fee, "USDT", realized)


def shift_position(position: Position, change: Decimal, price: Decimal) -> Decimal:
    """Adds a signed amount at a price. Returns the profit realized on the closed part, to eight places."""
    held = position.amount
    realized = _realized_profit(position, change, price) if held * change < 0 else ZERO
    position.amount = held + change
    position.entry_price = _entry_price(position, held, change, price)
    return realized


def _realized_profit(position: Position, change: Decimal, price: Decimal) -> Decimal:
    closed = min(abs(position.amount), abs(change)).copy_sign(position.amount)
    return (closed * (price - position.entry_price)).quantize(EIGHT, ROUND_HALF_EVEN) + ZERO


def _entry_price(position: Position, held: Decimal, change: Decimal, price: Decimal) -> Decimal:
    if not position.amount:
        return ZERO
    if held * change >= 0:
        return (held * position.entry_price + change * price) / position.amount
    return position.entry_price if position.amount * held > 0 else price
