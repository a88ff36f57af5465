"""What the database says at an order's turn, read once for all orders of the turn."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q

from exchanges.enums import Side, TradingState
from orders.domain.enums import OrderStatus
from orders.domain.keys import AccountSymbol, PositionKey
from orders.domain.risk_checks import Exposure, LevelState, OpenRemainder, strictest_of
from orders.models import Order, Position, PositionDifference
from strategies.models import LIMIT_NAMES, Limits, Strategy, StrategyAccount, SystemRisk


@dataclass(frozen=True, slots=True)
class TradingPermission:
    """What holds for a strategy account now, whatever held when the delivery was planned."""

    strictest: LevelState
    limits: Limits
    takes_part: bool = True  # the strategy, the share and the account are on, and its owner may follow

    @property
    def counts_matter(self) -> bool:
        limits = self.limits
        counted = (limits.max_open_orders, limits.max_orders_per_minute, limits.max_symbols)
        return limits.max_position_notional is not None or any(limit is not None for limit in counted)


@dataclass(slots=True)
class Net:
    """What an account holds over all strategies, and what their open orders may still do to it."""

    held: Decimal = Decimal(0)
    strategy_accounts: set[int] = field(default_factory=set)  # strategy accounts that hold or work it
    open_by_strategy_account: dict[tuple[int, Side], Decimal] = field(
        default_factory=lambda: defaultdict(Decimal)
    )

    def left_without(self, strategy_account: int, side: Side) -> Decimal:
        """The holding if every order of the other strategy accounts on that side fills."""
        others = [
            left
            for (other, sent), left in self.open_by_strategy_account.items()
            if other != strategy_account and sent is side
        ]
        return self.held + side.sign * sum(others, Decimal(0))


@dataclass(slots=True)
class OrderContext:
    now: datetime
    permissions: Mapping[int, TradingPermission]
    exposures: dict[int, Exposure] = field(default_factory=lambda: defaultdict(Exposure))
    unknown: dict[AccountSymbol, str] = field(default_factory=dict)  # client order ids whose outcome is open
    net: dict[AccountSymbol, Net] = field(default_factory=lambda: defaultdict(Net))
    unsure: dict[PositionKey, list[Order]] = field(
        default_factory=lambda: defaultdict(list)
    )  # by strategy account: what may have filled since somebody last looked
    differences: dict[AccountSymbol, PositionDifference] = field(default_factory=dict)

    def note_unsure(self, order: Order) -> None:
        self.unsure[order.position_key].append(order)


def read_permissions(orders: Sequence[Order]) -> dict[int, TradingPermission]:
    """By strategy account. Three statements, whatever the number of orders, which are of one strategy."""
    system = SystemRisk.current()
    strategy = Strategy.objects.get(pk=orders[0].strategy_id)
    above = strictest_of(_level("system", system), _level("strategy", strategy))
    wider = Limits.of(strategy, system)
    columns = ["pk", "takes_part", "trading_state", "state_reason"]
    columns += ["account__trading_state", "account__state_reason"]
    rows = StrategyAccount.objects.with_participation(strategy).values_list(*columns, *LIMIT_NAMES)
    return {
        pk: TradingPermission(
            _strictest(above, *levels), wider.narrowed(limits), takes_part and strategy.is_active
        )
        for pk, takes_part, *levels, limits in ((*row[:6], row[6:]) for row in rows)
    }


def _strictest(
    above: LevelState, state: str, reason: str, account_state: str, account_reason: str
) -> LevelState:
    if state == account_state == TradingState.ACTIVE:
        return above
    own = LevelState("strategy account", state, reason)
    return strictest_of(above, LevelState("account", account_state, account_reason), own)


def read_context(
    orders: Sequence[Order], permissions: Mapping[int, TradingPermission], *, now: datetime
) -> OrderContext:
    """A fixed number of statements. What counts against a limit is held until the transaction ends."""
    context = OrderContext(now, permissions)
    counted = [pk for pk, permission in permissions.items() if permission.counts_matter]
    if counted:
        # Two deliveries of different symbols run side by side: both may not take the last place.
        list(StrategyAccount.objects.select_for_update(no_key=True).filter(pk__in=counted).order_by("pk"))
        _read_open_orders(counted, context)
        _read_recent(counted, context)
    if counted or any(order.is_closing for order in orders):
        _read_positions(orders, context)
    _read_unknown(orders, context)
    if any(order.is_closing for order in orders):
        _read_resting(orders, context)
        _read_net(orders, context)
        _read_net_orders(orders, context)
    if any(not order.is_closing for order in orders):
        _read_differences(orders, context)
    return context


def _level(scope: str, row: SystemRisk | Strategy) -> LevelState:
    return LevelState(scope, row.trading_state, row.state_reason)


def _read_positions(orders: Sequence[Order], context: OrderContext) -> None:
    rows = Position.objects.held().filter(strategy_account__strategy=orders[0].strategy_id)
    for strategy_account, symbol, quantity in rows.values_list("strategy_account_id", "symbol", "quantity"):
        context.exposures[strategy_account].held[symbol] = quantity


def _read_open_orders(strategy_accounts: Sequence[int], context: OrderContext) -> None:
    rows = Order.objects.open().filter(strategy_account__in=strategy_accounts)
    for strategy_account, symbol, side, quantity, filled in rows.values_list(
        "strategy_account_id", "symbol", "side", "quantity", "filled"
    ):
        remainder = OpenRemainder(symbol, Side(side), (quantity or Decimal(0)) - filled)
        context.exposures[strategy_account].open_orders.append(remainder)


def _read_recent(strategy_accounts: Sequence[int], context: OrderContext) -> None:
    since = context.now - timedelta(minutes=1)
    rows = Order.objects.filter(strategy_account__in=strategy_accounts, submitted_at__gt=since).values(
        "strategy_account_id"
    )
    for row in rows.annotate(count=Count("pk")):
        context.exposures[row["strategy_account_id"]].orders_last_minute = row["count"]


def _read_unknown(orders: Sequence[Order], context: OrderContext) -> None:
    rows = _of_same_symbols(Order.objects.of_unknown_outcome(), orders)
    for row in rows.select_related("account"):
        context.unknown[row.account_symbol] = row.client_order_id
        if row.status == OrderStatus.SUBMITTED:  # others are asked about with the resting ones
            context.note_unsure(row)


def _read_net(orders: Sequence[Order], context: OrderContext) -> None:
    """What the exchange sees where it nets positions: the sum over all strategies of an account."""
    rows = Position.objects.held().filter(strategy_account__strategy__market_type=orders[0].market_type)
    columns = ("strategy_account__account_id", "strategy_account_id", "symbol", "quantity")
    for account, strategy_account, symbol, quantity in _of_same_symbols(rows, orders).values_list(*columns):
        net = context.net[AccountSymbol(account, symbol)]
        net.held += quantity
        net.strategy_accounts.add(strategy_account)


def _read_net_orders(orders: Sequence[Order], context: OrderContext) -> None:
    rows = Order.objects.open().filter(market_type=orders[0].market_type)
    columns = ("account_id", "strategy_account_id", "symbol", "side", "quantity", "filled")
    for account, strategy_account, symbol, side, quantity, filled in _of_same_symbols(
        rows, orders
    ).values_list(*columns):
        net = context.net[AccountSymbol(account, symbol)]
        net.open_by_strategy_account[strategy_account, Side(side)] += quantity - filled
        net.strategy_accounts.add(strategy_account)


def _read_resting(orders: Sequence[Order], context: OrderContext) -> None:
    came_at = min(order.created_at for order in orders if order.is_closing)
    resting = Order.objects.working().filter(strategy=orders[0].strategy_id)
    unseen = resting.filter(Q(answered_at__isnull=True) | Q(answered_at__lt=came_at))
    for row in _of_same_symbols(unseen, orders).select_related("account"):
        context.note_unsure(row)


def _read_differences(orders: Sequence[Order], context: OrderContext) -> None:
    for row in _of_same_symbols(PositionDifference.objects.freezing(), orders):
        context.differences[AccountSymbol(row.account_id, row.symbol)] = row


def _of_same_symbols(rows: Any, orders: Sequence[Order]) -> Any:
    """Such rows are few, and accounts can be many: which account is told apart by the caller."""
    return rows.filter(symbol__in={order.symbol for order in orders})
