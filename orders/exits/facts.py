"""Reads what is known of exit goals, for the pure decisions of `orders.domain.exits`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import Max, Q

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType, OrderType, Side, TradingState
from exchanges.market_data import prices
from orders.domain.enums import GoalState, OrderStatus
from orders.domain.exits import CONTRADICTIONS, HALTED, Attempt, GoalView, is_refusal, smallest_tradable
from orders.domain.keys import HoldingKey, PositionKey
from orders.domain.lifecycle import FINAL, IN_FLIGHT
from orders.models import ExitGoal, HoldingCheck, Order, OrderEvent, Position, Protection
from strategies.models import StrategyAccount, SystemRisk
from strategies.models.strategy import PassedStop

_READ_WITHIN = timedelta(seconds=10)  # an exit waits at most so long for the exchange's holding
Specs = Mapping[int, MarketSpec | None]  # by goal


@dataclass(slots=True)
class Facts:
    """What is known of the goals. `last_orders`, `closed`, `doubtful` and `halted` are by goal."""

    now: datetime
    last_orders: dict[int, Order] = field(default_factory=dict)
    closed: dict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    positions: dict[PositionKey, Decimal] = field(default_factory=dict)
    asked_to_end: set[int] = field(default_factory=set)  # orders
    doubtful: set[int] = field(default_factory=set)
    position_pks: dict[PositionKey, int] = field(default_factory=dict)
    newest_market_goal: dict[PositionKey, int] = field(default_factory=dict)
    working_market_goals: set[PositionKey] = field(default_factory=set)
    checked_at: dict[HoldingKey, datetime] = field(default_factory=dict)
    halted: set[int] = field(default_factory=set)

    def held(self, goal: ExitGoal) -> Decimal:
        return self.positions.get(goal.position_key, Decimal(0))


def read_facts(goals: Sequence[ExitGoal], *, now: datetime) -> Facts:
    """Reads the facts of the goals. The number of statements does not depend on the number of goals."""
    facts = Facts(now)
    if not goals:
        return facts
    # Doubts before positions: fills that are booked in between leave a doubt here, and the goal is looked at again.
    _read_doubts(goals, facts)
    _read_attempts(goals, facts)
    keys = {goal.position_key for goal in goals}
    columns = ("strategy_account_id", "symbol")
    for pk, quantity, *key in _of(keys, Position.objects.held()).values_list("pk", "quantity", *columns):
        facts.positions[PositionKey(*key)] = quantity
        facts.position_pks[PositionKey(*key)] = pk
    market_goals = ExitGoal.objects.pursued().filter(order_type=OrderType.MARKET)
    for pk, state, *key in (
        _of(keys, market_goals).order_by("batch_id", "sequence", "pk").values_list("pk", "state", *columns)
    ):
        facts.newest_market_goal[PositionKey(*key)] = pk
        if state == GoalState.WORKING:
            facts.working_market_goals.add(PositionKey(*key))
    _read_refusals(goals, facts)
    return facts


def _of(keys: Iterable[PositionKey], rows):  # type: ignore[no-untyped-def]  # the same kind of rows come back
    wanted = set(keys)
    return rows.filter(
        strategy_account__in={key.strategy_account_id for key in wanted},
        symbol__in={key.symbol for key in wanted},
    )


def _read_doubts(goals: Sequence[ExitGoal], facts: Facts) -> None:
    full = [goal for goal in goals if goal.is_full]
    if not full:
        return
    rows = _of({goal.position_key for goal in full}, Order.objects.filter(goal__isnull=True))
    rows = rows.filter(Q(status__in=IN_FLIGHT) | Q(unknown_since__isnull=False)).exclude(status__in=FINAL)
    entries = list(rows.values_list("strategy_account_id", "symbol", "created_at"))
    for goal in full:
        key = goal.position_key
        if any((pk, symbol) == key and at <= goal.created_at for pk, symbol, at in entries):
            facts.doubtful.add(goal.pk)


def _read_attempts(goals: Sequence[ExitGoal], facts: Facts) -> None:
    attempts = Order.objects.filter(goal__in=goals).order_by()
    last = dict(attempts.values_list("goal_id").annotate(last=Max("attempt")))
    for order in attempts.filter(attempt__in=set(last.values())):
        if order.goal_id is not None and order.attempt == last[order.goal_id]:
            facts.last_orders[order.goal_id] = order
    for goal, filled in attempts.exclude(filled=0).values_list("goal_id", "filled"):
        facts.closed[goal] += filled
    canceled = [o.pk for o in facts.last_orders.values() if o.status == OrderStatus.CANCELED]
    if canceled:
        asked = OrderEvent.objects.filter(order__in=canceled, to_status=OrderStatus.PENDING_CANCEL)
        facts.asked_to_end |= set(asked.values_list("order_id", flat=True))


def _read_refusals(goals: Sequence[ExitGoal], facts: Facts) -> None:
    """Reads what some refusals ask about: the check of the holding, and the trading states."""
    reasons = {pk: order.reason for pk, order in facts.last_orders.items()}
    contradicted = [goal for goal in goals if reasons.get(goal.pk) in CONTRADICTIONS]
    if contradicted:
        rows = HoldingCheck.objects.filter(
            account__in={goal.account_id for goal in contradicted},
            symbol__in={goal.symbol for goal in contradicted},
            checked_at__isnull=False,
        )
        for check in rows:
            if check.checked_at is not None:
                key = HoldingKey(check.account_id, check.market_type, check.symbol)
                facts.checked_at[key] = check.checked_at
    halted = [goal for goal in goals if reasons.get(goal.pk) == HALTED]
    if halted:
        facts.halted = still_halted(halted)


def still_halted(goals: Sequence[ExitGoal] | Sequence[Protection]) -> set[int]:
    """The primary keys of the goals, or of the protections, whose trading state lets no exit out."""
    if SystemRisk.current().trading_state == TradingState.HALTED:
        return {goal.pk for goal in goals}
    levels = Q(trading_state=TradingState.HALTED)
    levels |= Q(account__trading_state=TradingState.HALTED) | Q(strategy__trading_state=TradingState.HALTED)
    rows = StrategyAccount.objects.filter(levels, pk__in={goal.strategy_account_id for goal in goals})
    halted = set(rows.values_list("pk", flat=True))
    return {goal.pk for goal in goals if goal.strategy_account_id in halted}


def attempt_of(order: Order, facts: Facts) -> Attempt:
    is_over = order.status in FINAL and order.closed_at is not None
    never_sent = order.submitted_at is None
    return Attempt(
        status=OrderStatus(order.status),
        reason=order.reason,
        filled=order.filled,
        sent_at=order.submitted_at,
        ended_at=order.closed_at if is_over else None,
        was_asked_to_end=never_sent or order.pk in facts.asked_to_end,
        makes_room=order.canceled_for_id is not None or order.reason == "exit_makes_room",
    )


def holding_key(goal: ExitGoal) -> HoldingKey:
    return HoldingKey(goal.account_id, goal.market_type, goal.symbol)


def view_of(
    goal: ExitGoal, last: Attempt, facts: Facts, market: MarketSpec | None, *, notional: bool
) -> GoalView:
    """The view of a goal whose last attempt is over. `notional`: the exchange checks the notional of exits."""
    newest = facts.newest_market_goal.get(goal.position_key)
    return GoalView(
        order_type=OrderType(goal.order_type),
        qty_per=goal.qty_per,
        last=last,
        refusals=goal.refusals,
        side=Side(goal.side) if goal.side else None,
        to_remain=goal.to_remain,
        wanted=goal.wanted,
        held=facts.held(goal),
        closed=facts.closed[goal.pk],
        smallest=smallest_of(goal, market, now=facts.now, notional=notional),
        left_before=goal.remaining,
        sends_passed_stop=goal.protection_id is not None or goal.strategy.passed_stop == PassedStop.MARKET,
        is_doubtful=goal.pk in facts.doubtful,
        is_contradicted=_is_contradicted(goal, last, facts),
        is_halted=goal.pk in facts.halted,
        is_superseded=not goal.rests and newest is not None and newest != goal.pk,
        gives_way=_gives_way(goal, facts),
        ask_after=timedelta(seconds=settings.EXIT_ASK_AFTER_S),
    )


def _gives_way(goal: ExitGoal, facts: Facts) -> bool:
    """Whether a resting exit waits for a market exit of its position.

    A stop that took room from a market exit comes back while a person has to mend that exit: without the stop nothing
    would protect the position. On spot the stop would lock the coins again.
    """
    key = goal.position_key
    if goal.rests and OrderType(goal.order_type).needs_stop_price and goal.market_type != MarketType.SPOT:
        return key in facts.working_market_goals
    return goal.rests and key in facts.newest_market_goal


def smallest_of(goal: ExitGoal, market: MarketSpec | None, *, now: datetime, notional: bool) -> Decimal:
    if market is None:
        return Decimal(0)
    key = (goal.account.exchange, MarketType(goal.market_type), goal.symbol)
    known = prices.cached_price(key, now=now) if notional else None
    return smallest_tradable(market, known[0] if known else None, checks_notional=notional)


def _is_contradicted(goal: ExitGoal, last: Attempt, facts: Facts) -> bool:
    """Whether the holding at the exchange is still to be read after a refusal that contradicts the books."""
    if last.reason not in CONTRADICTIONS or last.ended_at is None:
        return False
    checked_at = facts.checked_at.get(holding_key(goal))
    is_read = checked_at is not None and checked_at >= last.ended_at
    return not is_read and facts.now - last.ended_at < _READ_WITHIN


def count_refusal(goal: ExitGoal, order: Order, last: Attempt) -> bool:
    """Counts the end of an attempt in `goal.refusals`, once. Returns whether the goal changed."""
    if last.ended_at is None or goal.counted_attempt >= order.attempt:
        return False
    goal.refusals = goal.refusals + 1 if is_refusal(last) else 0
    goal.counted_attempt = order.attempt
    return True
