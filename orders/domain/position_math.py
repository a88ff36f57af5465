"""What trades do to a position. Amounts are exact; profit is before fees."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from exchanges.amounts import exact
from exchanges.enums import Side

_PLACES = Decimal(1).scaleb(-18)  # as many as the columns keep
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class PositionState:
    """`quantity` in base units, negative for a short; `cost` is the notional at entry with the same sign.

    Average entry is cost / quantity. `realized_profit` and `fees` (those paid in quote) only add up.
    """

    quantity: Decimal = _NOTHING
    cost: Decimal = _NOTHING
    realized_profit: Decimal = _NOTHING
    fees: Decimal = _NOTHING


@exact
def apply_fill(
    state: PositionState,
    *,
    side: Side,
    quantity: Decimal,
    price: Decimal,
    fee: Decimal = _NOTHING,
    fee_in_quote: bool = False,
    base_fee: Decimal = _NOTHING,
) -> tuple[PositionState, Decimal]:
    """The position after one fill, and the profit that the fill realized, in quote and before fees.

    `base_fee` (positive when paid) was taken from the base units that moved: a buy adds less than `quantity`,
    yet costs all of it. `fee` counts only if it was paid in quote. What is closed leaves at average entry,
    rounded half even to 18 places; closing all leaves a cost of exactly zero. A fill that crosses zero
    closes, then opens.

    Raises ValueError for a quantity or price that is not positive, and for a base fee that leaves nothing.
    """
    if quantity <= 0 or price <= 0 or base_fee >= quantity:
        raise ValueError("a fill has a positive quantity and price, and a fee below its quantity")
    moved = side.sign * quantity - base_fee
    spent = side.sign * quantity * price
    closed = _closed(state.quantity, moved)
    spent_closing = _part(spent, closed, moved)
    released = _part(state.cost, -closed, state.quantity)
    realized = -spent_closing - released
    after = PositionState(
        quantity=state.quantity + moved,
        cost=state.cost - released + (spent - spent_closing),
        realized_profit=state.realized_profit + realized,
        fees=state.fees + (fee if fee_in_quote else _NOTHING),
    )
    return after, realized


def _closed(held: Decimal, moved: Decimal) -> Decimal:
    """How much of a move closes, with the sign of the move."""
    if held * moved >= 0:
        return _NOTHING
    return moved if abs(moved) <= abs(held) else -held


def _part(amount: Decimal, strategy_account: Decimal, whole: Decimal) -> Decimal:
    if not strategy_account:
        return _NOTHING
    return (
        amount
        if strategy_account == whole
        else (amount * strategy_account / whole).quantize(_PLACES, ROUND_HALF_EVEN)
    )
