"""Books fills as trades, and updates the positions. The caller holds locks on the orders' rows."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, localcontext
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS

from exchanges.adapters.protocol import Fill
from exchanges.enums import MarketType
from orders.domain.keys import PositionKey
from orders.domain.position_math import apply_fill
from orders.models import Order, Position, Trade
from orders.models.bulk_write import insert_all, update_all

logger = logging.getLogger(__name__)

# The columns that a change of the quantity changes. Nobody has looked yet whether the new quantity is dust.
POSITION_COLUMNS = ["quantity", "cost", "realized_profit", "fees", "is_dust", "updated_at"]


_TRADE_KEY = ["account_id", "market_type", "symbol", "trade_id"]


class TradeKey(NamedTuple):
    """Identifies a trade by the columns of the constraint trade_counts_once."""

    account_id: int
    market_type: str
    symbol: str
    trade_id: str


@dataclass(frozen=True, slots=True)
class OrderFill:
    """A fill together with its order."""

    order: Order
    fill: Fill

    @property
    def key(self) -> TradeKey:
        order = self.order
        return TradeKey(order.account_id, order.market_type, order.symbol, self.fill.trade_id)


def book_fills(fills_by_order: Iterable[tuple[Order, Sequence[Fill]]], *, now: datetime) -> None:
    """Stores a trade for each new fill, and adds the fill to the order's `filled` and `average` and to the position.

    The orders change in memory only: the caller saves the order's columns together with the status.
    """
    order_fills = {
        order_fill.key: order_fill
        for order, fills in fills_by_order
        for order_fill in (OrderFill(order, f) for f in fills)
    }
    known = _known_trades(order_fills.values())
    fresh = [order_fill for key, order_fill in order_fills.items() if key not in known]
    fresh.sort(key=lambda order_fill: (order_fill.fill.executed_at, order_fill.fill.trade_id))
    booked = [order_fill for order_fill in fresh if _add_to_totals(order_fill)]
    if booked:
        positions = lock_positions({order_fill.order.position_key for order_fill in booked})
        trades = [
            _book_trade(order_fill, positions[order_fill.order.position_key], now) for order_fill in booked
        ]
        insert_all(trades, key=_TRADE_KEY, using=DEFAULT_DB_ALIAS)
        update_all(list(positions.values()), POSITION_COLUMNS, using=DEFAULT_DB_ALIAS)


def _known_trades(order_fills: Iterable[OrderFill]) -> set[TradeKey]:
    listed = list(order_fills)
    rows = Trade.objects.filter(
        account__in={order_fill.order.account_id for order_fill in listed},
        symbol__in={order_fill.order.symbol for order_fill in listed},
        trade_id__in={order_fill.fill.trade_id for order_fill in listed},
    )
    return {TradeKey(*row) for row in rows.values_list(*TradeKey._fields)}


def _add_to_totals(order_fill: OrderFill) -> bool:
    """Adds a fill to its order's totals. Returns false, and adds nothing, for a fill beyond the order's quantity."""
    order, fill = order_fill.order, order_fill.fill
    with localcontext(Context(prec=60)):
        filled = order.filled + fill.quantity
        if filled > (order.quantity or 0):
            logger.error("overfill refused order=%s trade=%s", order.client_order_id, fill.trade_id)
            return False
        paid = (order.average or Decimal(0)) * order.filled + fill.price * fill.quantity
        order.filled, order.average = filled, paid / filled
    return True


def lock_positions(keys: set[PositionKey]) -> dict[PositionKey, Position]:
    """Returns the positions' rows, created where missing, and locked until the transaction ends."""
    Position.objects.bulk_create(
        [Position(strategy_account_id=key.strategy_account_id, symbol=key.symbol) for key in sorted(keys)],
        ignore_conflicts=True,
    )
    rows = Position.objects.select_for_update().filter(
        strategy_account__in={key.strategy_account_id for key in keys},
        symbol__in={key.symbol for key in keys},
    )
    found = {PositionKey(row.strategy_account_id, row.symbol): row for row in rows.order_by("pk")}
    return {key: found[key] for key in keys}


def _book_trade(order_fill: OrderFill, position: Position, now: datetime) -> Trade:
    """Applies a fill to its position in memory, and returns the unsaved trade."""
    order, fill = order_fill.order, order_fill.fill
    base_fee = fill.fee if _is_base_fee(order_fill) else Decimal(0)
    position.state, realized = apply_fill(
        position.state,
        side=fill.side,
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee,
        fee_in_quote=fill.fee_currency == quote_of(order.symbol),
        base_fee=base_fee,
    )
    position.updated_at, position.is_dust = now, False
    return Trade(
        order=order,
        strategy_account_id=order.strategy_account_id,
        account_id=order.account_id,
        market_type=order.market_type,
        symbol=order.symbol,
        trade_id=fill.trade_id,
        side=fill.side,
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee,
        fee_currency=fill.fee_currency,
        base_fee=base_fee,
        is_maker=fill.is_maker,
        realized_profit=realized,
        executed_at=fill.executed_at,
        recorded_at=now,
    )


def _is_base_fee(order_fill: OrderFill) -> bool:
    base = order_fill.order.symbol.partition("/")[0]
    return order_fill.order.market_type == MarketType.SPOT and order_fill.fill.fee_currency == base


def quote_of(symbol: str) -> str:
    return symbol.partition("/")[2].partition(":")[0]
