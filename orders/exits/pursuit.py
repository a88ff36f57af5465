"""Pursues exit goals: looks at goals, writes what became of them, and stores the next attempts.

The pursuit waits for no exchange. A goal whose last refusal contradicts what we know of its market waits until the
market list was read again; the list is asked for in the background. Whoever pursues runs the attempts: a batch run puts
the attempts behind its own steps, and the tracker resumes the batches of the attempts.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import reduce
from operator import or_

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType, OrderType
from exchanges.errors import ExchangeError
from exchanges.failpoints import failpoint
from exchanges.gateway import Line, gateway
from exchanges.market_data import catalog
from exchanges.market_data.catalog import MarketCatalog
from orders.domain.enums import GoalState
from orders.domain.exits import (
    SLOW,
    STALE_MARKET,
    GoalView,
    Step,
    left_of,
    next_step,
    under_way,
)
from orders.domain.keys import HoldingKey, PositionKey
from orders.domain.lifecycle import FINAL, OPEN, UNSENT, WORKING
from orders.domain.reasons import TOO_SMALL
from orders.exits.facts import Facts, attempt_of, count_refusal, holding_key, lock_goals, view_of
from orders.exits.goals import entry_after, next_attempt
from orders.models import Batch, ExitGoal, Order, Position
from orders.models.bulk_write import insert_all, update_all
from orders.models.exit_goal import PURSUED

logger = logging.getLogger(__name__)

_COLUMNS = [
    "state", "reason", "reason_params", "refusals", "counted_attempt", "remaining", "due_at", "told_at", "over_at",
]  # fmt: skip


@dataclass(slots=True)
class Pursuit:
    """The goals as they are now, the stored attempts and entries, and the holdings that contradict the books.

    The goals in `waiting` were left as they are, until their market list has arrived.
    """

    goals: dict[int, ExitGoal] = field(default_factory=dict)
    attempts: list[Order] = field(default_factory=list)
    entries: dict[int, Order] = field(default_factory=dict)  # by goal: the second half of a reversal
    contradicted: set[HoldingKey] = field(default_factory=set)
    dust: dict[int, Decimal] = field(default_factory=dict)  # by position
    waiting: set[int] = field(default_factory=set)
    resting: set[PositionKey] = field(default_factory=set)  # positions with resting exits

    def add(self, more: "Pursuit") -> None:
        self.goals |= more.goals
        self.attempts += more.attempts
        self.entries |= more.entries
        self.contradicted |= more.contradicted
        self.resting |= more.resting


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A goal whose market has to be read: again, where a refusal at `refused_at` contradicts what we know of it."""

    goal: int
    line: Line
    symbol: str
    owner: int
    refused_at: datetime | None


def due_goals(*, now: datetime) -> QuerySet[ExitGoal]:
    """Goals for the tracker: an attempt is over, or the time of the next look has come and no attempt is under way.

    A goal whose order rests at the exchange is only looked at until the goal shows so.
    """
    attempts = Order.objects.filter(goal=OuterRef("pk"))
    living = Exists(attempts.filter(status__in=[*OPEN, *UNSENT]))
    is_over = Exists(attempts.filter(status__in=FINAL, attempt__gt=OuterRef("counted_attempt")))
    is_accepted = Exists(attempts.filter(status__in=WORKING))
    # No look is ever further away than the slowest pace, unless the clock was set back.
    due = Q(due_at__lte=now) | Q(due_at__gt=now + 2 * SLOW)
    rows = ExitGoal.objects.pursued()
    return rows.filter(
        (~living & (due | is_over)) | (due & Q(state=GoalState.WORKING) & is_accepted)
    ).order_by("pk")


def pursue(
    pks: Iterable[int], *, now: datetime, list_arrived: Callable[[], None], owner: int | None = None
) -> Pursuit:
    """Looks at the goals, writes their states, and stores the attempts that are due. Two callers at once store once.

    `list_arrived` is called on the exchanges' thread when it is worth it to pursue the goals in `waiting` again. Market
    lists are read in the share of `owner`, or of each account's owner. The number of statements does not depend on the
    number of goals.
    """
    wanted = list(pks)
    if not wanted:
        return Pursuit()
    failpoint("attempt over, goal not looked at")
    pursuit, doubts = _pursue(wanted, {}, now)
    if doubts:
        markets, pursuit.waiting = _markets_of(doubts, now, list_arrived, owner)
        if markets:
            pursuit.add(_pursue(list(markets), markets, now)[0])
    failpoint("goals pursued, attempts not begun")
    return pursuit


def _pursue(
    pks: Sequence[int], markets: Mapping[int, MarketSpec | None], now: datetime
) -> tuple[Pursuit, list[_Doubt]]:
    """Takes a step with each goal whose market is in `markets`, or in memory and not in doubt.

    Returns the doubts about the markets of the other goals: no list is read while rows are locked.
    """
    pursuit, doubts = Pursuit(), []
    with transaction.atomic():
        goals, facts = lock_goals(pks, now=now)
        for goal in goals:
            market = markets[goal.pk] if goal.pk in markets else _market_in_memory(goal, facts)
            if isinstance(market, _Doubt):
                doubts.append(market)
                continue
            pursuit.goals[goal.pk] = goal
            _take_step(goal, facts, market, pursuit)
        pursuit.resting = facts.resting
        update_all(list(pursuit.goals.values()), _COLUMNS, using=DEFAULT_DB_ALIAS)
        _mark_dust(pursuit.dust)
        _store([*pursuit.attempts, *pursuit.entries.values()])
        failpoint("inside a transaction that pursues goals")
    return pursuit, doubts


def _take_step(goal: ExitGoal, facts: Facts, market: MarketSpec | None, pursuit: Pursuit) -> None:
    order = facts.last_orders.get(goal.pk)
    if order is None:
        return
    last = attempt_of(order, facts)
    if last.ended_at is None:
        step = under_way(OrderType(goal.order_type), last, now=facts.now)
        _show(goal, replace(step, reason=goal.reason), facts)
        return
    count_refusal(goal, order, last)
    view = view_of(goal, last, facts, market, notional=_checks_notional(goal))
    step = next_step(view, now=facts.now)
    if step.reason == order.reason:
        goal.reason_params = order.reason_params
    if view.is_contradicted:
        pursuit.contradicted.add(holding_key(goal))
    _show(goal, step, facts)
    goal.remaining = _left_to_show(goal, view, step)
    if step.state is GoalState.REACHED and 0 < abs(view.held) < view.smallest:
        pursuit.dust[facts.position_pks[goal.position_key]] = view.held
    if step.state is GoalState.REACHED and goal.then:
        pursuit.entries[goal.pk] = entry_after(goal)
    if step.sends:
        pursuit.attempts.append(next_attempt(goal, order, step.order_type, now=facts.now))


def _left_to_show(goal: ExitGoal, view: GoalView, step: Step) -> Decimal:
    """What was too small tells every look until the next attempt whether the position has grown since."""
    known: Decimal | None = goal.remaining
    keeps = view.last.was_denied_as in TOO_SMALL and not step.sends
    return known if known is not None and keeps else left_of(view)


def _show(goal: ExitGoal, step: Step, facts: Facts) -> None:
    if step.state is GoalState.NEEDS_PERSON and goal.state != GoalState.NEEDS_PERSON:
        goal.told_at = facts.now
        logger.error("exit needs a person goal=%s symbol=%s reason=%s", goal.pk, goal.symbol, step.reason)
    goal.state, goal.reason, goal.due_at = step.state, step.reason, step.due_at
    goal.over_at = facts.now if goal.state not in PURSUED else None


def _checks_notional(goal: ExitGoal) -> bool:
    abilities = gateway.capabilities(goal.account.exchange, MarketType(goal.market_type))
    return not abilities.has_reduce_only


def _mark_dust(positions: Mapping[int, Decimal]) -> None:
    """Marks positions that nobody can trade, unless a fill has changed the position meanwhile. `positions` by key."""
    same = [Q(pk=pk, quantity=held) for pk, held in positions.items()]
    if same:
        Position.objects.filter(reduce(or_, same)).update(is_dust=True)


def store_next_attempts(
    goals: Sequence[ExitGoal], order_type: OrderType | None, *, now: datetime
) -> list[Order]:
    """Stores the next attempt of each goal, of the type `order_type` where given. The caller has locked the goals."""
    last: dict[int | None, Order] = {}
    for order in Order.objects.filter(goal__in=goals).order_by("attempt"):
        last[order.goal_id] = order
    for goal in goals:
        goal.account = goal.strategy_account.account
    attempts = [next_attempt(goal, last[goal.pk], order_type, now=now) for goal in goals]
    _store(attempts)
    return attempts


def _store(attempts: Sequence[Order]) -> None:
    """A finished batch of these orders becomes unfinished, so that the tracker finds the batch."""
    if attempts:
        insert_all(attempts, key=["client_order_id"], using=DEFAULT_DB_ALIAS)
        Batch.objects.reopen({order.batch_id for order in attempts})


def _market_in_memory(goal: ExitGoal, facts: Facts) -> MarketSpec | _Doubt | None:
    """The goal's market, or the doubt: a refusal contradicts what we know of the market, or memory is empty or old."""
    line, last = Line(goal.account.exchange, MarketType(goal.market_type)), facts.last_orders.get(goal.pk)
    refused_at = None
    if last is not None and last.reason in STALE_MARKET and last.attempt > goal.counted_attempt:
        refused_at = last.closed_at
    known = catalog.catalog_in_memory(line, now=facts.now)
    if known is None or (refused_at is not None and known.loaded_at < refused_at):
        return _Doubt(goal.pk, line, goal.symbol, goal.account.owner_id, refused_at)
    return known.specs.get(goal.symbol)


def _markets_of(
    doubts: Iterable[_Doubt], now: datetime, list_arrived: Callable[[], None], owner: int | None
) -> tuple[dict[int, MarketSpec | None], set[int]]:
    """The markets by goal, and the goals that wait for a fresh list. Where no list came, a goal goes on without."""
    markets: dict[int, MarketSpec | None] = {}
    waiting: set[int] = set()
    found: MarketCatalog | ExchangeError | None
    for doubt in doubts:
        line, payer = doubt.line, doubt.owner if owner is None else owner
        if doubt.refused_at is None:
            found = catalog.catalog_or_error(line, now=now, owner=payer)
        else:
            found = catalog.fresh_catalog(line, doubt.refused_at, now=now, owner=payer, notify=list_arrived)
        if found is None:
            waiting.add(doubt.goal)
        elif isinstance(found, ExchangeError):
            logger.warning("markets unavailable exchange=%s code=%s", line.exchange, found.code)
            markets[doubt.goal] = None
        else:
            markets[doubt.goal] = found.specs.get(doubt.symbol)
    return markets, waiting
