"""Whose what happened outside is: the arithmetic."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.domain.outside import (
    count_explaining,
    part_of,
    share_of_holder,
    shares_of_close,
    shares_of_payment,
)


def numbers(*texts):
    return [Decimal(text) for text in texts]


@pytest.mark.parametrize(
    ("moves", "difference", "count"),
    [
        ([], "1", None),
        (["-0.5"], "-0.5", 1),
        (["-0.5", "0.5", "-0.3"], "-0.3", 1),
        (["-0.2", "-0.3"], "-0.5", 2),
        (["-0.3", "0.5", "-0.5"], "-0.3", 3),
        (["-0.2", "-0.3"], "-0.4", None),
    ],
)
def test_the_newest_fills_that_sum_up_to_a_difference_explain_it(moves, difference, count):
    assert count_explaining(numbers(*moves), Decimal(difference)) == count


@pytest.mark.parametrize(
    ("move", "held", "beside", "share"),
    [
        ("-0.4", "1", "0", "-0.4"),
        ("-1", "1", "0", "-1"),
        ("-1.5", "1", "0", "-1"),
        ("1.5", "-1", "0", "1"),
        ("0.5", "1", "0", "0"),
        ("-0.5", "0", "0", "0"),
        ("-0.5", "1", "0.5", "0"),
        ("-0.5", "1", "-0.5", "-0.5"),
        ("0.5", "-1", "-0.1", "0"),
    ],
)
def test_the_only_holder_takes_what_reduces_its_position(move, held, beside, share):
    assert share_of_holder(Decimal(move), Decimal(held), Decimal(beside)) == Decimal(share)


def test_a_forced_close_leaves_every_position_at_zero():
    shares = shares_of_close(numbers("-1", "-2"), {1: Decimal(2), 2: Decimal(1)})

    sums = {holder: sum(part[holder] for part in shares) for holder in (1, 2)}
    assert sums == {1: -2, 2: -1}
    assert shares[0] == {1: Decimal("-0.666666666666666667"), 2: Decimal("-0.333333333333333333")}


def test_a_forced_close_of_a_net_holding_closes_positions_on_both_sides():
    assert shares_of_close(numbers("-1"), {1: Decimal(3), 2: Decimal(-2)}) == [{1: -3, 2: 2}]


@pytest.mark.parametrize(
    ("moves", "held"), [(["-1"], {1: 2, 2: 1}), (["-1"], {}), ([], {1: 1}), (["-1", "1"], {1: 1, 2: -1})]
)
def test_moves_that_leave_something_are_no_forced_close_of_everything(moves, held):
    assert shares_of_close(numbers(*moves), {pk: Decimal(quantity) for pk, quantity in held.items()}) is None


@pytest.mark.parametrize(
    ("held", "external", "shares"),
    [
        ({1: "1"}, "0", {1: "-9"}),
        ({1: "2", 2: "1"}, "0", {1: "-6", 2: "-3"}),
        ({1: "2", 2: "-1"}, "0", {1: "-18", 2: "9"}),
        ({1: "1"}, "2", {1: "-3"}),
        ({1: "1", 2: "0"}, "0", {1: "-9"}),
        ({1: "1", 2: "-1"}, "0", {}),
        ({}, "1", {}),
        ({}, "0", {}),
    ],
)
def test_a_payment_is_shared_by_what_is_held(held, external, shares):
    given_shares = shares_of_payment(
        Decimal(-9), {pk: Decimal(quantity) for pk, quantity in held.items()}, Decimal(external)
    )

    assert given_shares == {pk: Decimal(share) for pk, share in shares.items()}


@given(
    st.decimals("-1E6", "1E6", places=8),
    st.dictionaries(st.integers(1, 9), st.decimals("0.001", "1000", places=3), min_size=1),
)
def test_the_shares_of_a_payment_sum_up_to_the_payment(amount, held):
    assert sum(shares_of_payment(amount, held, Decimal(0)).values()) == amount


def test_a_part_of_a_fee_is_rounded_to_what_the_database_keeps():
    assert part_of(Decimal(1), Decimal(1), Decimal(3)) == Decimal("0.333333333333333333")
