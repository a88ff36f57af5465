"""Terms survive the database."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.enums import TimeInForce
from orders.domain.terms import (
    Aim,
    Distance,
    DistanceKind,
    PositionWord,
    Protection,
    RelativeKind,
    RelativePrice,
    RelativePrices,
    TakeProfit,
    Terms,
)

NUMBERS = st.decimals("-1000", "1000", allow_nan=False, places=4)
MAYBE = st.none() | NUMBERS
WORDS = st.none() | st.sampled_from(PositionWord)
DISTANCES = st.builds(Distance, st.sampled_from(DistanceKind), NUMBERS)
AIMS = st.builds(Aim, WORDS, WORDS, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE)
RELATIVE = st.none() | st.builds(RelativePrice, st.sampled_from(RelativeKind), NUMBERS)
PROTECTIONS = st.builds(
    Protection,
    st.none() | DISTANCES,
    st.lists(st.builds(TakeProfit, DISTANCES, NUMBERS), max_size=3).map(tuple),
    st.none() | DISTANCES,
    st.none() | DISTANCES,
)


@given(
    st.builds(
        Terms,
        st.none() | AIMS,
        MAYBE,
        MAYBE,
        st.booleans(),
        st.booleans(),
        st.sampled_from(TimeInForce),
        PROTECTIONS,
        st.builds(RelativePrices, RELATIVE, RELATIVE),
    )
)
def test_stored_terms_are_read_back(terms):
    assert Terms.from_json(terms.to_json()) == terms


def test_an_ordinary_leg_stores_nothing():
    assert Terms().to_json() == {}
    assert not Protection()


@pytest.mark.parametrize(
    ("aim", "target", "is_flat", "shrinks"),
    [
        (Aim(PositionWord.FLAT), None, True, False),
        (Aim(target_per=Decimal(0)), 0, True, False),
        (Aim(target_quote=Decimal(5)), 5, False, False),
        (Aim(PositionWord.LONG, PositionWord.LONG, Decimal(1), Decimal(2)), None, False, True),
        (Aim(PositionWord.LONG, PositionWord.SHORT, Decimal(1), Decimal(2)), None, False, False),
        (Aim(PositionWord.LONG, PositionWord.LONG, None, Decimal(2)), None, False, False),
    ],
)
def test_an_aim_tells_its_kind(aim, target, is_flat, shrinks):
    assert (aim.target, aim.is_flat, aim.shrinks) == (target, is_flat, shrinks)


@pytest.mark.parametrize(
    ("before", "size", "text"),
    [
        (PositionWord.LONG, Decimal("0.5"), "long 0.5"),
        (PositionWord.SHORT, None, "short"),
        (PositionWord.FLAT, Decimal(0), "flat"),
        (None, None, ""),
    ],
)
def test_the_position_before_is_a_text(before, size, text):
    assert Aim(PositionWord.LONG, before, Decimal(1), size).before_text == text
    assert {word: word.sign for word in PositionWord} == {"long": 1, "short": -1, "flat": 0}
