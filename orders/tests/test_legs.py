from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.enums import OrderType
from orders.domain.enums import LEG_TYPES, CancelType
from orders.domain.legs import Leg, in_run_order


def rests(leg):
    return (
        leg.leg_type in (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.STOP_MARKET) and not leg.is_closing
    )


def places(priority):
    return (priority is None, priority or 0)


@st.composite
def legs(draw):
    kinds = draw(st.lists(st.sampled_from([*LEG_TYPES.values()]), max_size=30))
    numbers = st.sampled_from([Decimal("5"), Decimal("-100"), Decimal("-50")])
    priorities = st.none() | st.integers(-3, 3)
    return [
        Leg(
            index,
            kind,
            qty_per=None if isinstance(kind, CancelType) else draw(numbers),
            priority=draw(priorities),
        )
        for index, kind in enumerate(kinds)
    ]


@settings(max_examples=500, deadline=None)
@given(legs(), st.randoms())
def test_legs_run_by_priority_then_what_frees_then_as_listed(listed, chance):
    shuffled = chance.sample(listed, len(listed))

    run = in_run_order(shuffled)

    assert sorted(leg.index for leg in run) == [leg.index for leg in listed]
    for first, second in pairwise(run):
        assert places(first.priority) <= places(second.priority)
        if first.priority == second.priority:
            assert (rests(first), first.index) < (rests(second), second.index)
    assert in_run_order(run) == run


def test_an_order_without_a_priority_comes_after_all_that_have_one():
    last, first = Leg(0, OrderType.MARKET, qty_per=Decimal(5)), Leg(1, OrderType.LIMIT, priority=99)

    assert in_run_order([last, first]) == [first, last]
