"""The sequence of alerts: late, missing, in order."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from orders.domain.signals import Known, Verdict, judge, known_size
from orders.domain.terms import Aim, PositionWord

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
D = Decimal


def aim(now, size, before, size_before):
    return Aim(PositionWord(now), PositionWord(before), D(size), D(size_before))


OPEN, CLOSE = aim("long", 1, "flat", 0), aim("flat", 0, "long", 1)
AFTER_CLOSE = Known(
    LATER,
    "flat",
    None,
    missed_from=("flat", None),
    missed_to=("long", D(1)),
    missed_at=NOW,
    missed_before=LATER,
)


@pytest.mark.parametrize(
    ("known", "alert", "signaled_at", "verdict"),
    [
        (Known(), None, None, Verdict.IN_SEQUENCE),
        (Known(LATER), None, NOW, Verdict.LATE),
        (Known(NOW), None, NOW, Verdict.IN_SEQUENCE),
        (Known(LATER, "flat"), OPEN, NOW, Verdict.LATE),
        (Known(NOW, "flat"), OPEN, LATER, Verdict.IN_SEQUENCE),
        (Known(NOW, "flat"), CLOSE, LATER, Verdict.GAP),
        (Known(NOW, "flat"), Aim(target_per=D(5)), LATER, Verdict.IN_SEQUENCE),
        # The close of the same second overtook its open.
        (AFTER_CLOSE, OPEN, LATER, Verdict.LATE),
        (AFTER_CLOSE, OPEN, None, Verdict.IN_SEQUENCE),  # without times it goes on from the known state
        (
            Known(
                position="long",
                size=D(1),
                missed_from=("long", D(1)),
                missed_to=("flat", None),
                missed_at=NOW,
            ),
            CLOSE,
            None,
            Verdict.IN_SEQUENCE,
        ),
        (
            Known(
                position="long",
                size=D(2),
                missed_from=("long", D(1)),
                missed_to=("flat", None),
                missed_at=NOW,
            ),
            CLOSE,
            None,
            Verdict.LATE,
        ),
        (AFTER_CLOSE, OPEN, LATER + timedelta(seconds=1), Verdict.IN_SEQUENCE),
        (AFTER_CLOSE, aim("long", 2, "flat", 0), LATER, Verdict.IN_SEQUENCE),
        (AFTER_CLOSE, aim("short", 1, "flat", 0), LATER, Verdict.IN_SEQUENCE),
        (AFTER_CLOSE, Aim(PositionWord.LONG), LATER, Verdict.IN_SEQUENCE),
    ],
)
def test_an_alert_is_judged_by_the_alert_before(known, alert, signaled_at, verdict):
    assert judge(known, alert, signaled_at=signaled_at, now=NOW + timedelta(seconds=2)) is verdict


def test_a_gap_of_long_ago_makes_nothing_late():
    assert judge(AFTER_CLOSE, OPEN, signaled_at=LATER, now=NOW + timedelta(minutes=1)) is Verdict.IN_SEQUENCE


@pytest.mark.parametrize(
    ("known", "alert", "size"),
    [
        (Known(position="long", size=D(2)), OPEN, D(2)),
        (Known(position="short", size=D(2)), OPEN, None),
        (Known(position="long", size=D(2)), Aim(target_per=D(5)), None),
    ],
)
def test_the_books_belong_to_the_size_of_the_alert_before(known, alert, size):
    assert known_size(known, alert) == size
