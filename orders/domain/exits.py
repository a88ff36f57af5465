"""Exit goals (SPEC section 6a): decides what to do next, from what is known. Pure.

Two questions have an answer here. `next_step`: the last attempt of a goal is over, what now? `choose_cancels`: which of
the strategy account's own resting exits stand in the way of an exit, or exceed the position?
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from exchanges.adapters.protocol import MarketSpec
from exchanges.amounts import exact
from exchanges.enums import OrderType, Side
from orders.domain.enums import GoalState, OrderStatus
from orders.domain.reasons import TOO_SMALL

_NOTHING = Decimal(0)
_PERCENT = Decimal(100)

NOTHING_HELD = frozenset({"no_long_position", "no_short_position", "no_position"})
# A person has to act before another attempt can succeed. Attempts go on slowly, because the person acts elsewhere.
HOPELESS = frozenset(
    {
        "account_blocked", "authentication_failed", "credentials_unreadable", "hedge_mode", "market_closed",
        "markets_unavailable", "order_type_unsupported", "relative_price_unusable", "stop_wrong_side", "tick_unknown",
        "unknown_symbol",
    }
)  # fmt: skip
# The books or the balance are wrong about what can be closed: the exchange's holding is read before another attempt.
CONTRADICTIONS = frozenset({"insufficient_balance", "insufficient_margin", "reduce_only_rejected"})
STALE_MARKET = frozenset({"below_min_notional", "below_min_quantity", "filter_failure", "unknown_symbol"})
STOP_PASSED = "stop_would_trigger"
NOT_SENT = "not_sent"
HALTED = "halted"
COVERED = "exits_cover_position"
LOCKED = "coins_locked_by_stop"
ENDED_THERE = "exit_ended_at_exchange"
UNFILLED = "exit_unfilled"
IN_DOUBT = "entry_in_doubt"
WAITED_LONG = "exit_waited_long"

SHORTEST, LONGEST, SLOW = timedelta(seconds=1), timedelta(seconds=30), timedelta(seconds=60)
_WHILE_UNDER_WAY = timedelta(seconds=5)
_TELL_AFTER_REFUSALS = 5
_PACE_STEPS = 5  # 1, 2, 4, 8, 16, then 30 seconds


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last attempt of a goal. An attempt with an `ended_at` is over.

    `was_asked_to_end`: a cancel was committed, so the end is ours or a person's. `makes_room`: a newer exit of the same
    position, or a smaller position, made us cancel the attempt.
    """

    status: OrderStatus
    reason: str = ""
    filled: Decimal = _NOTHING
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    was_asked_to_end: bool = False
    makes_room: bool = False

    @property
    def was_denied_as(self) -> str:
        """The reason for which we did not send the attempt; empty for an attempt that was sent."""
        return self.reason if self.sent_at is None else ""


@dataclass(frozen=True, slots=True)
class GoalView:
    """What is known of a goal, when its last attempt is not under way any more. Amounts are base units.

    `held` is the signed position of the strategy account. `closed` sums the fills of the goal's attempts. `smallest` is
    the smallest quantity that the exchange lets anybody trade. `refusals` counts the last attempt too. `is_doubtful`:
    an entry from before the goal has an unknown outcome. `is_contradicted`: the exchange's holding is to be read before
    the next attempt. `is_halted`: a trading state lets no exit out. `is_superseded`: a newer market goal of the
    position exists. `gives_way`: a market goal of the position is not over yet. `left_before` is what was left to close
    when the last attempt was found over.
    """

    order_type: OrderType
    qty_per: Decimal
    last: Attempt
    refusals: int = 0
    side: Side | None = None
    to_remain: Decimal | None = None
    wanted: Decimal | None = None
    held: Decimal = _NOTHING
    closed: Decimal = _NOTHING
    smallest: Decimal = _NOTHING
    left_before: Decimal | None = None
    sends_passed_stop: bool = False
    is_doubtful: bool = False
    is_contradicted: bool = False
    is_halted: bool = False
    is_superseded: bool = False
    gives_way: bool = False
    ask_after: timedelta | None = None

    @property
    def rests(self) -> bool:
        return self.order_type is not OrderType.MARKET

    @property
    def is_full(self) -> bool:
        return not self.rests and self.qty_per == -_PERCENT


@dataclass(frozen=True, slots=True)
class Step:
    """What to do with a goal. `state` is the goal's state from now on, `due_at` the time of the next look.

    With `sends`, the next attempt goes out now, as an order of the type `order_type`.
    """

    state: GoalState
    reason: str = ""
    due_at: datetime | None = None
    sends: bool = False
    order_type: OrderType | None = None


@exact
def smallest_tradable(market: MarketSpec, price: Decimal | None, *, checks_notional: bool) -> Decimal:
    """Returns the smallest quantity of an exit in base units. The notional counts where a price is known."""
    least = max(market.min_quantity, market.lot_size)
    if checks_notional and price:
        return max(least, market.min_notional / price)
    return least


@exact
def left_to_close(
    *,
    held: Decimal,
    side: Side | None,
    qty_per: Decimal,
    rests: bool,
    to_remain: Decimal | None,
    wanted: Decimal | None,
    closed: Decimal,
) -> Decimal:
    """Returns the quantity that a goal still wants closed: never more than is held, never negative.

    `held` is signed; a position on the other side than `side` closes is nothing for this goal.
    """
    size = _NOTHING if side is not None and held * side.sign >= 0 else abs(held)
    if rests:
        asked = size * -qty_per / _PERCENT if wanted is None else wanted - closed
        return max(_NOTHING, min(asked, size))
    remain = size * (_PERCENT + qty_per) / _PERCENT if to_remain is None else to_remain
    return max(_NOTHING, size - remain)


def left_of(view: GoalView) -> Decimal:
    return left_to_close(
        held=view.held,
        side=view.side,
        qty_per=view.qty_per,
        rests=view.rests,
        to_remain=view.to_remain,
        wanted=view.wanted,
        closed=view.closed,
    )


def pace(refusals: int) -> timedelta:
    """Returns the wait after so many refusals in a row: 1, 2, 4, 8, 16, then 30 seconds."""
    if refusals > _PACE_STEPS:
        return LONGEST
    return timedelta(seconds=2 ** max(0, refusals - 1))


def is_refusal(last: Attempt) -> bool:
    """Whether an attempt ended with nothing done, and not because we asked. Such ends slow the next attempt down."""
    return last.ended_at is not None and not last.filled and not last.makes_room


def under_way(order_type: OrderType, last: Attempt, *, now: datetime) -> Step:
    """The step of a goal whose last attempt is not over."""
    at_exchange = last.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
    rests = order_type is not OrderType.MARKET and at_exchange
    return Step(GoalState.RESTING if rests else GoalState.WORKING, "", now + _WHILE_UNDER_WAY)


def next_step(view: GoalView, *, now: datetime) -> Step:
    """Decides what to do with a goal whose last attempt is over.

    The decision is the same whoever asks, and a second question changes nothing: a crash after any step leaves a goal
    whose next step is the same.
    """
    last = view.last
    if view.is_superseded:
        return Step(GoalState.SUPERSEDED)
    if _is_reached(view):
        return _reached_or_doubtful(view, now)
    if last.status is OrderStatus.CANCELED and last.was_asked_to_end and not last.makes_room:
        return Step(GoalState.ENDED)
    if last.makes_room and view.gives_way:
        return Step(GoalState.WORKING, "", now + SHORTEST)
    return _after_refusal(view, now) if is_refusal(last) else _after_progress(view, now)


def _is_reached(view: GoalView) -> bool:
    """Whether nothing is left to close that the exchange would let anybody trade.

    A full goal whose position has grown since, by an entry that was in doubt, goes on.
    """
    left = left_of(view)
    if not left or left < view.smallest:
        return True
    was_nothing = view.last.was_denied_as in NOTHING_HELD
    has_grown = was_nothing or (view.left_before is not None and left > view.left_before)
    if view.is_full and has_grown:
        return False
    is_small = view.last.reason in TOO_SMALL and not view.rests
    return is_small or view.last.was_denied_as in TOO_SMALL | NOTHING_HELD


def _reached_or_doubtful(view: GoalView, now: datetime) -> Step:
    """A full goal also closes what an entry of unknown outcome turns out to have bought."""
    if view.is_full and view.is_doubtful:
        return Step(GoalState.WORKING, IN_DOUBT, now + SHORTEST)
    said = view.last.reason in TOO_SMALL or view.last.was_denied_as in NOTHING_HELD
    return Step(GoalState.REACHED, view.last.reason if said else "")


def _after_progress(view: GoalView, now: datetime) -> Step:
    """The attempt did a part, or gave way to a newer exit: go on with the rest.

    A completely filled part of a large exit is followed at once. A stop order that triggered and ended early goes on at
    the market's price, because its trigger has been passed.
    """
    last, order_type = view.last, view.order_type
    if order_type.needs_stop_price and last.filled:
        order_type = OrderType.MARKET
    is_complete = last.status is OrderStatus.FILLED or last.makes_room
    due_at = now if is_complete else _after(last.sent_at, SHORTEST, now)
    return _send_or_ask(view, Step(GoalState.WORKING, "", due_at, due_at <= now, order_type), now)


def _after_refusal(view: GoalView, now: datetime) -> Step:
    reason = view.last.reason or (ENDED_THERE if view.rests else UNFILLED)
    if reason in (COVERED, LOCKED):
        return Step(GoalState.SUPERSEDED if reason == COVERED else GoalState.ENDED, reason)
    if _is_left_to_a_person(view, reason):
        return Step(GoalState.NEEDS_PERSON, reason, now + LONGEST)
    due_at = _after(view.last.ended_at, _wait_after(view, reason), now)
    is_told = reason in HOPELESS or view.is_halted or view.refusals >= _TELL_AFTER_REFUSALS
    sends = due_at <= now and not view.is_contradicted and not view.is_halted
    order_type = OrderType.MARKET if reason == STOP_PASSED else view.order_type
    state = GoalState.NEEDS_PERSON if is_told else GoalState.WORKING
    return _send_or_ask(view, Step(state, reason, due_at, sends, order_type), now)


def _is_left_to_a_person(view: GoalView, reason: str) -> bool:
    """Whether another attempt would only fight a person or the market: the goal is looked at, and nothing is sent."""
    was_ended_there = view.rests and view.last.status is OrderStatus.CANCELED
    return was_ended_there or reason == WAITED_LONG or (reason == STOP_PASSED and not view.sends_passed_stop)


def _wait_after(view: GoalView, reason: str) -> timedelta:
    """What provably never left this machine did not touch the exchange's patience, and goes again at once."""
    if view.is_halted:
        return LONGEST
    if reason in HOPELESS:
        return SLOW
    if reason == NOT_SENT and view.refusals <= 1:
        return timedelta(0)
    return pace(view.refusals)


def _after(moment: datetime | None, wait: timedelta, now: datetime) -> datetime:
    """A clock that was set back delays nothing: a moment that is still to come has passed."""
    if moment is None or moment - now > SHORTEST:
        return now
    return max(now, moment + wait)


def _send_or_ask(view: GoalView, step: Step, now: datetime) -> Step:
    """A market exit that nobody could send for a long time asks a person: the world may have changed meanwhile."""
    ended_at = view.last.ended_at
    if not step.sends or view.ask_after is None or ended_at is None or view.rests:
        return step
    if now - ended_at <= view.ask_after:
        return step
    return Step(GoalState.NEEDS_PERSON, WAITED_LONG, now + LONGEST)


@dataclass(frozen=True, slots=True)
class RestingExit:
    """An exit of the strategy account that rests at the exchange. `distance` grows with the way to its price."""

    key: int
    order_type: OrderType
    remaining: Decimal
    distance: Decimal

    @property
    def is_stop(self) -> bool:
        return self.order_type.needs_stop_price


def distance_of(
    side: Side, order_type: OrderType, price: Decimal | None, stop_price: Decimal | None
) -> Decimal:
    """Orders the resting exits of one side and kind: the larger, the farther from the market."""
    level = (stop_price if order_type.needs_stop_price else price) or _NOTHING
    sign = -side.sign  # a take profit that sells is farther the higher its price is
    return -sign * level if order_type.needs_stop_price else sign * level


def exits_to_cancel(
    resting: Iterable[RestingExit],
    *,
    held: Decimal,
    closing: Decimal = _NOTHING,
    by: OrderType | None = None,
    shares_coins: bool,
    clears_all: bool = False,
) -> list[int]:
    """Returns the keys of the resting exits that have to give way, the farthest first.

    `held` is the size of the position, `closing` the quantity of a new exit of the type `by`; without a new exit the
    resting exits only have to fit the position. The sum of the take profits, and the sum of the stops, may not exceed
    what the new exit leaves. With `shares_coins` (spot) both kinds lock the same coins: take profits give way first,
    and a stop gives way to no take profit. A market exit leaves stops where the kinds do not share coins, until the
    position is smaller: a stop at the exchange protects until then. `clears_all` cancels every exit.
    """
    listed = sorted(resting, key=lambda exit_: (exit_.distance, -exit_.key), reverse=True)
    if clears_all:
        return [exit_.key for exit_ in listed]
    takes = [exit_ for exit_ in listed if not exit_.is_stop]
    stops = [exit_ for exit_ in listed if exit_.is_stop]
    left = held - closing
    if shares_coins:
        kept_stops = stops if by is not None and not _displaces_stops(by) else []
        movable = [*takes, *(exit_ for exit_ in stops if exit_ not in kept_stops)]
        return _farthest_beyond(movable, left - _total(kept_stops))
    is_stop = by is not None and by.needs_stop_price
    takes_left = held if is_stop else left
    stops_left = left if is_stop else held
    return [*_farthest_beyond(takes, takes_left), *_farthest_beyond(stops, stops_left)]


def _displaces_stops(by: OrderType) -> bool:
    return by is OrderType.MARKET or by.needs_stop_price


def _farthest_beyond(exits: list[RestingExit], room: Decimal) -> list[int]:
    excess = _total(exits) - max(room, _NOTHING)
    canceled = []
    for exit_ in exits:
        if excess <= 0:
            break
        canceled.append(exit_.key)
        excess -= exit_.remaining
    return canceled


def _total(exits: Iterable[RestingExit]) -> Decimal:
    return sum((exit_.remaining for exit_ in exits), _NOTHING)


def room_for(
    order_type: OrderType, resting: Iterable[RestingExit], *, held: Decimal, shares_coins: bool
) -> Decimal:
    """Returns how much of the position the resting exits leave for another exit of this type."""
    same = [exit_ for exit_ in resting if shares_coins or exit_.is_stop == order_type.needs_stop_price]
    return max(_NOTHING, held - _total(same))
