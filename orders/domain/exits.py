"""Exit goals (SPEC section 6a): decides what to do next, from what is known. Pure.

Two questions have an answer here. `next_step`: the last attempt of a goal is over, what now? `choose_cancels`: which of
the strategy account's own resting exits stand in the way of an exit, or exceed the position?
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from exchanges.adapters.protocol import MarketSpec
from exchanges.amounts import exact, floor_to_step
from exchanges.enums import OrderType, Side
from orders.domain.enums import GoalState, OrderStatus
from orders.domain.reasons import TOO_SMALL

_NOTHING = Decimal(0)
_PERCENT = Decimal(100)

NOTHING_HELD = frozenset({"no_long_position", "no_short_position", "no_position"})
# A person has to act before another attempt can succeed. Attempts go on slowly, because the person acts elsewhere.
HOPELESS = frozenset(
    {
        "account_blocked", "authentication_failed", "credentials_unreadable", "exit_only_by_person", "hedge_mode",
        "market_closed", "markets_unavailable", "order_type_unsupported", "unknown_symbol",
    }
)  # fmt: skip
# The books or the balance are wrong about what can be closed: the exchange's holding is read before another attempt.
CONTRADICTIONS = frozenset({"insufficient_balance", "insufficient_margin", "reduce_only_rejected"})
STOP_PASSED = "stop_would_trigger"
NOT_SENT = "not_sent"
COVERED = "exits_cover_position"
LOCKED = "coins_locked_by_stop"
ENDED_THERE = "exit_ended_at_exchange"

SHORTEST, LONGEST = timedelta(seconds=1), timedelta(seconds=30)
_TELL_AFTER_REFUSALS = 5
_PACE_STEPS = 5  # 1, 2, 4, 8, 16, then 30 seconds


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last attempt of a goal. `was_asked_to_end`: a cancel was committed, so the end is ours or a person's.

    `makes_room`: a newer exit of the same position canceled the attempt.
    """

    status: OrderStatus
    reason: str = ""
    order_type: OrderType = OrderType.MARKET
    quantity: Decimal | None = None
    filled: Decimal = _NOTHING
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    was_asked_to_end: bool = False
    makes_room: bool = False

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None


@dataclass(frozen=True, slots=True)
class GoalView:
    """What is known of a goal. Amounts are base units.

    `held` is the signed position of the strategy account. `closed` sums the fills of the goal's attempts. `smallest` is
    the smallest quantity that the exchange lets anybody trade. `is_doubtful`: an entry from before the goal has an
    unknown outcome. `is_contradicted`: the exchange's holding is to be read before the next attempt. `is_blocked`: a
    trading state lets no exit out. `makes_room_for_newer`: a newer market exit of the position is not over yet.
    """

    order_type: OrderType
    qty_per: Decimal
    state: GoalState
    created_at: datetime
    refusals: int = 0
    reason: str = ""
    side: Side | None = None
    to_remain: Decimal | None = None
    wanted: Decimal | None = None
    held: Decimal = _NOTHING
    closed: Decimal = _NOTHING
    smallest: Decimal = _NOTHING
    last: Attempt | None = None
    sends_passed_stop: bool = False
    is_doubtful: bool = False
    is_contradicted: bool = False
    is_blocked: bool = False
    is_superseded: bool = False
    makes_room_for_newer: bool = False
    ask_after: timedelta | None = None

    @property
    def rests(self) -> bool:
        return self.order_type is not OrderType.MARKET

    @property
    def is_full(self) -> bool:
        return not self.rests and self.qty_per == -_PERCENT


@dataclass(frozen=True, slots=True)
class Step:
    """What to do with a goal. `state` is the goal's state from now on.

    `due_at` is the time of the next look at the goal; with `sends`, the next attempt goes out then, as an order of the
    type `order_type`. Without `due_at` the goal waits for a person or is over.
    """

    state: GoalState
    reason: str = ""
    due_at: datetime | None = None
    sends: bool = False
    order_type: OrderType | None = None
    refusals: int = 0
    remaining: Decimal = _NOTHING

    @property
    def is_over(self) -> bool:
        return self.state in (GoalState.REACHED, GoalState.SUPERSEDED, GoalState.ENDED)


@exact
def smallest_tradable(market: MarketSpec, price: Decimal | None, *, checks_notional: bool) -> Decimal:
    """Returns the smallest quantity of an exit in base units. The notional counts where a price is known."""
    least = max(market.min_quantity, market.lot_size)
    if checks_notional and price:
        return max(least, market.min_notional / price)
    return least


@exact
def left_to_close(view: GoalView) -> Decimal:
    """Returns the quantity that the goal still wants closed: never more than is held, never negative."""
    held = abs(view.held) if view.side is None or view.held * view.side.sign < 0 else _NOTHING
    if view.rests:
        wanted = held * -view.qty_per / _PERCENT if view.wanted is None else view.wanted - view.closed
        return max(_NOTHING, min(wanted, held))
    remain = held * (1 + view.qty_per / _PERCENT) if view.to_remain is None else view.to_remain
    return max(_NOTHING, held - remain)


def pace(refusals: int) -> timedelta:
    """Returns the wait after so many refusals in a row: 1, 2, 4, 8, 16, then 30 seconds."""
    if refusals > _PACE_STEPS:
        return LONGEST
    return SHORTEST * 2 ** max(0, refusals - 1)


def next_step(view: GoalView, *, now: datetime) -> Step:
    """Decides what to do with a goal now.

    The decision is the same whoever asks, and a second question changes nothing: a crash after any step leaves a goal
    whose next step is the same.
    """
    last, remaining = view.last, left_to_close(view)
    if last is None or not last.is_over:
        return _while_under_way(view, remaining, now)
    if view.is_superseded:
        return Step(GoalState.SUPERSEDED)
    if _is_reached(view, last, remaining):
        return _reached_or_doubtful(view, last, remaining, now)
    if last.status is OrderStatus.CANCELED and last.was_asked_to_end and not last.makes_room:
        return Step(GoalState.ENDED, "canceled_before_sending" if last.sent_at is None else "", None)
    step = _after_refusal(view, last, now) if _was_refused(view, last) else _after_progress(view, last, now)
    return _with(step, remaining=remaining, due_at=step.due_at)


def _while_under_way(view: GoalView, remaining: Decimal, now: datetime) -> Step:
    at_exchange = view.last is not None and view.last.status in (
        OrderStatus.ACCEPTED,
        OrderStatus.PARTIALLY_FILLED,
    )
    state = GoalState.RESTING if view.rests and at_exchange else GoalState.WORKING
    return Step(state, view.reason, now + SHORTEST, refusals=view.refusals, remaining=remaining)


def _is_reached(view: GoalView, last: Attempt, remaining: Decimal) -> bool:
    if last.reason in TOO_SMALL or (last.reason in NOTHING_HELD and last.sent_at is None):
        return True
    return remaining < view.smallest or not remaining


def _reached_or_doubtful(view: GoalView, last: Attempt, remaining: Decimal, now: datetime) -> Step:
    """A full goal also closes what an entry of unknown outcome turns out to have bought."""
    if view.is_full and view.is_doubtful:
        return Step(
            GoalState.WORKING, "entry_in_doubt", now + SHORTEST, refusals=view.refusals, remaining=remaining
        )
    was_sized = last.sent_at is None and last.reason in (TOO_SMALL | NOTHING_HELD)
    return Step(GoalState.REACHED, last.reason if was_sized else "", remaining=remaining)


def _was_refused(view: GoalView, last: Attempt) -> bool:
    """Whether the last attempt ended with nothing done, and not because we asked."""
    return not last.filled and not last.makes_room


def _after_progress(view: GoalView, last: Attempt, now: datetime) -> Step:
    """The attempt did a part, or gave way to a newer exit: go on with the rest.

    A completely filled part of a large exit is followed at once. A stop order that triggered and ended early goes on at
    the market's price, because its trigger has been passed.
    """
    if last.makes_room and view.makes_room_for_newer:
        return Step(GoalState.WORKING, view.reason, now + SHORTEST)
    order_type = view.order_type
    if view.rests and order_type.needs_stop_price and last.filled:
        order_type = OrderType.MARKET
    is_complete = last.status is OrderStatus.FILLED or last.makes_room
    due_at = now if is_complete else _not_before(last, SHORTEST, now)
    return Step(GoalState.WORKING, "", due_at, sends=due_at <= now, order_type=order_type)


def _not_before(last: Attempt, wait: timedelta, now: datetime) -> datetime:
    """A clock that was set back delays nothing: the wait counts from now at most."""
    since = min(last.sent_at or last.ended_at or now, now)
    return max(now, since + wait)


def _after_refusal(view: GoalView, last: Attempt, now: datetime) -> Step:
    refusals = view.refusals
    reason = last.reason or (ENDED_THERE if view.rests else "exit_unfilled")
    if reason in (COVERED, LOCKED):
        return Step(GoalState.SUPERSEDED if reason == COVERED else GoalState.ENDED, reason)
    if view.rests and last.status is OrderStatus.CANCELED:
        return Step(GoalState.NEEDS_PERSON, ENDED_THERE)
    if reason == STOP_PASSED and not view.sends_passed_stop:
        return Step(GoalState.NEEDS_PERSON, reason)
    if reason == "exit_waited_long":
        return Step(GoalState.NEEDS_PERSON, reason)
    due_at = _due_after_refusal(view, last, reason, now)
    state = GoalState.WORKING
    if reason in HOPELESS or view.is_blocked or refusals >= _TELL_AFTER_REFUSALS:
        state = GoalState.NEEDS_PERSON
    order_type = OrderType.MARKET if reason == STOP_PASSED else view.order_type
    sends = due_at <= now and not view.is_contradicted and not view.is_blocked
    return Step(state, reason, due_at, sends=sends, order_type=order_type, refusals=refusals)


def _due_after_refusal(view: GoalView, last: Attempt, reason: str, now: datetime) -> datetime:
    """`refusals` counts this refusal already. What never left this machine did not touch the exchange's patience."""
    if reason in HOPELESS or view.is_blocked:
        wait = LONGEST
    elif reason == NOT_SENT and view.refusals <= 1:
        wait = timedelta(0)
    else:
        wait = pace(view.refusals)
    return max(now, min(last.ended_at or now, now) + wait)


def _with(step: Step, *, remaining: Decimal, due_at: datetime | None) -> Step:
    return Step(step.state, step.reason, due_at, step.sends, step.order_type, step.refusals, remaining)
