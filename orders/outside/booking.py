"""Books adjustments: moves positions without trades of ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import DEFAULT_DB_ALIAS

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from exchanges.enums import OutsideKind
from orders.domain.keys import HoldingKey, PositionKey
from orders.domain.position_math import apply_adjustment
from orders.fills.trade_booking import POSITION_COLUMNS, lock_positions
from orders.models import Adjustment, OutsideEvent, Position
from orders.models.bulk_write import update_all
from orders.transactions import require_transaction

_NAMED = 100  # adjustments that one audit entry names; each adjustment has a row of its own


@dataclass(frozen=True, slots=True)
class Booking:
    """One adjustment to book. `quantity` is in base units, signed; `price`, `fee` and `amount` are in quote currency.

    `event` is the evidence, and None for the correction of a person.
    """

    strategy_account_id: int
    holding: HoldingKey
    kind: OutsideKind
    executed_at: datetime
    quantity: Decimal = Decimal(0)
    price: Decimal | None = None
    fee: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)
    event: OutsideEvent | None = None

    @property
    def position_key(self) -> PositionKey:
        return PositionKey(self.strategy_account_id, self.holding.symbol)


def book_adjustments(
    bookings: Sequence[Booking], *, actor: str, now: datetime, reason: str = ""
) -> list[Adjustment]:
    """Stores an adjustment for each booking, in the given order, and moves the positions. Returns the adjustments.

    The caller holds a transaction, and a lock on the events against a second booking. The positions stay locked until
    the transaction ends. `amount` adds to the realized profit of the position and moves no quantity.
    """
    require_transaction()
    if not bookings:
        return []
    positions = lock_positions({booking.position_key for booking in bookings})
    adjustments = [
        _book_adjustment(booking, positions[booking.position_key], actor=actor, reason=reason, now=now)
        for booking in bookings
    ]
    update_all(list(positions.values()), POSITION_COLUMNS, using=DEFAULT_DB_ALIAS)
    return Adjustment.objects.bulk_create(adjustments)


def record_adjustments(adjustments: Sequence[Adjustment], *, actor: Actor, now: datetime) -> None:
    """Tells the audit trail of the bookings to one account, as the last step of the transaction."""
    if not adjustments:
        return
    columns = ("strategy_account_id", "event_id", "symbol", "kind", "quantity", "amount")
    booked = [{name: getattr(row, name) for name in columns} for row in adjustments[:_NAMED]]
    after = {"count": len(adjustments), "booked": booked}
    record(Action.ADJUSTED, adjustments[0].account, actor=actor, now=now, after=after)


def _book_adjustment(
    booking: Booking, position: Position, *, actor: str, reason: str, now: datetime
) -> Adjustment:
    """Applies a booking to its position in memory, and returns the unsaved adjustment."""
    position.state, realized = apply_adjustment(
        position.state,
        quantity=booking.quantity,
        price=booking.price,
        fee=booking.fee,
        amount=booking.amount,
    )
    position.updated_at = now
    position.is_dust = position.is_dust and not booking.quantity
    return Adjustment(
        kind=booking.kind,
        event=booking.event,
        strategy_account_id=booking.strategy_account_id,
        account_id=booking.holding.account_id,
        market_type=booking.holding.market_type,
        symbol=booking.holding.symbol,
        quantity=booking.quantity,
        price=booking.price,
        fee=booking.fee,
        amount=booking.amount,
        realized_profit=realized,
        executed_at=booking.executed_at,
        recorded_at=now,
        actor=actor,
        reason=reason,
    )
