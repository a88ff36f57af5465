"""Decides what a leg that names a position or a target asks of one strategy account: enter, exit, reverse, or stay."""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from exchanges.amounts import exact
from exchanges.enums import Side
from orders.domain.terms import Aim

_NOTHING, _ONE = Decimal(0), Decimal(1)
_WHOLE = Fraction(1)
_LARGEST_SHARE = Fraction(5)  # of the leg's size, where an alert was missed
_SAME = Decimal("1E-9")  # scripts count in binary fractions
ALREADY_THERE = "already_there"
NO_SHORTS = "no_shorts_on_spot"
ALERT_MISSED = "alert_missed"
SIZES_MISSING = "sizes_missing"


class Move(StrEnum):
    ENTER = "enter"
    EXIT = "exit"
    REVERSE = "reverse"  # a full exit and, when nothing is left, an entry
    STAY = "stay"


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of the strategy account at the leg's turn. Amounts are base units.

    `held` is signed. `target` is the target of the leg, signed; None where the leg names a position, or where no price
    is known yet. `known_size` is the script's size after the alert before, of the side that is held; None where the
    alerts are in sequence. `is_against`: an entry of the other side works at the exchange, or an entry has an unknown
    outcome. `is_leaving`: a full exit of the position is under way, and what is held will be gone. `least` is the
    smallest quantity that the exchange lets anybody trade. `contracts` is the leg's `qty`, the number of contracts of
    the script's order; None where the leg's size is an amount that every entry has. `side` is the side of the script's
    order. `working` is what entries of the target's side still may buy. `is_script_gap`: the alert before is missing.
    """

    held: Decimal = _NOTHING
    target: Decimal | None = None
    known_size: Decimal | None = None
    is_against: bool = False
    is_leaving: bool = False
    may_short: bool = True
    least: Decimal = _NOTHING
    contracts: Decimal | None = None
    side: Side | None = None
    working: Decimal = _NOTHING
    is_script_gap: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """`side` is the side of an entry. An entry has `quantity` base units, or `share` times the leg's own size.

    An exit leaves `remain` base units; `at_market`: whatever type the leg has, because the leg's price is the price of
    an entry. `is_gap`: the position shows that an alert was missed. `reason` says why the position stays.
    """

    move: Move
    side: Side | None = None
    quantity: Decimal | None = None
    share: Fraction = _WHOLE
    remain: Decimal = _NOTHING
    is_gap: bool = False
    reason: str = ""
    at_market: bool = False


@exact
def decide(aim: Aim, situation: Situation) -> Decision:
    """Decides for an aim that is not flat. Where a target has no price yet, only a reversal can be decided: else
    raises ValueError.
    """
    sign = _sign_of(aim)
    if sign < 0 and not situation.may_short:
        if situation.held:
            return Decision(Move.EXIT, reason=NO_SHORTS, at_market=True)
        return Decision(Move.STAY, reason=NO_SHORTS)
    side = Side.BUY if sign > 0 else Side.SELL
    is_other = situation.held * sign < 0 or (not situation.held and situation.is_against)
    if is_other or situation.is_leaving:
        entry = _enter_from_flat(aim, side, situation)
        if entry.move is Move.STAY:
            return Decision(Move.EXIT, at_market=True)
        return replace(entry, move=Move.REVERSE)
    if aim.position is None:
        return _towards(side, abs(_target(situation)), situation)
    return _enter_from_flat(aim, side, situation) if not situation.held else _same_side(aim, side, situation)


def is_missed(aim: Aim, position: str, size: Decimal | None) -> bool:
    """Whether the alert's position before is not what the alert before said."""
    if aim.before is None or not position:
        return False
    if aim.before.value != position:
        return True
    both = aim.size_before is not None and size is not None
    return both and aim.before.sign != 0 and not is_same(aim.size_before, size)  # type: ignore[arg-type]  # both


@exact
def is_same(one: Decimal, other: Decimal) -> bool:
    """Whether two sizes of a script are equal but for rounding."""
    return abs(one - other) <= _SAME * max(abs(one), abs(other), _ONE)


def _sign_of(aim: Aim) -> int:
    if aim.position is not None:
        return aim.position.sign
    target = aim.target
    assert target is not None
    return 1 if target > 0 else -1


def _target(situation: Situation) -> Decimal:
    if situation.target is None:
        raise ValueError("the target has no price")
    return situation.target


def _towards(side: Side, target: Decimal, situation: Situation, *, is_gap: bool = False) -> Decision:
    """From a position of the same side, or none, to the target."""
    missing = target - abs(situation.held)
    if missing > 0:
        missing = max(_NOTHING, missing - situation.working)
    if abs(missing) < situation.least and (situation.held or situation.working):
        return Decision(Move.STAY, is_gap=is_gap, reason=ALREADY_THERE)
    if missing > 0 or not situation.held:
        return Decision(Move.ENTER, side, quantity=missing, is_gap=is_gap)
    return Decision(Move.EXIT, remain=target, is_gap=is_gap)


def _same_side(aim: Aim, side: Side, situation: Situation) -> Decision:
    size, known = aim.size, situation.known_size
    held = abs(situation.held)
    if size is not None and known and size <= known * _LARGEST_SHARE.numerator:
        return _towards(side, held * size / known, situation, is_gap=True)
    if aim.shrinks and size is not None and aim.size_before:
        return Decision(Move.EXIT, remain=held * size / aim.size_before)
    if _is_exit_of_script(side, situation):
        if situation.contracts is None:
            return Decision(Move.STAY, reason=SIZES_MISSING)
        return Decision(Move.EXIT, remain=max(_NOTHING, held - situation.contracts))
    return Decision(Move.ENTER, side)


def _is_exit_of_script(side: Side, situation: Situation) -> bool:
    """Whether the script's order took from the position: the side of the order is against the position."""
    return situation.side is not None and situation.side is not side


def _enter_from_flat(aim: Aim, side: Side, situation: Situation) -> Decision:
    is_gap = aim.before is not None and aim.before is aim.position and aim.size_before != 0
    takes = aim.shrinks or (aim.position is not None and _is_exit_of_script(side, situation))
    if takes and not situation.is_script_gap:
        # The alerts are in sequence, so the account was closed by a stop, a person or a limit: an exit opens nothing.
        return Decision(Move.STAY, is_gap=is_gap, reason=ALERT_MISSED)
    if is_gap and not situation.is_script_gap:
        return Decision(Move.ENTER, side, is_gap=True)
    if is_gap:
        return Decision(Move.ENTER, side, share=_share_from_nothing(aim, situation), is_gap=True)
    return Decision(Move.ENTER, side, share=_share_of_reversal(aim, situation))


def _share_of_reversal(aim: Aim, situation: Situation) -> Fraction:
    """The contracts of a reversal's order close and open with one number."""
    if situation.contracts is None or aim.size is None or not aim.size_before:
        return _WHOLE
    if is_same(situation.contracts, aim.size):  # the sender has taken off what closes
        return _WHOLE
    if aim.before is None or aim.position is None or aim.before.sign * aim.position.sign >= 0:
        return _WHOLE
    return Fraction(aim.size) / (Fraction(aim.size) + Fraction(aim.size_before))


def _share_from_nothing(aim: Aim, situation: Situation) -> Fraction:
    """How many times the leg's size makes the script's whole position, where nothing is held of it.

    A leg that would be multiplied too often enters its own size: a size that only looks like contracts costs money.
    """
    if aim.size is None or not aim.size_before:
        return _WHOLE
    size, before = Fraction(aim.size), Fraction(aim.size_before)
    moved = abs(size - before)
    if (
        situation.contracts is not None
        and moved
        and is_same(situation.contracts, abs(aim.size - aim.size_before))
    ):
        return size / moved
    if aim.shrinks:
        return size / before
    share = size / moved if moved else _WHOLE
    return share if share <= _LARGEST_SHARE else _WHOLE


@exact
def part_of(size: Decimal, share: Fraction) -> Decimal:
    """Returns share times size; exact where the result has an end."""
    return size * share.numerator / share.denominator
