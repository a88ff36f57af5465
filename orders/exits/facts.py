"""Reads what is known of exit goals, for the pure decisions of `orders.domain.exits`."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from exchanges.adapters.protocol import MarketSpec
from exchanges.database.prepared import Among, Query, locks, read_together
from exchanges.enums import MarketType, OrderType, Side, TradingState
from exchanges.market_data import prices
from orders.domain.enums import GoalState, OrderStatus
from orders.domain.exits import CONTRADICTIONS, HALTED, Attempt, GoalView, is_refusal, smallest_tradable
from orders.domain.keys import HoldingKey, PositionKey
from orders.domain.lifecycle import FINAL, IN_FLIGHT
from orders.exits.resting import resting_exits
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
    resting: set[PositionKey] = field(
        default_factory=set
    )  # positions with an exit that rests at the exchange

    def held(self, goal: ExitGoal) -> Decimal:
        return self.positions.get(goal.position_key, Decimal(0))


def lock_goals(pks: Collection[int], *, now: datetime) -> tuple[list[ExitGoal], Facts]:
    """Locks those goals that are pursued until the transaction ends, and reads their facts.

    One statement, and further ones for what some refusals ask about. All facts are of one moment, after the locks.
    """
    goals, accounts, *found = read_together(
        _GOALS, _ACCOUNTS, *_FACTS, first=locks(_GOAL_LOCKS, goals=pks), goals=list(pks)
    )
    goals.sort(key=lambda goal: goal.pk)
    by_key = {row.pk: row for row in accounts}
    for goal in goals:
        goal.strategy_account = by_key[goal.strategy_account_id]
        goal.account = goal.strategy_account.account
    facts = Facts(now)
    if goals:
        _take(found, goals, facts)
        _read_refusals(goals, facts)
    return goals, facts


def _take(found: Sequence[list[Any]], goals: Sequence[ExitGoal], facts: Facts) -> None:
    doubts, last_orders, fills, positions, market_goals, asked, resting = found
    for goal in goals:
        key = goal.position_key
        if goal.is_full and any(PositionKey(*row) == key and at <= goal.created_at for *row, at in doubts):
            facts.doubtful.add(goal.pk)
    facts.last_orders = {order.goal_id: order for order in last_orders if order.goal_id is not None}
    for pk, filled in fills:
        facts.closed[pk] += filled
    for pk, quantity, *row in positions:
        facts.positions[PositionKey(*row)] = quantity
        facts.position_pks[PositionKey(*row)] = pk
    for _batch, _sequence, pk, state, *row in sorted(market_goals):
        facts.newest_market_goal[PositionKey(*row)] = pk
        if state == GoalState.WORKING:
            facts.working_market_goals.add(PositionKey(*row))
    facts.asked_to_end = {order for (order,) in asked}
    facts.resting = {PositionKey(*row) for row in resting}


# The slot: `goals`, by primary key.


def _same_position() -> Exists:
    """Whether a row is of the position of one of the goals."""
    same = {"strategy_account": OuterRef("strategy_account"), "symbol": OuterRef("symbol")}
    return Exists(ExitGoal.objects.filter(Among("id", "goals"), **same))


def _goals() -> QuerySet[ExitGoal]:
    return ExitGoal.objects.pursued().filter(Among("id", "goals")).order_by()


def _goal_locks() -> QuerySet[ExitGoal, tuple[Any, ...]]:
    return _goals().select_for_update(no_key=True).order_by("pk").values_list("pk")


def _accounts() -> QuerySet[StrategyAccount]:
    owners = ExitGoal.objects.filter(Among("id", "goals"), strategy_account=OuterRef("pk"))
    return StrategyAccount.objects.filter(Exists(owners)).select_related("account").order_by()


def _doubts() -> QuerySet[Order, tuple[Any, ...]]:
    rows = Order.objects.filter(_same_position(), goal__isnull=True)
    rows = rows.filter(Q(status__in=IN_FLIGHT) | Q(unknown_since__isnull=False)).exclude(status__in=FINAL)
    return rows.order_by().values_list(*_POSITION, "created_at")


def _last_orders() -> QuerySet[Order]:
    later = Order.objects.filter(goal=OuterRef("goal"), attempt__gt=OuterRef("attempt"))
    return Order.objects.filter(Among("goal_id", "goals"), ~Exists(later)).order_by()


def _fills() -> QuerySet[Order, tuple[Any, ...]]:
    rows = Order.objects.filter(Among("goal_id", "goals")).exclude(filled=0)
    return rows.order_by().values_list("goal_id", "filled")


def _positions() -> QuerySet[Position, tuple[Any, ...]]:
    return (
        Position.objects.held().filter(_same_position()).order_by().values_list("pk", "quantity", *_POSITION)
    )


def _market_goals() -> QuerySet[ExitGoal, tuple[Any, ...]]:
    rows = ExitGoal.objects.pursued().filter(_same_position(), order_type=OrderType.MARKET)
    return rows.order_by().values_list("batch_id", "sequence", "pk", "state", *_POSITION)


def _asked_to_end() -> QuerySet[OrderEvent, tuple[Any, ...]]:
    canceled = Order.objects.filter(Among("goal_id", "goals"), status=OrderStatus.CANCELED)
    rows = OrderEvent.objects.filter(order__in=canceled.order_by().values("pk"))
    return rows.filter(to_status=OrderStatus.PENDING_CANCEL).order_by().values_list("order_id").distinct()


def _resting() -> QuerySet[Order, tuple[Any, ...]]:
    rows = resting_exits(Order.objects.filter(_same_position()))
    return rows.order_by().values_list(*_POSITION).distinct()


_POSITION = ("strategy_account_id", "symbol")
_GOALS, _ACCOUNTS = Query(lambda: _goals().select_related("strategy")), Query(_accounts)
_GOAL_LOCKS = Query(_goal_locks)
_FACTS: tuple[Query[Any], ...] = tuple(
    Query(build)
    for build in (_doubts, _last_orders, _fills, _positions, _market_goals, _asked_to_end, _resting)
)


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
