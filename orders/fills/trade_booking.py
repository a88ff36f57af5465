"""Books fills as trades, and updates the positions. The caller holds locks on the rows of orders and positions."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, localcontext
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from exchanges.adapters.protocol import Fill
from exchanges.database.prepared import Among, Query, locks, read_together
from exchanges.database.trips import Statement
from exchanges.enums import MarketType
from orders.domain.keys import PositionKey
from orders.domain.position_math import apply_fill
from orders.models import Order, Position, Trade
from orders.models.bulk_write import inserts_of, updates_of

logger = logging.getLogger(__name__)

# The columns that a change of the quantity changes. Nobody has looked yet whether the new quantity is dust.
POSITION_COLUMNS = ["quantity", "cost", "realized_profit", "fees", "is_dust", "updated_at"]


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


@dataclass(frozen=True, slots=True)
class Booked:
    """What is in the books already: the trades among the fills, and the locked positions of the fills' orders."""

    trades: set[TradeKey]
    positions: Mapping[PositionKey, Position]

    @staticmethod
    def slots(fills: Iterable[tuple[Order, Sequence[Fill]]]) -> dict[str, Any]:
        """The values for TRADES and POSITIONS, of which `of` takes the rows."""
        listed = list(fills)
        return {
            "strategy_accounts": {order.strategy_account_id for order, _ in listed},
            "accounts": {order.account_id for order, _ in listed},
            "symbols": {order.symbol for order, _ in listed},
            "trade_ids": {fill.trade_id for _, fills in listed for fill in fills},
        }

    @classmethod
    def of(cls, trades: Iterable[tuple[Any, ...]], positions: Iterable[Position]) -> "Booked":
        return cls({TradeKey(*row) for row in trades}, _by_key(positions))


def book_fills(
    fills_by_order: Iterable[tuple[Order, Sequence[Fill]]], booked_before: Booked, *, now: datetime
) -> list[Statement]:
    """Adds each new fill to the order's `filled` and `average` and to the position. Returns what writes the books.

    The statements insert the trades and update the positions. The orders change in memory only: the caller saves the
    order's columns together with the status, and the statements with these.
    """
    order_fills = {
        order_fill.key: order_fill
        for order, fills in fills_by_order
        for order_fill in (OrderFill(order, f) for f in fills)
    }
    known, positions = booked_before.trades, booked_before.positions
    fresh = [order_fill for key, order_fill in order_fills.items() if key not in known]
    fresh.sort(key=lambda order_fill: (order_fill.fill.executed_at, order_fill.fill.trade_id))
    booked = [order_fill for order_fill in fresh if _add_to_totals(order_fill)]
    trades = [_book_trade(order_fill, positions[order_fill.order.position_key], now) for order_fill in booked]
    moved = {order_fill.order.position_key for order_fill in booked}
    return [
        *inserts_of(trades, using=DEFAULT_DB_ALIAS),
        *updates_of([positions[key] for key in moved], POSITION_COLUMNS, using=DEFAULT_DB_ALIAS),
    ]


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
    (rows,) = read_together(POSITIONS, first=locks_of_positions(keys), **_slots_of(keys))
    found = _by_key(rows)
    return {key: found[key] for key in keys}


def locks_of_positions(keys: set[PositionKey]) -> list[Statement]:
    """The statements that create the positions' rows where missing, and lock the rows in the sequence of their keys."""
    new = [Position(strategy_account_id=key.strategy_account_id, symbol=key.symbol) for key in sorted(keys)]
    return [
        *inserts_of(new, using=DEFAULT_DB_ALIAS, once=True),
        *locks(_POSITION_LOCKS, **_slots_of(keys)),
    ]


def _slots_of(keys: Iterable[PositionKey]) -> dict[str, Any]:
    listed = list(keys)
    return {
        "strategy_accounts": {key.strategy_account_id for key in listed},
        "symbols": {key.symbol for key in listed},
    }


def _by_key(rows: Iterable[Position]) -> dict[PositionKey, Position]:
    return {PositionKey(row.strategy_account_id, row.symbol): row for row in rows}


def _trades() -> QuerySet[Trade, tuple[Any, ...]]:
    rows = Trade.objects.filter(
        Among("account_id", "accounts"), Among("symbol", "symbols"), Among("trade_id", "trade_ids")
    )
    return rows.order_by().values_list(*TradeKey._fields)


def _positions() -> QuerySet[Position]:
    return Position.objects.filter(
        Among("strategy_account_id", "strategy_accounts"), Among("symbol", "symbols")
    ).order_by()


TRADES, POSITIONS = Query(_trades), Query(_positions)
_POSITION_LOCKS = Query(lambda: _positions().select_for_update().order_by("pk").values_list("pk"))


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
