"""The upkeep of protections: stores the decided exit goals as batches, gives up the old ones, and raises alarms.

The truth is in the rows: whoever calls, and however often, the same rows give the same goals. The batch run calls the
upkeep for entries that were just filled, and the tracker calls it each turn for everything.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import DEFAULT_DB_ALIAS, transaction

from exchanges.enums import OrderType
from exchanges.failpoints import failpoint
from exchanges.market_data.prices import Key
from exchanges.shares import NOBODY
from orders.domain.enums import GoalState, ProtectionState
from orders.domain.keys import PositionKey
from orders.exits.resting import makes_room
from orders.models import Batch, ExitGoal, Order, Protection
from orders.models.bulk_write import insert_all, update_all
from orders.models.exit_goal import PURSUED
from orders.protection.decision import NewGoal, Work, decide_position
from orders.protection.facts import Markets, open_markets, price_key, read_protection_facts
from strategies.models import Strategy

logger = logging.getLogger(__name__)

ACTOR = "protection"
_OVER = "protection_over"
_COLUMNS = [
    "state", "replaced", "quantity", "average", "stop_price", "best", "activated_at", "moved_at", "unprotected_since",
    "told_at", "over_at",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claim:
    """The process that runs the new batches itself. Without a claim the tracker finds the batches."""

    by: str
    lease: timedelta


@dataclass(slots=True)
class Upkeep:
    """What was stored. The caller sends the cancels of the orders `canceled`, which are `pending_cancel`."""

    batches: list[Batch] = field(default_factory=list)
    canceled: list[Order] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.batches or self.canceled)


def watched_prices() -> dict[Key, int]:
    """The prices that the upkeep looks at: of all positions with an active protection.

    A price serves the positions of all owners, so each is asked for in nobody's share, and waits behind nobody's calls.
    """
    rows = Protection.objects.filter(state=ProtectionState.ACTIVE)
    return {price_key(row): NOBODY for row in rows.select_related("strategy_account__account")}


def keep_protections(
    *,
    now: datetime,
    prices: Mapping[Key, Decimal],
    only: Iterable[PositionKey] | None = None,
    claim: Claim | None = None,
) -> Upkeep:
    """Brings the exit goals of protected positions up to date. Two callers at once store once.

    First a look without locks, because mostly there is nothing to do; then the same decision under locks.
    """
    rows = _living(only, now=now)
    if not rows:
        return Upkeep()
    markets = open_markets(rows, now=now)
    busy = [work for work in _decide(rows, markets, prices, now) if not work.is_empty]
    if not busy:
        return Upkeep()
    failpoint("entry booked, not protected")
    with transaction.atomic():
        for strategy in sorted({work.row.strategy_id for work in busy}):
            Strategy.objects.locked(strategy)
        locked = _living({work.row.position_key for work in busy}, now=now, locked=True)
        works = _decide(locked, markets, prices, now, locked=True)
        upkeep = _store(works, claim, now)
        failpoint("inside a transaction that protects positions")
    for work in works:
        if work.is_told:
            logger.error("position without its stop protection=%s symbol=%s", work.row.pk, work.row.symbol)
    failpoint("protected in the books, nothing sent")
    return upkeep


def _living(only: Iterable[PositionKey] | None, *, now: datetime, locked: bool = False) -> list[Protection]:
    rows = Protection.objects.living(now=now)
    keys = None if only is None else set(only)
    if keys is not None:
        rows = rows.of(keys)
    rows = rows.select_related("entry", "strategy", "strategy_account__account").order_by("pk")
    if locked:
        rows = rows.select_for_update(of=("self",), no_key=True)
    return [row for row in rows if keys is None or row.position_key in keys]


def _decide(
    rows: Sequence[Protection],
    markets: Markets,
    prices: Mapping[Key, Decimal],
    now: datetime,
    *,
    locked: bool = False,
) -> list[Work]:
    facts = read_protection_facts(rows, markets, prices, now=now, locked=locked)
    by_position: dict[PositionKey, list[Protection]] = defaultdict(list)
    for row in rows:
        by_position[row.position_key].append(row)
    return [work for group in by_position.values() for work in decide_position(group, facts)]


def _store(works: Sequence[Work], claim: Claim | None, now: datetime) -> Upkeep:
    canceled = _give_up(works, now)
    # First what is over, because a position has one active protection.
    changed = sorted(
        (work.row for work in works if work.is_changed), key=lambda row: row.state != ProtectionState.OVER
    )
    for over in (True, False):
        rows = [row for row in changed if (row.state == ProtectionState.OVER) is over]
        update_all(rows, _COLUMNS, using=DEFAULT_DB_ALIAS)
    by_strategy: dict[int, list[Work]] = defaultdict(list)
    for work in works:
        if work.goals:
            by_strategy[work.row.strategy_id].append(work)
    batches = [_store_batch(group, claim, now) for group in by_strategy.values()]
    return Upkeep(batches, canceled)


def _give_up(works: Sequence[Work], now: datetime) -> list[Order]:
    """Supersedes goals, and cancels what they have at the exchange. Returns the orders whose cancel is to be sent."""
    goals = [goal.pk for work in works for goal in work.superseded]
    if goals:
        ExitGoal.objects.filter(pk__in=goals, state__in=PURSUED).update(
            state=GoalState.SUPERSEDED, reason=_OVER, over_at=now, due_at=None
        )
    orders = [order for work in works for order in work.canceled]
    moved = Order.objects.transition(makes_room(order, actor=ACTOR, now=now) for order in orders)
    return [order for order in orders if order.pk in moved and order.submitted_at is not None]


def _store_batch(works: Sequence[Work], claim: Claim | None, now: datetime) -> Batch:
    """Stores the goals of one strategy, each with its first attempt: the stop first."""
    batch = Batch.objects.create(
        strategy_id=works[0].row.strategy_id,
        created_at=now,
        claimed_by=claim.by if claim else "",
        claimed_until=now + claim.lease if claim else None,
    )
    goals, orders = [], []
    legs: dict[int, int] = defaultdict(int)
    for work in works:
        for new in work.goals:
            leg = legs[work.row.strategy_account_id]
            legs[work.row.strategy_account_id] += 1
            goals.append(_goal(work.row, new, batch, leg, now))
    insert_all(goals, key=["strategy_account", "leg"], using=DEFAULT_DB_ALIAS)
    for goal in goals:
        orders.append(_first_attempt(goal, now))
    insert_all(orders, key=["client_order_id"], using=DEFAULT_DB_ALIAS)
    return batch


def _goal(row: Protection, new: NewGoal, batch: Batch, leg: int, now: datetime) -> ExitGoal:
    goal = ExitGoal.compose(
        row.strategy_account,
        market_type=row.market_type,
        leg=leg,
        sequence=leg,
        symbol=row.symbol,
        order_type=new.order_type,
        qty_per=new.qty_per,
        actor=ACTOR,
        created_at=now,
        side=row.closing_side,
        price=new.price,
        stop_price=new.stop_price,
        at_most=new.at_most,
    )
    goal.batch, goal.protection, goal.step = batch, row, new.step
    goal.wanted, goal.to_remain = new.wanted, new.to_remain
    return goal


def _first_attempt(goal: ExitGoal, now: datetime) -> Order:
    order = Order.compose(
        goal.strategy_account,
        market_type=goal.market_type,
        leg=goal.leg,
        sequence=goal.sequence,
        symbol=goal.symbol,
        order_type=OrderType(goal.order_type),
        side=goal.side,
        qty_per=goal.qty_per,
        price=goal.price,
        stop_price=goal.stop_price,
        created_at=now,
        goal=goal,
    )
    order.batch = goal.batch
    return order
