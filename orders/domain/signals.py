"""Puts the alerts of a strategy for a symbol in sequence: which come late, and between which an alert is missing."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from orders.domain.positions import is_missed, is_same
from orders.domain.terms import Aim, PositionWord

# Two alerts of one second come in any order. A missing alert that comes so soon after the gap was late, not lost.
_LATE_WITHIN = timedelta(seconds=30)


class Verdict(StrEnum):
    IN_SEQUENCE = "in_sequence"
    LATE = "late"  # a newer alert was acted on before
    GAP = "gap"  # an alert before is missing


@dataclass(frozen=True, slots=True)
class Known:
    """The newest alert of a strategy for a symbol. `position` is "" where the alert named none.

    `missed_from` and `missed_to` are the ends of the last gap, as (position, size).
    """

    signaled_at: datetime | None = None
    position: str = ""
    size: Decimal | None = None
    missed_from: tuple[str, Decimal | None] | None = None
    missed_to: tuple[str, Decimal | None] | None = None
    missed_at: datetime | None = None
    missed_before: datetime | None = None  # the sender's time of the alert that showed the gap


def judge(known: Known, aim: Aim | None, *, signaled_at: datetime | None, now: datetime) -> Verdict:
    """Judges an alert. `aim` is None for a leg that names no position."""
    if known.signaled_at is not None and signaled_at is not None and signaled_at < known.signaled_at:
        return Verdict.LATE
    if aim is None or aim.position is None:
        return Verdict.IN_SEQUENCE
    if _fills_gap(known, aim, signaled_at, now):
        return Verdict.LATE
    return Verdict.GAP if is_missed(aim, known.position, known.size) else Verdict.IN_SEQUENCE


def _fills_gap(known: Known, aim: Aim, signaled_at: datetime | None, now: datetime) -> bool:
    """Whether the alert leads exactly from the one end of the last gap to the other."""
    if known.missed_from is None or known.missed_to is None or known.missed_at is None:
        return False
    if now - known.missed_at > _LATE_WITHIN or aim.before is None or aim.position is None:
        return False
    if signaled_at is None or known.missed_before is None:
        # Without times an alert that goes on from the known state is in sequence: an exit must not be lost.
        if not is_missed(aim, known.position, known.size):
            return False
    elif signaled_at > known.missed_before:
        return False
    return _is_end(known.missed_from, aim.before, aim.size_before) and _is_end(
        known.missed_to, aim.position, aim.size
    )


def _is_end(end: tuple[str, Decimal | None], position: PositionWord, size: Decimal | None) -> bool:
    word, known = end
    if word != position.value:
        return False
    return position is PositionWord.FLAT or known is None or size is None or is_same(known, size)


def known_size(known: Known, aim: Aim) -> Decimal | None:
    """The script's size to which the books belong, where the alert shows a gap; None where it is of no use."""
    if aim.position is None or known.position != aim.position.value:
        return None
    return known.size
