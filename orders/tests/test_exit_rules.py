"""The pure decisions of exit goals: what follows an attempt, and what gives way to an exit."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType, OrderType, Side
from orders.domain.enums import GoalState, OrderStatus
from orders.domain.exits import (
    COVERED,
    ENDED_THERE,
    HALTED,
    HOPELESS,
    IN_DOUBT,
    LOCKED,
    LONGEST,
    NOT_SENT,
    SHORTEST,
    SLOW,
    STOP_PASSED,
    UNFILLED,
    WAITED_LONG,
    Attempt,
    GoalView,
    RestingExit,
    distance_of,
    exits_to_cancel,
    is_refusal,
    left_to_close,
    next_step,
    pace,
    room_for,
    smallest_tradable,
    under_way,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
WHOLE = Decimal(-100)
MARKET, LIMIT, STOP = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET


def ended(status=OrderStatus.REJECTED, reason="", *, ago_s=0, **more):
    """An attempt that was sent, and ended so many seconds ago."""
    at = NOW - timedelta(seconds=ago_s)
    return Attempt(status, reason, **({"sent_at": at, "ended_at": at} | more))


def denied(reason, *, ago_s=0):
    return ended(OrderStatus.DENIED, reason, ago_s=ago_s, sent_at=None)


def view(last, **more):
    given_ = {
        "order_type": MARKET, "qty_per": WHOLE, "side": Side.SELL, "to_remain": Decimal(0), "held": Decimal(1),
        "smallest": Decimal("0.001"), "refusals": 1,
    }  # fmt: skip
    return GoalView(last=last, **(given_ | more))


def step(last, **more):
    return next_step(view(last, **more), now=NOW)


# What is left


@pytest.mark.parametrize(
    ("held", "more", "left"),
    [
        ("1", {}, "1"),
        ("-1", {"side": None}, "1"),
        ("-1", {}, "0"),  # a long that is to be closed is gone
        ("0", {}, "0"),
        ("2", {"to_remain": "1"}, "1"),
        ("0.5", {"to_remain": "1"}, "0"),
        ("2", {"to_remain": None, "qty_per": "-25"}, "0.5"),
        ("2", {"rests": True, "wanted": "1.5", "closed": "1"}, "0.5"),
        ("0.2", {"rests": True, "wanted": "1.5", "closed": "1"}, "0.2"),
        ("2", {"rests": True, "wanted": "1", "closed": "1.5"}, "0"),
        ("2", {"rests": True, "wanted": None, "qty_per": "-50"}, "1"),
    ],
)
def test_what_is_left_to_close(held, more, left):
    amounts = {"to_remain": "0", "wanted": None, "closed": "0", "qty_per": "-100"} | more
    numbers = {name: Decimal(value) if isinstance(value, str) else value for name, value in amounts.items()}
    asked = {"side": Side.SELL, "rests": False} | numbers

    assert left_to_close(held=Decimal(held), **asked) == Decimal(left)


@pytest.mark.parametrize(
    ("price", "notional", "least"),
    [(None, True, "0.01"), ("100", False, "0.01"), ("100", True, "0.05"), ("1000", True, "0.01")],
)
def test_the_smallest_exit(price, notional, least):
    market = MarketSpec(
        symbol="BTC/USDT", exchange_symbol="BTCUSDT", market_type=MarketType.SPOT, base="BTC", quote="USDT",
        tick_size=Decimal("0.1"), lot_size=Decimal("0.01"), min_quantity=Decimal("0.001"), max_quantity=None,
        min_notional=Decimal(5),
    )  # fmt: skip

    smallest = smallest_tradable(market, Decimal(price) if price else None, checks_notional=notional)

    assert smallest == Decimal(least)


# While an attempt is under way


@pytest.mark.parametrize(
    ("order_type", "status", "state"),
    [
        (MARKET, OrderStatus.SUBMITTED, GoalState.WORKING),
        (MARKET, OrderStatus.ACCEPTED, GoalState.WORKING),
        (LIMIT, OrderStatus.SUBMITTED, GoalState.WORKING),
        (LIMIT, OrderStatus.ACCEPTED, GoalState.RESTING),
        (STOP, OrderStatus.PARTIALLY_FILLED, GoalState.RESTING),
    ],
)
def test_a_goal_rests_while_its_order_does(order_type, status, state):
    going = under_way(order_type, Attempt(status), now=NOW)

    assert (going.state, going.sends) == (state, False)
    assert going.due_at > NOW


# Reached


@pytest.mark.parametrize(
    ("last", "more", "reason"),
    [
        (ended(OrderStatus.FILLED, filled=Decimal(1)), {"held": Decimal(0)}, ""),
        (ended(OrderStatus.EXPIRED, filled=Decimal(1)), {"held": Decimal("0.0009")}, ""),
        (denied("no_long_position"), {"held": Decimal(0)}, "no_long_position"),
        (denied("below_min_notional"), {}, "below_min_notional"),
        (ended(reason="below_min_notional"), {}, "below_min_notional"),
        (ended(reason="reduce_only_rejected"), {"held": Decimal(0)}, ""),  # somebody else closed it
        (denied("below_lot"), {"qty_per": Decimal(-1), "held": Decimal("0.05")}, "below_lot"),
        (denied("no_position"), {"qty_per": Decimal(-50), "to_remain": None}, "no_position"),
    ],
)
def test_a_goal_is_reached_when_nothing_is_left_that_can_be_traded(last, more, reason):
    reached = step(last, **more)

    assert (reached.state, reached.reason, reached.due_at) == (GoalState.REACHED, reason, None)


def test_a_resting_exit_too_small_for_the_exchange_is_no_dust():
    assert step(ended(reason="below_min_notional"), order_type=LIMIT).state is GoalState.WORKING


def test_a_full_goal_waits_for_an_entry_in_doubt_and_closes_what_it_bought():
    last = denied("no_long_position")
    waiting = step(last, held=Decimal(0), is_doubtful=True)
    grown = step(denied("no_long_position", ago_s=60), held=Decimal(2), left_before=Decimal(0))
    booked_before_the_first_look = step(denied("no_long_position", ago_s=60), held=Decimal(2))

    assert (waiting.state, waiting.reason, waiting.sends) == (GoalState.WORKING, IN_DOUBT, False)
    assert (grown.state, grown.sends) == (GoalState.WORKING, True)
    assert (booked_before_the_first_look.state, booked_before_the_first_look.sends) == (
        GoalState.WORKING,
        True,
    )


def test_what_an_entry_turned_out_to_have_bought_is_closed_at_a_later_look_too():
    first = step(denied("no_position"), held=Decimal(2))
    second = step(denied("no_position", ago_s=60), held=Decimal(2), left_before=Decimal(2))

    assert (first.state, first.sends) == (GoalState.WORKING, False)  # a second after the refusal
    assert (second.state, second.sends) == (GoalState.WORKING, True)


def test_a_partial_goal_waits_for_no_entry():
    assert step(denied("no_position"), held=Decimal(0), qty_per=Decimal(-50), is_doubtful=True).state is (
        GoalState.REACHED
    )


# Over


def test_a_newer_goal_takes_the_place_of_an_older_one():
    assert step(ended(reason="clock_skew"), is_superseded=True).state is GoalState.SUPERSEDED


def test_a_person_ends_a_goal_and_a_newer_exit_only_interrupts_it():
    canceled = ended(OrderStatus.CANCELED, was_asked_to_end=True)
    gave_way = ended(OrderStatus.CANCELED, was_asked_to_end=True, makes_room=True)

    assert step(canceled, order_type=LIMIT).state is GoalState.ENDED
    waits = step(gave_way, order_type=LIMIT, gives_way=True)
    assert (waits.state, waits.sends, waits.due_at) == (GoalState.WORKING, False, NOW + SHORTEST)
    back = step(gave_way, order_type=LIMIT)
    assert (back.state, back.sends, back.order_type) == (GoalState.WORKING, True, LIMIT)


@pytest.mark.parametrize(("reason", "state"), [(COVERED, GoalState.SUPERSEDED), (LOCKED, GoalState.ENDED)])
def test_an_exit_without_room_is_over(reason, state):
    assert step(denied(reason), order_type=LIMIT).state is state


# Progress


def test_a_part_that_filled_is_followed_at_once():
    after = step(ended(OrderStatus.FILLED, filled=Decimal(120)), held=Decimal(180))

    assert (after.state, after.sends, after.due_at) == (GoalState.WORKING, True, NOW)


def test_a_part_that_a_thin_book_gave_is_followed_a_second_later():
    thin = ended(OrderStatus.EXPIRED, filled=Decimal(3))

    assert (step(thin).sends, step(thin).due_at) == (False, NOW + SHORTEST)
    assert step(ended(OrderStatus.EXPIRED, filled=Decimal(3), ago_s=1)).sends


def test_a_stop_that_fired_and_ended_early_goes_on_at_the_market():
    after = step(ended(OrderStatus.EXPIRED, filled=Decimal(3), ago_s=2), order_type=STOP, wanted=Decimal(5))

    assert (after.sends, after.order_type) == (True, MARKET)


# Refusals


@pytest.mark.parametrize(
    ("refusals", "wait_s"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (1000, 30)]
)
def test_the_pace_grows_to_thirty_seconds(refusals, wait_s):
    assert pace(refusals) == timedelta(seconds=wait_s)


@pytest.mark.parametrize(
    "reason",
    [
        "clock_skew",
        "price_band",
        "filter_failure",
        "insufficient_margin",
        "overloaded",
        "throttled",
        "rejected",
        "",
    ],
)
def test_a_refusal_changes_only_when_the_next_attempt_goes(reason):
    waiting, due = step(ended(reason=reason)), step(ended(reason=reason, ago_s=1))

    assert (waiting.state, waiting.sends, waiting.due_at) == (GoalState.WORKING, False, NOW + SHORTEST)
    assert (due.state, due.sends, due.order_type) == (GoalState.WORKING, True, MARKET)
    assert waiting.reason == (reason or UNFILLED)


def test_a_person_is_told_of_the_fifth_refusal_in_a_row_and_the_goal_goes_on():
    told = step(ended(reason="price_band", ago_s=16), refusals=5)

    assert (told.state, told.sends) == (GoalState.NEEDS_PERSON, True)


@pytest.mark.parametrize("reason", sorted(HOPELESS))
def test_what_a_person_has_to_mend_is_told_at_once_and_tried_slowly(reason):
    told, later = step(ended(reason=reason)), step(ended(reason=reason, ago_s=60))

    assert (told.state, told.sends, told.due_at) == (GoalState.NEEDS_PERSON, False, NOW + SLOW)
    assert (later.state, later.sends) == (GoalState.NEEDS_PERSON, True)


def test_what_never_left_goes_again_at_once_and_then_at_the_pace():
    assert step(ended(reason=NOT_SENT)).sends
    assert step(ended(reason=NOT_SENT), refusals=2).due_at == NOW + timedelta(seconds=2)


def test_a_stop_beyond_its_trigger_is_put_before_a_person_or_sent_at_the_market():
    passed = ended(reason=STOP_PASSED, ago_s=1)
    asked = step(passed, order_type=STOP)
    sent = step(passed, order_type=STOP, sends_passed_stop=True)

    assert (asked.state, asked.sends, asked.due_at) == (GoalState.NEEDS_PERSON, False, NOW + LONGEST)
    assert (sent.state, sent.sends, sent.order_type) == (GoalState.WORKING, True, MARKET)


def test_an_exit_that_somebody_canceled_at_the_exchange_is_put_before_a_person():
    found = step(ended(OrderStatus.CANCELED, ago_s=60), order_type=LIMIT)

    assert (found.state, found.reason, found.sends) == (GoalState.NEEDS_PERSON, ENDED_THERE, False)


def test_an_exit_that_the_exchange_threw_out_is_sent_again():
    again = step(ended(OrderStatus.EXPIRED, ago_s=1), order_type=LIMIT)

    assert (again.state, again.reason, again.sends) == (GoalState.WORKING, ENDED_THERE, True)


def test_nothing_is_sent_while_the_holding_is_to_be_read_or_trading_is_halted():
    contradicted = step(ended(reason="reduce_only_rejected", ago_s=5), is_contradicted=True)
    halted = step(denied(HALTED, ago_s=60), is_halted=True)
    active_again = step(denied(HALTED, ago_s=60))

    assert (contradicted.state, contradicted.sends) == (GoalState.WORKING, False)
    assert (halted.state, halted.sends, halted.due_at) == (GoalState.NEEDS_PERSON, False, NOW)
    assert active_again.sends


def test_a_market_exit_that_nobody_could_send_for_long_asks_first():
    hour = timedelta(hours=1)
    late = step(ended(reason="overloaded", ago_s=3601), ask_after=hour)
    in_time = step(ended(reason="overloaded", ago_s=3600), ask_after=hour)
    rests = step(ended(reason="overloaded", ago_s=3601), ask_after=hour, order_type=LIMIT)
    asked = step(denied(WAITED_LONG, ago_s=5), ask_after=hour)

    assert (late.state, late.reason, late.sends) == (GoalState.NEEDS_PERSON, WAITED_LONG, False)
    assert in_time.sends
    assert rests.sends
    assert (asked.state, asked.sends) == (GoalState.NEEDS_PERSON, False)


def test_a_clock_that_was_set_back_delays_nothing():
    ahead, a_little = (
        step(ended(reason="clock_skew", ago_s=-300)),
        step(ended(reason="clock_skew", ago_s=-0.1)),
    )

    assert (ahead.sends, ahead.due_at) == (True, NOW)
    assert not a_little.sends


def test_only_an_end_without_a_fill_slows_the_next_attempt_down():
    assert is_refusal(ended())
    assert not is_refusal(ended(OrderStatus.EXPIRED, filled=Decimal(1)))
    assert not is_refusal(ended(OrderStatus.CANCELED, makes_room=True))
    assert not is_refusal(Attempt(OrderStatus.SUBMITTED))


# What gives way


def resting(key, quantity, distance, order_type=LIMIT):
    return RestingExit(key, order_type, Decimal(quantity), Decimal(distance))


NEAR, FAR = resting(1, "1", "101"), resting(2, "1", "102")
NEAR_STOP, FAR_STOP = resting(3, "1", "-90", STOP), resting(4, "1", "-80", STOP)


@pytest.mark.parametrize(
    ("exits", "held", "more", "canceled"),
    [
        ([NEAR, FAR], "2", {}, []),
        ([NEAR, FAR], "1", {}, [2]),
        ([NEAR, FAR], "0", {}, [2, 1]),
        ([NEAR, NEAR_STOP], "1", {}, []),
        ([NEAR, NEAR_STOP], "1", {"shares_coins": True}, [1]),
        ([NEAR, FAR, NEAR_STOP], "2", {"closing": "2", "by": MARKET}, [2, 1]),
        ([NEAR, FAR, NEAR_STOP], "2", {"closing": "1", "by": MARKET}, [2]),
        ([NEAR, NEAR_STOP], "1", {"closing": "1", "by": MARKET, "shares_coins": True}, [1, 3]),
        ([NEAR, NEAR_STOP], "2", {"closing": "1", "by": LIMIT, "shares_coins": True}, [1]),
        ([NEAR, NEAR_STOP], "2", {"closing": "1", "by": STOP, "shares_coins": True}, [1]),
        ([NEAR_STOP, FAR_STOP], "2", {"closing": "1", "by": STOP}, [4]),
        ([NEAR_STOP], "1", {"closing": "1", "by": LIMIT}, []),
        ([NEAR, NEAR_STOP], "1", {"clears_all": True}, [1, 3]),
    ],
)
def test_the_farthest_exits_give_way_first(exits, held, more, canceled):
    asked = {"shares_coins": False} | more
    asked |= {"closing": Decimal(more["closing"])} if "closing" in more else {}

    assert exits_to_cancel(exits, held=Decimal(held), **asked) == canceled


def test_the_distance_grows_with_the_way_to_the_price():
    assert distance_of(Side.SELL, LIMIT, Decimal(102), None) > distance_of(
        Side.SELL, LIMIT, Decimal(101), None
    )
    assert distance_of(Side.BUY, LIMIT, Decimal(98), None) > distance_of(Side.BUY, LIMIT, Decimal(99), None)
    assert distance_of(Side.SELL, STOP, None, Decimal(80)) > distance_of(Side.SELL, STOP, None, Decimal(90))
    assert distance_of(Side.BUY, STOP, None, Decimal(120)) > distance_of(Side.BUY, STOP, None, Decimal(110))


@pytest.mark.parametrize(
    ("order_type", "shares_coins", "room"),
    [(LIMIT, False, "1"), (STOP, False, "2"), (LIMIT, True, "0"), (STOP, True, "0")],
)
def test_the_room_that_resting_exits_leave(order_type, shares_coins, room):
    exits = [NEAR, FAR, NEAR_STOP]

    assert room_for(order_type, exits, held=Decimal(3), shares_coins=shares_coins) == Decimal(room)


quantities = st.decimals("0.1", "5", places=1)
exits_ = st.lists(st.tuples(quantities, st.integers(1, 99), st.booleans()), max_size=6).map(
    lambda rows: [
        resting(key, quantity, distance, STOP if is_stop else LIMIT)
        for key, (quantity, distance, is_stop) in enumerate(rows)
    ]
)


@given(exits_, st.decimals("0", "10", places=1), st.booleans())
def test_what_stays_fits_the_position_and_nothing_gives_way_without_need(exits, held, shares_coins):
    canceled = exits_to_cancel(exits, held=held, shares_coins=shares_coins)

    def total(keep, is_stop):
        return sum((e.remaining for e in exits if keep(e) and e.is_stop == is_stop), Decimal(0))

    def fits(keep):
        takes, stops = total(keep, False), total(keep, True)
        return takes + stops <= held if shares_coins else max(takes, stops) <= held

    assert fits(lambda e: e.key not in canceled)
    for key in canceled:
        kind = {e.key: e.is_stop for e in exits}[key]
        later = canceled[canceled.index(key) :]
        same = [k for k in later if shares_coins or {e.key: e.is_stop for e in exits}[k] == kind]
        assert not fits(lambda e, same=same: e.key not in set(canceled) - set(same))
    assert (
        exits_to_cancel([e for e in exits if e.key not in canceled], held=held, shares_coins=shares_coins)
        == []
    )
