"""Fills become trades and positions. Callers hold the orders' rows."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, localcontext
from typing import NamedTuple

from exchanges.adapters.protocol import Fill
from exchanges.enums import MarketType
from orders.domain.keys import PositionKey
from orders.domain.position_math import apply_fill
from orders.models import Order, Position, Trade

logger = logging.getLogger(__name__)


class TradeKey(NamedTuple):
    """The columns of the constraint trade_counts_once."""

    account_id: int
    market_type: str
    symbol: str
    trade_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    order: Order
    fill: Fill

    @property
    def key(self) -> TradeKey:
        order = self.order
        return TradeKey(order.account_id, order.market_type, order.symbol, self.fill.trade_id)


def book_fills(fills_by_order: Iterable[tuple[Order, Sequence[Fill]]], *, now: datetime) -> None:
    """Adds the trades that we do not have yet, and what they do to `filled`, `average` and the positions.

    The orders' columns are changed in memory only; the caller saves them with their status.
    """
    entries = {
        entry.key: entry for order, fills in fills_by_order for entry in (Entry(order, f) for f in fills)
    }
    known = _known(entries.values())
    fresh = [entry for key, entry in entries.items() if key not in known]
    fresh.sort(key=lambda entry: (entry.fill.executed_at, entry.fill.trade_id))
    booked = [entry for entry in fresh if _count(entry)]
    if booked:
        positions = _positions({entry.order.position_key for entry in booked})
        Trade.objects.bulk_create(
            [_trade(entry, positions[entry.order.position_key], now) for entry in booked]
        )
        Position.objects.bulk_update(
            positions.values(), ["quantity", "cost", "realized_profit", "fees", "updated_at"]
        )


def _known(entries: Iterable[Entry]) -> set[TradeKey]:
    listed = list(entries)
    rows = Trade.objects.filter(
        account__in={entry.order.account_id for entry in listed},
        symbol__in={entry.order.symbol for entry in listed},
        trade_id__in={entry.fill.trade_id for entry in listed},
    )
    return {TradeKey(*row) for row in rows.values_list(*TradeKey._fields)}


def _count(entry: Entry) -> bool:
    """Adds the fill to its order's totals; false, and nothing added, when it would exceed the order."""
    order, fill = entry.order, entry.fill
    with localcontext(Context(prec=60)):
        filled = order.filled + fill.quantity
        if filled > (order.quantity or 0):
            logger.error("overfill refused order=%s trade=%s", order.client_order_id, fill.trade_id)
            return False
        paid = (order.average or Decimal(0)) * order.filled + fill.price * fill.quantity
        order.filled, order.average = filled, paid / filled
    return True


def _positions(keys: set[PositionKey]) -> dict[PositionKey, Position]:
    """The positions' rows, made where missing, and held until the transaction ends."""
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


def _trade(entry: Entry, position: Position, now: datetime) -> Trade:
    order, fill = entry.order, entry.fill
    base_fee = fill.fee if _is_base_fee(entry) else Decimal(0)
    position.state, realized = apply_fill(
        position.state,
        side=fill.side,
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee,
        fee_in_quote=fill.fee_currency == _quote(order.symbol),
        base_fee=base_fee,
    )
    position.updated_at = now
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


def _is_base_fee(entry: Entry) -> bool:
    base = entry.order.symbol.partition("/")[0]
    return entry.order.market_type == MarketType.SPOT and entry.fill.fee_currency == base


def _quote(symbol: str) -> str:
    return symbol.partition("/")[2].partition(":")[0]
