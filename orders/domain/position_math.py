"""Applies fills and adjustments to a position. Amounts are exact; profit is before fees."""

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from exchanges.amounts import exact
from exchanges.enums import Side

_PLACES = Decimal(1).scaleb(-18)  # the decimal places of the database columns
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class PositionState:
    """The numbers of a position. `quantity` is in base units, negative for a short position.

    `cost` is the notional at entry, with the sign of `quantity`. The average entry price is cost / quantity.
    `realized_profit`, and `fees` paid in quote currency, only add up. `realized_profit` is before fees, and includes
    payments such as funding.
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
    """Returns the position after a fill, and the profit realized by the fill, in quote currency and before fees.

    `base_fee` (positive when paid) reduces the base units of the fill: a buy adds less than `quantity` to the position
    and costs all of `quantity`. `fee` counts only with `fee_in_quote`. The closed part leaves the position at the
    average entry price, rounded half even to 18 places; a fill of the whole position leaves a cost of exactly zero. A
    fill across zero closes the position, then opens a position on the other side.

    Raises ValueError for a quantity or price of zero or below, and for a base fee of the whole quantity or more.
    """
    if quantity <= 0 or price <= 0 or base_fee >= quantity:
        raise ValueError("a fill has a positive quantity and price, and a fee below its quantity")
    moved = side.sign * quantity - base_fee
    spent = side.sign * quantity * price
    closed = _closed_part(state.quantity, moved)
    spent_closing = _pro_rata(spent, closed, moved)
    closed_cost = _pro_rata(state.cost, -closed, state.quantity)
    realized = -spent_closing - closed_cost
    after = PositionState(
        quantity=state.quantity + moved,
        cost=state.cost - closed_cost + (spent - spent_closing),
        realized_profit=state.realized_profit + realized,
        fees=state.fees + (fee if fee_in_quote else _NOTHING),
    )
    return after, realized


@exact
def apply_adjustment(
    state: PositionState,
    *,
    quantity: Decimal = _NOTHING,
    price: Decimal | None = None,
    fee: Decimal = _NOTHING,
    amount: Decimal = _NOTHING,
) -> tuple[PositionState, Decimal]:
    """Returns the position after an adjustment, and the profit realized by the change of the quantity, before fees.

    `quantity` is signed and moves the position at `price`, like a fill. `fee` and `amount` are in quote currency: the
    fee adds to the fees, and a received `amount` adds to the realized profit.

    Raises ValueError for a quantity without a positive price.
    """
    after, realized = state, _NOTHING
    if quantity:
        side = Side.BUY if quantity > 0 else Side.SELL
        after, realized = apply_fill(state, side=side, quantity=abs(quantity), price=price or _NOTHING)
    after = replace(after, realized_profit=after.realized_profit + amount, fees=after.fees + fee)
    return after, realized


def _closed_part(held: Decimal, moved: Decimal) -> Decimal:
    """Returns the part of `moved` against the position `held`, with the sign of `moved`."""
    if held * moved >= 0:
        return _NOTHING
    return moved if abs(moved) <= abs(held) else -held


def _pro_rata(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Returns amount × part / whole, rounded half even to 18 places; exactly `amount` for the whole."""
    if not part:
        return _NOTHING
    return amount if part == whole else (amount * part / whole).quantize(_PLACES, ROUND_HALF_EVEN)
