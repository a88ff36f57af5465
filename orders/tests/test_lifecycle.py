import re
from itertools import pairwise

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from orders.domain.enums import Evidence, OrderStatus
from orders.domain.lifecycle import (
    FAILED,
    FINAL,
    IN_FLIGHT,
    LATE_EVIDENCE,
    MAY_BECOME,
    OPEN,
    WORKING,
    IllegalTransition,
    may_become,
    replay_events,
    require_transition,
    sources_of,
)
from orders.models import OpenOrder, Order
from orders.models.transitions import Transition
from tests.desk import BTC_LIMIT

SPEC = """
initialized: queued, denied, submitted, canceled
queued: initialized, canceled, denied
denied:
submitted: accepted, partially_filled, filled, rejected, canceled, expired, pending_cancel
accepted: partially_filled, filled, pending_cancel, canceled, expired, rejected
partially_filled: filled, pending_cancel, canceled, expired
pending_cancel: accepted, partially_filled, filled, canceled, expired
filled:
rejected:
expired:
canceled:
"""
SPEC_LATE = """
canceled: filled, partially_filled
expired: accepted, partially_filled, filled
rejected: accepted, partially_filled, filled
"""

statuses = st.sampled_from(list(OrderStatus))


def table(text):
    rows = (line.split(":") for line in text.strip().splitlines())
    return {
        OrderStatus(name): {OrderStatus(word) for word in re.findall(r"\w+", rest)} for name, rest in rows
    }


def test_the_table_is_that_of_the_contract():
    assert table(SPEC) == MAY_BECOME
    assert table(SPEC_LATE) == LATE_EVIDENCE


def test_the_groups_are_those_of_the_contract():
    assert {"submitted", "pending_cancel"} == IN_FLIGHT
    assert {"submitted", "accepted", "partially_filled", "pending_cancel"} == OPEN
    assert {"denied", "rejected"} == FAILED
    assert {"accepted", "partially_filled", "pending_cancel"} == WORKING
    assert {"denied", "filled", "rejected", "expired", "canceled"} == FINAL


@pytest.mark.parametrize("source", OrderStatus)
@pytest.mark.parametrize("target", OrderStatus)
@pytest.mark.parametrize("late", [False, True])
def test_the_questions_agree_with_each_other(source, target, late):
    allowed = may_become(source, target, late=late)

    assert (source in sources_of(target, late=late)) is allowed
    assert not (allowed and source is target)
    if allowed:
        require_transition(source, target, late=late)
    else:
        with pytest.raises(IllegalTransition):
            require_transition(source, target, late=late)


def test_what_is_over_changes_only_on_late_evidence():
    assert sources_of(OrderStatus.FILLED).isdisjoint(FINAL)
    assert sources_of(OrderStatus.FILLED, late=True) >= {OrderStatus.CANCELED, OrderStatus.EXPIRED}


def test_a_denied_order_never_reaches_the_exchange():
    assert not any(may_become(OrderStatus.DENIED, target, late=True) for target in OrderStatus)


def test_a_recorded_life_ends_where_it_says():
    life = ["initialized", "submitted", "accepted", "pending_cancel", "canceled", "filled"]
    changes = [(OrderStatus(a), OrderStatus(b)) for a, b in pairwise(life)]

    assert replay_events([]) is OrderStatus.INITIALIZED
    assert replay_events(changes) is OrderStatus.FILLED


def test_a_gap_in_a_recorded_life_is_illegal():
    with pytest.raises(IllegalTransition, match="initialized may not become filled"):
        replay_events([(OrderStatus.ACCEPTED, OrderStatus.FILLED)])


@settings(max_examples=500, deadline=None)
@given(st.lists(statuses, min_size=1, max_size=8))
def test_a_life_is_legal_exactly_if_each_step_is(walk):
    life = [OrderStatus.INITIALIZED, *walk]
    steps = list(pairwise(life))

    if all(may_become(*step, late=True) for step in steps):
        assert replay_events(steps) is life[-1]
    else:
        with pytest.raises(IllegalTransition):
            replay_events(steps)


@pytest.mark.django_db(transaction=True)
def test_an_order_that_somebody_else_moved_is_read_again_also_from_the_page_of_open_orders(deliver, test1):
    deliver(test1.alert(BTC_LIMIT))
    stale = OpenOrder.objects.first()
    row = Order.objects.get(pk=stale.pk)
    Order.objects.transition([change(row, OrderStatus.CANCELED)])

    moved = OpenOrder.objects.transition([change(stale, OrderStatus.PENDING_CANCEL)])

    assert (moved, stale.status) == (set(), OrderStatus.CANCELED)


def change(order, target):
    return Transition(order, target, timezone.now(), Evidence.OPERATOR, "user:1")
