"""Shares of what happened outside: how much of a fill or a payment that is not ours belongs to which position.

Quantities are base units, signed: negative for a sell and for a short position. `held` is by strategy account.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from exchanges.amounts import exact

_PLACES = Decimal(1).scaleb(-18)  # the decimal places of the database columns
_NOTHING = Decimal(0)

Shares = dict[int, Decimal]  # by strategy account


@exact
def count_explaining(moves: Sequence[Decimal], difference: Decimal) -> int | None:
    """Returns how many of the newest moves sum up to the difference; None where no number of the newest moves does.

    `moves` are oldest first. Older moves belong to a time about which books and exchange agreed.
    """
    total = _NOTHING
    for count, move in enumerate(reversed(moves), start=1):
        total += move
        if total == difference:
            return count
    return None


@exact
def share_of_holder(move: Decimal, held: Decimal, beside: Decimal) -> Decimal:
    """Returns the part of a fill that is booked at once to the only holder: what reduces the position, at most to zero.

    `beside` is what the account holds beside the position, as a person declared or as unbooked fills left. A holding
    beside the position and on the position's side makes every fill ambiguous, so nothing is booked at once.
    """
    if move * held >= 0 or beside * held > 0:
        return _NOTHING
    return move if abs(move) <= abs(held) else -held


@exact
def shares_of_close(moves: Sequence[Decimal], held: Mapping[int, Decimal]) -> list[Shares] | None:
    """Returns for each move of a forced close the share of each position; None where the moves leave a net position.

    All positions end at exactly zero, also positions on opposite sides.
    """
    total = sum(moves, _NOTHING)
    if not total or total + sum(held.values(), _NOTHING):
        return None
    left = {holder: -quantity for holder, quantity in held.items()}
    shares: list[Shares] = []
    for move in moves[:-1]:
        part = {holder: _rounded(-quantity * move / total) for holder, quantity in held.items()}
        left = {holder: left[holder] - moved for holder, moved in part.items()}
        shares.append(part)
    return [*shares, left]


@exact
def shares_of_payment(amount: Decimal, held: Mapping[int, Decimal], external: Decimal) -> Shares:
    """Returns the share of each position in a payment: pro rata to the signed quantities.

    A long position pays what a short position receives, so positions on opposite sides have shares of opposite signs.
    The share of the `external` holding belongs to nobody. The largest position takes the rest of the rounding.
    """
    whole = sum(held.values(), external)
    if not whole:
        return {}
    shares = {holder: _rounded(amount * quantity / whole) for holder, quantity in held.items() if quantity}
    if shares and not external:
        largest = max(shares, key=lambda holder: abs(held[holder]))
        shares[largest] += amount - sum(shares.values(), _NOTHING)
    return shares


@exact
def part_of(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Returns amount × part / whole, rounded half even to 18 places."""
    return _rounded(amount * part / whole)


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_PLACES, ROUND_HALF_EVEN)
