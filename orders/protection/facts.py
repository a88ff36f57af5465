"""Reads what is known of protected positions: positions, exit goals, resting stops, markets and last prices."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from django.db.models import Max, Q, Sum

from exchanges.adapters.protocol import Capabilities, MarketSpec
from exchanges.enums import MarketType, OrderType
from exchanges.errors import ExchangeError
from exchanges.gateway import Line, gateway
from exchanges.market_data import catalog
from exchanges.market_data.prices import Key
from orders.domain.enums import GoalState, OrderStatus
from orders.domain.keys import PositionKey
from orders.domain.lifecycle import FINAL, OPEN, UNSENT
from orders.domain.protection import STOP
from orders.exits.facts import still_halted
from orders.exits.resting import resting_exits
from orders.models import ExitGoal, Order, Position, Protection
from orders.models.exit_goal import PURSUED

Markets = Mapping[tuple[str, MarketType], Mapping[str, MarketSpec]]
_IN_FLIGHT = (OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL)


@dataclass(slots=True)
class ProtectionFacts:
    """`goals` are by protection: the pursued ones, and the newest of the stop. `live` are the attempts by goal."""

    now: datetime
    prices: Mapping[Key, Decimal]
    markets: Markets
    positions: dict[PositionKey, Position] = field(default_factory=dict)
    goals: dict[int, list[ExitGoal]] = field(default_factory=lambda: defaultdict(list))
    live: dict[int, list[Order]] = field(default_factory=lambda: defaultdict(list))
    closed: dict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))  # by goal
    closed_steps: dict[tuple[int, int], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    stops: dict[PositionKey, list[Order]] = field(default_factory=lambda: defaultdict(list))
    market_goals: set[PositionKey] = field(default_factory=set)
    full_exits: set[PositionKey] = field(default_factory=set)  # that work now
    closed_fully: dict[PositionKey, datetime] = field(default_factory=dict)  # the end of the last full exit
    halted: set[int] = field(default_factory=set)  # protections

    def held(self, row: Protection) -> Decimal:
        """What is held in the direction of the protection; negative for a position on the other side."""
        position = self.positions.get(row.position_key)
        if position is None or position.is_dust:
            return Decimal(0)
        held: Decimal = position.quantity
        return row.sign * held

    def market(self, row: Protection) -> MarketSpec | None:
        exchange, kind, symbol = price_key(row)
        return self.markets.get((exchange, kind), {}).get(symbol)

    def abilities(self, row: Protection) -> Capabilities:
        exchange, kind, _ = price_key(row)
        return gateway.capabilities(exchange, kind)

    def last_price(self, row: Protection) -> Decimal | None:
        return self.prices.get(price_key(row))

    def pursued(self, row: Protection) -> list[ExitGoal]:
        return [goal for goal in self.goals[row.pk] if goal.state in PURSUED]

    def newest_stop(self, row: Protection) -> ExitGoal | None:
        stops = [goal for goal in self.goals[row.pk] if goal.step == STOP]
        return stops[-1] if stops else None

    def is_in_flight(self, goals: Collection[ExitGoal]) -> bool:
        """Whether an attempt of the goals is on its way to the exchange, or its cancel is."""
        attempts = [order for goal in goals for order in self.live[goal.pk]]
        return any(order.status in _IN_FLIGHT or order.unknown_since is not None for order in attempts)


def price_key(row: Protection) -> Key:
    return (row.strategy_account.account.exchange, MarketType(row.market_type), row.symbol)


def is_entry_over(row: Protection) -> bool:
    """Whether the entry is over and its fills are booked, so that it buys nothing more."""
    return row.entry.status in FINAL and row.entry.unknown_since is None


def open_markets(rows: Sequence[Protection], *, now: datetime) -> Markets:
    """Opens the catalogs of the rows' markets. May call exchanges; an exchange that fails is left out."""
    found = {}
    for exchange, kind in {price_key(row)[:2] for row in rows}:
        opened = catalog.catalog_or_error(Line(exchange, kind), now=now)
        if not isinstance(opened, ExchangeError):
            found[exchange, kind] = opened.specs
    return found


def read_protection_facts(
    rows: Sequence[Protection],
    markets: Markets,
    prices: Mapping[Key, Decimal],
    *,
    now: datetime,
    locked: bool = False,
) -> ProtectionFacts:
    """Reads the facts in a fixed number of statements.

    With `locked` attempts, goals and positions stay locked until the transaction ends: no fill is booked between the
    reading of the positions and the reading of what the take profits have closed.
    """
    facts = ProtectionFacts(now, prices, markets)
    keys = {row.position_key for row in rows}
    pairs = Q(
        strategy_account__in={key.strategy_account_id for key in keys},
        symbol__in={key.symbol for key in keys},
    )
    if locked:
        _lock_rows(rows, pairs)
    for position in Position.objects.filter(pairs):
        facts.positions[PositionKey(position.strategy_account_id, position.symbol)] = position
    _read_goals(rows, facts)
    _read_exits(pairs, facts, since=min(row.activated_at or row.created_at for row in rows))
    facts.halted = still_halted(rows)
    return facts


def _lock_rows(rows: Sequence[Protection], pairs: Q) -> None:
    """Locks orders before goals and goals before positions, as the submission, the pursuit and the booking do."""
    orders = Order.objects.filter(goal__protection__in=rows, status__in=[*OPEN, *UNSENT])
    goals = ExitGoal.objects.pursued().filter(protection__in=rows)
    list(orders.select_for_update(of=("self",), no_key=True).order_by("pk").values_list("pk"))
    list(goals.select_for_update(of=("self",), no_key=True).order_by("pk").values_list("pk"))
    list(Position.objects.filter(pairs).select_for_update(no_key=True).order_by("pk").values_list("pk"))


def _read_goals(rows: Sequence[Protection], facts: ProtectionFacts) -> None:
    goals = ExitGoal.objects.filter(protection__in=rows)
    newest = goals.filter(step=STOP).order_by().values_list("protection").annotate(newest=Max("pk"))
    listed = goals.filter(Q(state__in=PURSUED) | Q(pk__in=[pk for _, pk in newest])).order_by("pk")
    for goal in listed:
        if goal.protection_id is not None:
            facts.goals[goal.protection_id].append(goal)
    pks = [goal.pk for known in facts.goals.values() for goal in known]
    for order in Order.objects.filter(goal__in=pks, status__in=[*OPEN, *UNSENT]).select_related("account"):
        if order.goal_id is not None:
            facts.live[order.goal_id].append(order)
    fills = Order.objects.filter(goal__protection__in=rows).exclude(filled=0).order_by()
    columns = ("goal__protection", "goal__step", "goal")
    for protection, step, goal, filled in fills.values_list(*columns).annotate(sum=Sum("filled")):
        facts.closed[goal] += filled
        if step:
            facts.closed_steps[protection, step] += filled


def _read_exits(pairs: Q, facts: ProtectionFacts, *, since: datetime) -> None:
    """Reads the resting stops, the market exits, and the full exits that were reached since `since`."""
    for order in resting_exits(Order.objects.filter(pairs)).select_related("goal"):
        if OrderType(order.order_type).needs_stop_price:
            facts.stops[order.position_key].append(order)
    for goal in ExitGoal.objects.pursued().filter(pairs, order_type=OrderType.MARKET):
        facts.market_goals.add(goal.position_key)
        if goal.is_full and goal.state == GoalState.WORKING:
            facts.full_exits.add(goal.position_key)
    ended = ExitGoal.objects.full().filter(pairs, state=GoalState.REACHED, over_at__gte=since).order_by()
    columns = ("strategy_account_id", "symbol")
    for *key, over_at in ended.values_list(*columns).annotate(last=Max("over_at")):
        facts.closed_fully[PositionKey(*key)] = over_at
