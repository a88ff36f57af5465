"""What a position or a target asks of a strategy account that holds something, or nothing."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.enums import Side
from orders.domain.positions import (
    ALERT_MISSED,
    ALREADY_THERE,
    NO_SHORTS,
    SIZES_MISSING,
    Decision,
    Move,
    Situation,
    decide,
    is_missed,
    is_same,
    part_of,
)
from orders.domain.terms import Aim, PositionWord

D = Decimal


def position(now, size=None, before=None, size_before=None):
    numbers = [None if number is None else D(str(number)) for number in (size, size_before)]
    word = None if before is None else PositionWord(before)
    return Aim(PositionWord(now), word, *numbers)


def held(quantity, **known):
    return Situation(held=D(str(quantity)), least=D("0.001"), **known)


ENTER_LONG, ENTER_SHORT = Decision(Move.ENTER, Side.BUY), Decision(Move.ENTER, Side.SELL)


@pytest.mark.parametrize(
    ("aim", "situation", "decision"),
    [
        (position("long"), held(0), ENTER_LONG),
        (position("short", 1, "flat", 0), held(0), ENTER_SHORT),
        (position("long", 2, "long", 1), held(1), ENTER_LONG),
        (position("long", 1, "long", 1), held(1), ENTER_LONG),
        (position("long", 1, "long", 2), held(3), Decision(Move.EXIT, remain=D("1.5"))),
        (position("short", 1, "short", 4), held(-2), Decision(Move.EXIT, remain=D("0.5"))),
        (position("short", 1, "long", 1), held(3), Decision(Move.REVERSE, Side.SELL)),
        (position("long"), held(-1), Decision(Move.REVERSE, Side.BUY)),
        (position("long"), held(0, is_against=True), Decision(Move.REVERSE, Side.BUY)),
        (position("long"), held(1, is_against=True), ENTER_LONG),
        # A full exit is under way: the entry comes after it, whatever is held still.
        (position("long"), held(1, is_leaving=True), Decision(Move.REVERSE, Side.BUY)),
        # The spot market has no short positions.
        (position("short"), held(0, may_short=False), Decision(Move.STAY, reason=NO_SHORTS)),
        (position("short"), held(2, may_short=False), Decision(Move.EXIT, reason=NO_SHORTS, at_market=True)),
        # The script's order was a sell: it took from its long position.
        (position("long"), held(3, side=Side.SELL, contracts=D(1)), Decision(Move.EXIT, remain=D(2))),
        (position("long"), held(3, side=Side.SELL, contracts=D(5)), Decision(Move.EXIT, remain=D(0))),
        (position("long"), held(3, side=Side.SELL), Decision(Move.STAY, reason=SIZES_MISSING)),
        (position("long"), held(0, side=Side.SELL), Decision(Move.STAY, reason=ALERT_MISSED)),
        (position("long"), held(-1, side=Side.SELL), Decision(Move.EXIT, at_market=True)),
        # In sequence, but nothing is held: closed by a stop or a person. An exit opens nothing, an entry its own size.
        (position("long", 1, "long", 2), held(0), Decision(Move.STAY, is_gap=True, reason=ALERT_MISSED)),
        (
            position("long", 3, "long", 2),
            held(0, contracts=D(1)),
            Decision(Move.ENTER, Side.BUY, is_gap=True),
        ),
    ],
)
def test_a_position_decides_by_what_is_held(aim, situation, decision):
    assert decide(aim, situation) == decision


@pytest.mark.parametrize(
    ("aim", "by_script", "share"),
    [
        (position("short", 1, "long", 0.5), True, Fraction(2, 3)),  # one order closes and opens
        (position("short", 1, "long", 0.5), False, Fraction(1)),
        (position("short", None, "long", None), True, Fraction(1)),
        (position("short", 1, None, 2), True, Fraction(1)),
        (position("short", 2, "flat", 0), True, Fraction(1)),
    ],
)
def test_the_entry_of_a_reversal_is_a_part_of_the_script_s_order(aim, by_script, share):
    contracts = contracts_of(aim) if by_script else None

    assert decide(aim, held(1, contracts=contracts)).share == share
    assert decide(aim, held(0, contracts=contracts)).share == share


def contracts_of(aim):
    """The contracts of the script's order between the two positions."""
    if aim.before is None:
        return D(7)
    sizes = [
        (aim.size or 0) * aim.position.sign,
        (aim.size_before or 0) * (aim.before.sign if aim.before else 0),
    ]
    return abs(sizes[0] - sizes[1]) or D(7)


def test_contracts_that_are_the_new_size_are_only_the_entry():
    assert decide(position("short", 1, "long", 0.5), held(1, contracts=D(1))).share == 1


@pytest.mark.parametrize(
    ("aim", "by_script", "share"),
    [
        (position("long", 3, "long", 2), True, 3),  # contracts: one of three
        (position("long", 1, "long", 3), True, Fraction(1, 2)),  # two contracts were sold, one is left
        (position("long", 2, "long", 2), True, 1),
        (position("long", 3, "long", 2), False, 3),  # each entry has one size
        (position("long", 2, "long", 2), False, 1),
        (position("long", 1, "long", 4), False, Fraction(1, 4)),
        (position("long", 100, "long", 99), False, 1),  # never more than five entries at once
        (position("long", 3, "long", 2), None, 3),  # a size that is not the contracts is one of an entry
        (position("long", None, "long", None), False, 1),
    ],
)
def test_an_alert_after_a_missed_one_makes_the_whole_position(aim, by_script, share):
    contracts = {True: contracts_of(aim), False: None, None: D(20)}[by_script]
    situation = held(0, contracts=contracts, is_script_gap=True)

    assert decide(aim, situation) == Decision(Move.ENTER, Side.BUY, share=Fraction(share), is_gap=True)


@pytest.mark.parametrize(
    ("size", "decision"),
    [
        (3, Decision(Move.ENTER, Side.BUY, quantity=D(4), is_gap=True)),
        (1, Decision(Move.STAY, reason=ALREADY_THERE, is_gap=True)),
        (6, ENTER_LONG),  # never more than five times at once
        ("0.5", Decision(Move.EXIT, remain=D(1), is_gap=True)),
    ],
)
def test_a_gap_is_followed_by_the_size_that_the_books_belong_to(size, decision):
    assert decide(position("long", size, "flat", 0), held(2, known_size=D(1))) == decision


@pytest.mark.parametrize(
    ("target", "quantity", "decision"),
    [
        ("1", "0", Decision(Move.ENTER, Side.BUY, quantity=D(1))),
        ("-1", "0", Decision(Move.ENTER, Side.SELL, quantity=D(1))),
        ("1", "0.4", Decision(Move.ENTER, Side.BUY, quantity=D("0.6"))),
        ("1", "1.5", Decision(Move.EXIT, remain=D(1))),
        ("-1", "-1.5", Decision(Move.EXIT, remain=D(1))),
        ("-1", "0.5", Decision(Move.REVERSE, Side.SELL)),
        ("1", "0.9995", Decision(Move.STAY, reason=ALREADY_THERE)),
        (
            "0.0001",
            "0",
            Decision(Move.ENTER, Side.BUY, quantity=D("0.0001")),
        ),  # sizing says what is too small
    ],
)
def test_a_target_is_approached(target, quantity, decision):
    assert decide(Aim(target_qty=D(target)), held(quantity, target=D(target))) == decision


def test_a_target_counts_what_entries_still_buy():
    aim = Aim(target_qty=D(2))

    assert decide(aim, held(0, target=D(2), working=D(2))) == Decision(Move.STAY, reason=ALREADY_THERE)
    assert decide(aim, held(1, target=D(2), working=D("0.4"))).quantity == D("0.6")


def test_a_target_without_a_price_can_only_reverse():
    aim = Aim(target_per=D(5))

    assert decide(aim, held(-1)) == Decision(Move.REVERSE, Side.BUY)
    with pytest.raises(ValueError, match="price"):
        decide(aim, held(1))


@pytest.mark.parametrize(
    ("aim", "known", "missed"),
    [
        (position("long", 2, "long", 1), ("long", D(1)), False),
        (position("long", 2, "long", 1), ("long", D("1.00000000000000002")), False),
        (position("long", 2, "long", 1), ("long", D(2)), True),
        (position("long", 2, "long", 1), ("flat", None), True),
        (position("long", 2, "long", 1), ("", None), False),
        (position("long", 2, "long"), ("long", D(2)), False),
        (position("long", 2, None), ("flat", None), False),
        (position("long", 2, "flat", 0), ("flat", D(3)), False),
    ],
)
def test_the_position_before_shows_a_missed_alert(aim, known, missed):
    assert is_missed(aim, *known) is missed


def test_sizes_are_equal_but_for_rounding():
    assert is_same(D("0.30000000000000004"), D("0.3"))
    assert not is_same(D("0.31"), D("0.3"))


SIZES = st.decimals("0.01", "100", places=2)


@given(SIZES, SIZES, SIZES)
def test_the_whole_order_of_a_reversal_in_contracts_gives_the_script_s_size(size, before, quantity):
    aim = position("short", size, "long", before)
    decision = decide(aim, Situation(held=quantity, contracts=size + before))

    assert abs(part_of(size + before, decision.share) - size) < D("1E-20")


@given(SIZES, SIZES, SIZES)
def test_an_exit_never_leaves_more_than_is_held(quantity, size, before):
    decision = decide(position("long", size, "long", before), Situation(held=quantity))

    assert decision.move in (Move.ENTER, Move.EXIT)
    assert decision.remain <= quantity
