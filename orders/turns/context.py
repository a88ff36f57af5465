"""The order context: the database rows that decide about the orders of one turn, read once for all these orders."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from django.db.models import Count, QuerySet

from exchanges.database.prepared import Query, read_together
from exchanges.database.trips import Statement
from exchanges.enums import MarketType, Side, TradingState
from orders.domain.enums import OrderStatus
from orders.domain.freshness import Comparison
from orders.domain.keys import AccountSymbol, PositionKey
from orders.domain.risk_checks import Exposure, LevelState, OpenRemainder, strictest_of
from orders.models import ExitGoal, HoldingCheck, Order, Position, PositionDifference
from orders.outside.books import waiting_symbols
from orders.outside.freshness import STALE_ACCOUNTS, comparisons_of, oldest_comparison
from orders.turns import reads
from orders.turns.reads import Obstacle
from strategies.models import Limits, Strategy, StrategyAccount, SystemRisk

Rows = TypeVar("Rows", bound=QuerySet[Any])
Take = Callable[[list[Any], Sequence[Order], "OrderContext"], None]

# What every turn reads: read_permissions alone, and read_context with the rest.
_LEVELS = (reads.SYSTEM, reads.STRATEGY, reads.PERMISSIONS)


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
    """Permissions by strategy account. `orders` are of one strategy. One statement, however many orders."""
    system, strategies, accounts = read_together(*_LEVELS, strategy=orders[0].strategy_id)
    return _permissions_of(system, strategies, accounts)


def _permissions_of(
    stored: Sequence[SystemRisk], strategies: Sequence[Strategy], accounts: Iterable[tuple[Any, ...]]
) -> dict[int, TradingPermission]:
    system, strategy = SystemRisk.stored_or_unlimited(stored), strategies[0]
    above = strictest_of(_level_state("system", system), _level_state("strategy", strategy))
    wider = Limits.of(strategy, system)
    return {
        pk: TradingPermission(
            _strictest_level(above, *levels), wider.narrowed(limits), takes_part and strategy.is_active
        )
        for pk, takes_part, *levels, limits in ((*row[:6], row[6:]) for row in accounts)
    }


def _strictest_level(
    above: LevelState, state: str, reason: str, account_state: str, account_reason: str
) -> LevelState:
    if state == account_state == TradingState.ACTIVE:
        return above
    own = LevelState("strategy account", state, reason)
    return strictest_of(above, LevelState("account", account_state, account_reason), own)


def read_context(orders: Sequence[Order], *, now: datetime, first: str = "") -> OrderContext:
    """Reads the context, mostly in one statement, and always in a fixed number of statements.

    `first` is a statement that runs before in the same trip (exchanges.database.prepared.read_together). All
    facts are of one moment: on PostgreSQL each statement sees the commits before it, and an exit that found a position
    and its doubts at different moments could miss both.

    Strategy accounts with counted limits stay locked until the transaction ends, so that the counts stay true.
    """
    exits, entries = _split(orders)
    sales = [order for order in entries if order.market_type == MarketType.SPOT and order.side == Side.SELL]
    parts = _parts_of(exits, sales)
    found = read_together(
        *_LEVELS,
        *(query for query, _ in parts),
        first=[Statement(first)] if first else (),
        strategy=orders[0].strategy_id,
        market_type=orders[0].market_type,
        symbols={order.symbol for order in orders},
        accounts=_compared_accounts(orders),
        goals={order.goal_id for order in exits if order.goal_id and order.attempt > 1},
        oldest=oldest_comparison(now=now),
    )
    context = OrderContext(now, _permissions_of(*found[: len(_LEVELS)]))
    for (_, take), rows in zip(parts, found[len(_LEVELS) :], strict=True):
        take(rows, orders, context)
    if exits and entries:
        _read_obstacles(frozenset(Obstacle), entries, context)
    _read_counts(context)
    return context


def _compared_accounts(orders: Iterable[Order]) -> set[int]:
    return {
        order.account_id for order in orders if not order.is_closing or order.market_type == MarketType.SPOT
    }


def _parts_of(exits: Sequence[Order], sales: Sequence[Order]) -> list[tuple[Query[Any], Take]]:
    """The queries of a turn, each with what takes its rows into the context."""
    parts: list[tuple[Query[Any], Take]] = [(STALE_ACCOUNTS, _take_stale)]
    if not exits:
        parts.append((reads.OBSTACLES, _take_obstacles))
    if sales:
        parts.append((reads.SALES, _take_sales))
    if exits or sales:
        parts.append((reads.POSITIONS, _take_positions))
    if exits:
        parts += [
            (reads.UNKNOWN_OUTCOMES, _take_unknown_outcomes),
            (reads.OWN_ORDERS, _take_own_orders),
            (reads.FILLS_OF_GOALS, _take_fills_of_goals),
            (reads.HOLDING_CHECKS, _take_holding_checks),
            (reads.OLDER_GOALS, _take_older_goals),
            (reads.NET_HOLDINGS, _take_net_holdings),
            (reads.DECLARED_PARTS, _take_declared_parts),
            (reads.NET_ORDERS, _take_net_orders),
        ]
    return parts


def _read_counts(context: OrderContext) -> None:
    counted = [pk for pk, permission in context.permissions.items() if permission.needs_counts]
    if not counted:
        return
    # Deliveries of different symbols run side by side, and only one of two may use up the last place of a limit.
    list(StrategyAccount.objects.select_for_update(no_key=True).filter(pk__in=counted).order_by("pk"))
    _read_open_orders(counted, context)
    _count_recent_orders(counted, context)
    # Again after the open orders, also where the positions are known: what fills in between counts twice, not never.
    _read_positions(counted, context)


# Rows of the one statement


def _take_stale(rows: list[Any], orders: Sequence[Order], context: OrderContext) -> None:
    context.stale_comparisons = comparisons_of(rows)


def _take_obstacles(rows: list[Any], orders: Sequence[Order], context: OrderContext) -> None:
    obstacles = {obstacle for (obstacle,) in rows}
    if Obstacle.UNKNOWN_OUTCOME in obstacles:
        symbols = {order.symbol for order in orders}
        _take_unknown_outcomes(reads.UNKNOWN_OUTCOMES.rows(symbols=symbols), orders, context)
    _read_obstacles(obstacles, orders, context)


def _take_unknown_outcomes(rows: list[Order], orders: Sequence[Order], context: OrderContext) -> None:
    for row in rows:
        context.unknown_outcomes[row.account_symbol] = row.client_order_id
        # The other statuses are working, and _take_own_orders takes working orders.
        if row.status == OrderStatus.SUBMITTED:
            context.note_unsure(row)


def _take_positions(rows: list[Any], orders: Sequence[Order], context: OrderContext) -> None:
    for strategy_account, symbol, quantity, is_dust in rows:
        exposure = context.exposures[strategy_account]
        exposure.held[symbol] = quantity
        if is_dust:
            exposure.dust.add(symbol)


def _take_sales(rows: list[Any], orders: Sequence[Order], context: OrderContext) -> None:
    for strategy_account, symbol, quantity, filled in rows:
        context.selling[PositionKey(strategy_account, symbol)] += quantity - filled


def _take_own_orders(rows: list[Order], orders: Sequence[Order], context: OrderContext) -> None:
    """Takes the open orders of the strategy in the symbols. An order is unsure until a look-up after the exit came."""
    came_at = min(order.created_at for order in orders if order.is_closing)
    for row in sorted(rows, key=lambda row: row.pk):
        is_exit = row.is_closing or row.reduce_only
        (context.own_exits if is_exit else context.own_entries)[row.position_key].append(row)
        if row.answered_at is None or row.answered_at < came_at:
            context.note_unsure(row)


def _take_fills_of_goals(rows: list[Any], orders: Sequence[Order], context: OrderContext) -> None:
    for goal_id, filled in rows:
        context.closed_by_goal[goal_id] += filled


def _take_holding_checks(rows: list[HoldingCheck], orders: Sequence[Order], context: OrderContext) -> None:
    for check in rows:
        context.holding_checks[AccountSymbol(check.account_id, check.symbol)] = check


def _take_older_goals(rows: list[ExitGoal], orders: Sequence[Order], context: OrderContext) -> None:
    places = {
        order.position_key: (order.batch_id or 0, order.sequence) for order in orders if order.is_closing
    }
    for goal in rows:
        if (goal.batch_id, goal.sequence) < places.get(goal.position_key, (0, 0)):
            known = context.older_remains.get(goal.position_key, goal.to_remain)
            context.older_remains[goal.position_key] = min(goal.to_remain, known)


def _take_net_holdings(rows: list[Any], orders: Sequence[Order], context: OrderContext) -> None:
    """An exchange that nets positions sees only the sum over all strategies of an account."""
    for account, strategy_account, symbol, quantity in rows:
        net = context.net_holdings[AccountSymbol(account, symbol)]
        net.held += quantity
        net.strategy_accounts.add(strategy_account)


def _take_declared_parts(rows: list[Any], orders: Sequence[Order], context: OrderContext) -> None:
    for account, symbol, external in rows:
        net = context.net_holdings[AccountSymbol(account, symbol)]
        net.external, net.held = external, net.held + external


def _take_net_orders(rows: list[Any], orders: Sequence[Order], context: OrderContext) -> None:
    for account, strategy_account, symbol, side, quantity, filled in rows:
        net = context.net_holdings[AccountSymbol(account, symbol)]
        net.open_by_strategy_account[strategy_account, Side(side)] += quantity - filled
        net.strategy_accounts.add(strategy_account)


# Further statements


def _read_obstacles(obstacles: Collection[str], entries: Sequence[Order], context: OrderContext) -> None:
    if Obstacle.DIFFERENCE in obstacles:
        _read_differences(entries, context)
    if Obstacle.EVENT in obstacles:
        context.waiting_events = waiting_symbols({order.symbol for order in entries})
    if Obstacle.FULL_EXIT in obstacles:
        _read_full_goals(entries, context)


def _split(orders: Sequence[Order]) -> tuple[list[Order], list[Order]]:
    return [order for order in orders if order.is_closing], [
        order for order in orders if not order.is_closing
    ]


def _level_state(scope: str, row: SystemRisk | Strategy) -> LevelState:
    return LevelState(scope, row.trading_state, row.state_reason)


def _read_positions(strategy_accounts: Sequence[int], context: OrderContext) -> None:
    rows = Position.objects.held().filter(strategy_account__in=strategy_accounts)
    columns = ("strategy_account_id", "symbol", "quantity", "is_dust")
    for strategy_account in strategy_accounts:
        exposure = context.exposures[strategy_account]
        exposure.held.clear()
        exposure.dust.clear()
    _take_positions(list(rows.values_list(*columns)), (), context)


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
