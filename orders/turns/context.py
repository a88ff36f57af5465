"""The order context: the database rows that decide about the orders of one turn, read once for all these orders."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from django.db.models import Count, QuerySet, Value

from exchanges.enums import MarketType, Side, TradingState
from orders.domain.enums import OrderStatus
from orders.domain.freshness import Comparison
from orders.domain.keys import AccountSymbol, PositionKey
from orders.domain.lifecycle import WORKING
from orders.domain.risk_checks import Exposure, LevelState, OpenRemainder, strictest_of
from orders.models import ExitGoal, HoldingCheck, Order, OutsideEvent, Position, PositionDifference
from orders.outside.books import waiting_symbols
from orders.outside.freshness import stale_accounts
from strategies.models import LIMIT_NAMES, Limits, Strategy, StrategyAccount, SystemRisk

Rows = TypeVar("Rows", bound=QuerySet[Any])


@dataclass(frozen=True, slots=True)
class TradingPermission:
    """The trading state and the limits of a strategy account at the order's turn, not at the delivery's planning."""

    strictest: LevelState
    limits: Limits
    # Strategy, strategy account and account are active, and the account's owner may follow the strategy.
    takes_part: bool = True

    @property
    def needs_counts(self) -> bool:
        """Whether a limit is set that depends on the position, the open orders or the recent orders."""
        limits = self.limits
        counted = (limits.max_open_orders, limits.max_orders_per_minute, limits.max_symbols)
        return limits.max_position_notional is not None or any(limit is not None for limit in counted)


class Obstacle(StrEnum):
    """What may stand in the way of an entry."""

    UNKNOWN_OUTCOME = "unknown outcome"
    DIFFERENCE = "difference"
    EVENT = "event"
    FULL_EXIT = "full exit"


@dataclass(slots=True)
class NetHolding:
    """An account's holding of one symbol over all strategies, and the open orders that may still change the holding.

    `held` is what the exchange should show: our positions and what a person declared `external`.
    """

    held: Decimal = Decimal(0)
    external: Decimal = Decimal(0)
    strategy_accounts: set[int] = field(default_factory=set)  # with a position or an open order in the symbol
    open_by_strategy_account: dict[tuple[int, Side], Decimal] = field(
        default_factory=lambda: defaultdict(Decimal)
    )

    def held_after_others(self, strategy_account: int, side: Side) -> Decimal:
        """The account's holding if every open order of the other strategy accounts on `side` fills."""
        others = [
            remaining
            for (other, order_side), remaining in self.open_by_strategy_account.items()
            if other != strategy_account and order_side is side
        ]
        return self.held + side.sign * sum(others, Decimal(0))


@dataclass(slots=True)
class OrderContext:
    """`permissions` and `exposures` are by strategy account."""

    now: datetime
    permissions: Mapping[int, TradingPermission]
    exposures: dict[int, Exposure] = field(default_factory=lambda: defaultdict(Exposure))
    unknown_outcomes: dict[AccountSymbol, str] = field(default_factory=dict)  # client order ids
    net_holdings: dict[AccountSymbol, NetHolding] = field(default_factory=lambda: defaultdict(NetHolding))
    # Orders that may have filled since the last look-up.
    unsure_orders: dict[PositionKey, list[Order]] = field(default_factory=lambda: defaultdict(list))
    # For exits: the entries and the resting exits of the strategy account at the exchange, what the attempts of a goal
    # have closed, the checks of holdings after refusals, and what earlier exits leave of the position.
    own_entries: dict[PositionKey, list[Order]] = field(default_factory=lambda: defaultdict(list))
    own_exits: dict[PositionKey, list[Order]] = field(default_factory=lambda: defaultdict(list))
    closed_by_goal: dict[int | None, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    holding_checks: dict[AccountSymbol, HoldingCheck] = field(default_factory=dict)
    older_remains: dict[PositionKey, Decimal] = field(default_factory=dict)
    # For sales of coins: what the open sell orders still sell.
    selling: dict[PositionKey, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    # For entries: the full exits of the position that are not over.
    full_goals: dict[PositionKey, list[ExitGoal]] = field(default_factory=lambda: defaultdict(list))
    differences: dict[AccountSymbol, PositionDifference] = field(default_factory=dict)
    # By account: the last comparison, where it is too old for an entry. For exits only on spot.
    stale_comparisons: dict[int, Comparison] = field(default_factory=dict)
    # Holdings with an outside event that a person still has to distribute.
    waiting_events: set[AccountSymbol] = field(default_factory=set)

    def note_unsure(self, order: Order) -> None:
        self.unsure_orders[order.position_key].append(order)


def read_permissions(orders: Sequence[Order]) -> dict[int, TradingPermission]:
    """Permissions by strategy account. `orders` are of one strategy. Three statements, however many orders."""
    system = SystemRisk.current()
    strategy = Strategy.objects.get(pk=orders[0].strategy_id)
    above = strictest_of(_level_state("system", system), _level_state("strategy", strategy))
    wider = Limits.of(strategy, system)
    columns = ["pk", "takes_part", "trading_state", "state_reason"]
    columns += ["account__trading_state", "account__state_reason"]
    rows = StrategyAccount.objects.with_participation(strategy).values_list(*columns, *LIMIT_NAMES)
    return {
        pk: TradingPermission(
            _strictest_level(above, *levels), wider.narrowed(limits), takes_part and strategy.is_active
        )
        for pk, takes_part, *levels, limits in ((*row[:6], row[6:]) for row in rows)
    }


def _strictest_level(
    above: LevelState, state: str, reason: str, account_state: str, account_reason: str
) -> LevelState:
    if state == account_state == TradingState.ACTIVE:
        return above
    own = LevelState("strategy account", state, reason)
    return strictest_of(above, LevelState("account", account_state, account_reason), own)


def read_context(
    orders: Sequence[Order], permissions: Mapping[int, TradingPermission], *, now: datetime
) -> OrderContext:
    """Reads the context in a fixed number of statements.

    Strategy accounts with counted limits stay locked until the transaction ends, so that the counts stay true.
    """
    context = OrderContext(now, permissions)
    counted = [pk for pk, permission in permissions.items() if permission.needs_counts]
    if counted:
        # Deliveries of different symbols run side by side, and only one of two may use up the last place of a limit.
        list(StrategyAccount.objects.select_for_update(no_key=True).filter(pk__in=counted).order_by("pk"))
        _read_open_orders(counted, context)
        _count_recent_orders(counted, context)
    # Doubts before positions: on PostgreSQL each statement sees the commits before it. Fills that are booked in between
    # leave a doubt here, and the exit waits; the other way round the exit would find neither doubt nor position.
    exits, entries = _split(orders)
    _read_obstacles(exits, entries, context)
    if exits:
        _read_own_orders(exits, context)
    sales = [order for order in entries if order.market_type == MarketType.SPOT and order.side == Side.SELL]
    if sales:
        _read_sales(sales, context)
    if counted or exits or sales:
        _read_positions(orders, context)
    if exits:
        _read_goals(exits, context)
        _read_net_holdings(orders, context)
        _read_net_orders(orders, context)
    compared = {
        order.account_id for order in orders if not order.is_closing or order.market_type == MarketType.SPOT
    }
    if compared:
        context.stale_comparisons = stale_accounts(compared, now=now)
    return context


def _read_obstacles(exits: Sequence[Order], entries: Sequence[Order], context: OrderContext) -> None:
    obstacles = frozenset(Obstacle) if exits else _obstacles_of(entries)
    if Obstacle.UNKNOWN_OUTCOME in obstacles:
        _read_unknown_outcomes([*exits, *entries], context)
    if not entries:
        return
    if Obstacle.DIFFERENCE in obstacles:
        _read_differences(entries, context)
    if Obstacle.EVENT in obstacles:
        context.waiting_events = waiting_symbols({order.symbol for order in entries})
    if Obstacle.FULL_EXIT in obstacles:
        _read_full_goals(entries, context)


def _obstacles_of(entries: Sequence[Order]) -> Collection[str]:
    """What may stand in the way of the entries. One statement in place of four, because mostly nothing does."""
    found: list[QuerySet[Any]] = [
        Order.objects.of_unknown_outcome().annotate(obstacle=Value(Obstacle.UNKNOWN_OUTCOME)),
        PositionDifference.objects.freezing().annotate(obstacle=Value(Obstacle.DIFFERENCE)),
        OutsideEvent.objects.waiting().annotate(obstacle=Value(Obstacle.EVENT)),
        ExitGoal.objects.pursued().full().annotate(obstacle=Value(Obstacle.FULL_EXIT)),
    ]
    first, *others = (_of_same_symbols(rows, entries).order_by().values_list("obstacle") for rows in found)
    return {obstacle for (obstacle,) in first.union(*others)}


def _split(orders: Sequence[Order]) -> tuple[list[Order], list[Order]]:
    return [order for order in orders if order.is_closing], [
        order for order in orders if not order.is_closing
    ]


def _level_state(scope: str, row: SystemRisk | Strategy) -> LevelState:
    return LevelState(scope, row.trading_state, row.state_reason)


def _read_positions(orders: Sequence[Order], context: OrderContext) -> None:
    rows = Position.objects.held().filter(strategy_account__strategy=orders[0].strategy_id)
    columns = ("strategy_account_id", "symbol", "quantity", "is_dust")
    for strategy_account, symbol, quantity, is_dust in rows.values_list(*columns):
        exposure = context.exposures[strategy_account]
        exposure.held[symbol] = quantity
        if is_dust:
            exposure.dust.add(symbol)


def _read_open_orders(strategy_accounts: Sequence[int], context: OrderContext) -> None:
    rows = Order.objects.open().filter(strategy_account__in=strategy_accounts)
    for strategy_account, symbol, side, quantity, filled in rows.values_list(
        "strategy_account_id", "symbol", "side", "quantity", "filled"
    ):
        remainder = OpenRemainder(symbol, Side(side), (quantity or Decimal(0)) - filled)
        context.exposures[strategy_account].open_orders.append(remainder)


def _count_recent_orders(strategy_accounts: Sequence[int], context: OrderContext) -> None:
    since = context.now - timedelta(minutes=1)
    rows = Order.objects.filter(strategy_account__in=strategy_accounts, submitted_at__gt=since).values(
        "strategy_account_id"
    )
    for row in rows.annotate(count=Count("pk")):
        context.exposures[row["strategy_account_id"]].orders_last_minute = row["count"]


def _read_unknown_outcomes(orders: Sequence[Order], context: OrderContext) -> None:
    rows = _of_same_symbols(Order.objects.of_unknown_outcome(), orders)
    for row in rows.select_related("account"):
        context.unknown_outcomes[row.account_symbol] = row.client_order_id
        # The other statuses are working, and _read_own_orders reads working orders.
        if row.status == OrderStatus.SUBMITTED:
            context.note_unsure(row)


def _read_net_holdings(orders: Sequence[Order], context: OrderContext) -> None:
    """An exchange that nets positions sees only the sum over all strategies of an account."""
    rows = Position.objects.held().filter(strategy_account__strategy__market_type=orders[0].market_type)
    columns = ("strategy_account__account_id", "strategy_account_id", "symbol", "quantity")
    for account, strategy_account, symbol, quantity in _of_same_symbols(rows, orders).values_list(*columns):
        net = context.net_holdings[AccountSymbol(account, symbol)]
        net.held += quantity
        net.strategy_accounts.add(strategy_account)
    declared = PositionDifference.objects.filter(market_type=orders[0].market_type).exclude(external=0)
    for account, symbol, external in _of_same_symbols(declared, orders).values_list(
        "account_id", "symbol", "external"
    ):
        net = context.net_holdings[AccountSymbol(account, symbol)]
        net.external, net.held = external, net.held + external


def _read_net_orders(orders: Sequence[Order], context: OrderContext) -> None:
    rows = Order.objects.open().filter(market_type=orders[0].market_type)
    columns = ("account_id", "strategy_account_id", "symbol", "side", "quantity", "filled")
    for account, strategy_account, symbol, side, quantity, filled in _of_same_symbols(
        rows, orders
    ).values_list(*columns):
        net = context.net_holdings[AccountSymbol(account, symbol)]
        net.open_by_strategy_account[strategy_account, Side(side)] += quantity - filled
        net.strategy_accounts.add(strategy_account)


def _read_own_orders(exits: Sequence[Order], context: OrderContext) -> None:
    """Reads the open orders of the strategy in the symbols. An order is unsure until a look-up after the exit came."""
    came_at = min(order.created_at for order in exits)
    ours = Order.objects.filter(strategy=exits[0].strategy_id, status__in=WORKING)
    for row in _of_same_symbols(ours, exits).select_related("account").order_by("pk"):
        is_exit = row.is_closing or row.reduce_only
        (context.own_exits if is_exit else context.own_entries)[row.position_key].append(row)
        if row.answered_at is None or row.answered_at < came_at:
            context.note_unsure(row)


def _read_goals(exits: Sequence[Order], context: OrderContext) -> None:
    """Reads what later attempts need: fills of the attempts before, checks of holdings, and older goals."""
    goals = {order.goal_id for order in exits if order.goal_id and order.attempt > 1}
    if goals:
        attempts = Order.objects.filter(goal__in=goals).exclude(filled=0)
        for goal_id, filled in attempts.values_list("goal_id", "filled"):
            context.closed_by_goal[goal_id] += filled
    for check in _of_same_symbols(HoldingCheck.objects.filter(market_type=exits[0].market_type), exits):
        context.holding_checks[AccountSymbol(check.account_id, check.symbol)] = check
    places = {order.position_key: (order.batch_id or 0, order.sequence) for order in exits}
    older = ExitGoal.objects.pursued().filter(strategy=exits[0].strategy_id, to_remain__isnull=False)
    for goal in _of_same_symbols(older, exits):
        if (goal.batch_id, goal.sequence) < places.get(goal.position_key, (0, 0)):
            known = context.older_remains.get(goal.position_key, goal.to_remain)
            context.older_remains[goal.position_key] = min(goal.to_remain, known)


def _read_sales(sales: Sequence[Order], context: OrderContext) -> None:
    rows = Order.objects.open().filter(strategy=sales[0].strategy_id, side=Side.SELL)
    columns = ("strategy_account_id", "symbol", "quantity", "filled")
    for strategy_account, symbol, quantity, filled in _of_same_symbols(rows, sales).values_list(*columns):
        context.selling[PositionKey(strategy_account, symbol)] += quantity - filled


def _read_full_goals(entries: Sequence[Order], context: OrderContext) -> None:
    goals = ExitGoal.objects.pursued().full().filter(strategy=entries[0].strategy_id)
    for goal in _of_same_symbols(goals, entries):
        context.full_goals[goal.position_key].append(goal)


def _read_differences(orders: Sequence[Order], context: OrderContext) -> None:
    for row in _of_same_symbols(PositionDifference.objects.freezing(), orders):
        context.differences[AccountSymbol(row.account_id, row.symbol)] = row


def _of_same_symbols(rows: Rows, orders: Iterable[Order]) -> Rows:
    """Narrows rows by symbol only: few rows remain, accounts can be many, and the caller tells the accounts apart."""
    return rows.filter(symbol__in={order.symbol for order in orders})
