"""Pursues exit goals: looks at goals, writes what became of them, and stores the next attempts.

The pursuit calls no exchange, except for markets that a refusal contradicts. Whoever pursues runs the attempts: a batch
run puts the attempts behind its own steps, and the tracker resumes the batches of the attempts.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import reduce
from operator import or_

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType, OrderType
from exchanges.errors import ExchangeError
from exchanges.failpoints import failpoint
from exchanges.gateway import gateway
from exchanges.market_data import catalog
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
from orders.domain.keys import HoldingKey
from orders.domain.lifecycle import FINAL, OPEN, UNSENT, WORKING
from orders.domain.reasons import TOO_SMALL
from orders.exits.facts import Facts, attempt_of, count_refusal, holding_key, read_facts, view_of
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
    """The goals as they are now, the stored attempts and entries, and the holdings that contradict the books."""

    goals: dict[int, ExitGoal] = field(default_factory=dict)
    attempts: list[Order] = field(default_factory=list)
    entries: dict[int, Order] = field(default_factory=dict)  # by goal: the second half of a reversal
    contradicted: set[HoldingKey] = field(default_factory=set)
    dust: dict[int, Decimal] = field(default_factory=dict)  # by position


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


def pursue(pks: Iterable[int], *, now: datetime) -> Pursuit:
    """Looks at the goals, writes their states, and stores the attempts that are due. Two callers at once store once.

    The number of statements does not depend on the number of goals.
    """
    wanted = list(pks)
    if not wanted:
        return Pursuit()
    failpoint("attempt over, goal not looked at")
    markets = _markets_of(wanted, now)
    with transaction.atomic():
        rows = (
            ExitGoal.objects.pursued()
            .filter(pk__in=wanted)
            .select_related("strategy", "strategy_account__account")
        )
        goals = list(rows.select_for_update(of=("self",), no_key=True).order_by("pk"))
        for goal in goals:
            goal.account = goal.strategy_account.account
        facts = read_facts(goals, now=now)
        pursuit = Pursuit({goal.pk: goal for goal in goals})
        for goal in goals:
            _take_step(goal, facts, markets.get(goal.pk), pursuit)
        update_all(goals, _COLUMNS, using=DEFAULT_DB_ALIAS)
        _mark_dust(pursuit.dust)
        _store([*pursuit.attempts, *pursuit.entries.values()])
        failpoint("inside a transaction that pursues goals")
    failpoint("goals pursued, attempts not begun")
    return pursuit


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


def _markets_of(pks: Sequence[int], now: datetime) -> Mapping[int, MarketSpec | None]:
    """The market of each goal, fresh where the last refusal contradicts what we know of the market."""
    goals = ExitGoal.objects.filter(pk__in=pks).values_list(
        "pk", "account__exchange", "market_type", "symbol"
    )
    listed = list(goals)
    doubted = Order.objects.filter(goal__in=pks, reason__in=STALE_MARKET, closed_at__isnull=False)
    doubted = doubted.filter(attempt__gt=F("goal__counted_attempt"))
    since = {
        (exchange, kind): at
        for exchange, kind, at in doubted.order_by("closed_at").values_list(
            "account__exchange", "market_type", "closed_at"
        )
    }
    specs = {}
    for exchange, kind in {(exchange, kind) for _, exchange, kind, _ in listed}:
        specs[exchange, kind] = _specs(exchange, MarketType(kind), since.get((exchange, kind)), now)
    return {pk: specs[exchange, kind].get(symbol) for pk, exchange, kind, symbol in listed}


def _specs(
    exchange: str, kind: MarketType, since: datetime | None, now: datetime
) -> Mapping[str, MarketSpec]:
    try:
        if since is not None:
            catalog.reload_since(exchange, kind, since, now=now)
        return catalog.open_catalog(exchange, kind, now=now).specs
    except ExchangeError as error:
        logger.warning("markets unavailable exchange=%s code=%s", exchange, error.code)
        return {}
