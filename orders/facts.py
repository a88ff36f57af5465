"""What the database says at an order's turn, read once for all orders of the turn."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q

from exchanges.enums import Side, TradingState
from orders.enums import OrderStatus
from orders.models import Order, Position, PositionDifference
from orders.risk import Exposure, Level, OpenRemainder, strictest_of
from strategies.models import LIMIT_NAMES, Limits, Strategy, StrategyAccount, SystemRisk

Place = tuple[int, str]  # account and symbol


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for a strategy account now, whatever held when the delivery was planned."""

    strictest: Level
    limits: Limits

    @property
    def counts_matter(self) -> bool:
        limits = self.limits
        counted = (limits.max_open_orders, limits.max_orders_per_minute, limits.max_symbols)
        return limits.max_position_notional is not None or any(limit is not None for limit in counted)


@dataclass(slots=True)
class Facts:
    now: datetime
    standings: Mapping[int, Standing]
    exposures: dict[int, Exposure] = field(default_factory=lambda: defaultdict(Exposure))
    unknown: dict[Place, str] = field(default_factory=dict)  # client order ids whose outcome is open
    account_net: dict[Place, Decimal] = field(
        default_factory=lambda: defaultdict(Decimal)
    )  # over all strategies
    stale_entries: list[Order] = field(
        default_factory=list
    )  # resting; may have filled since somebody last looked
    unsettled_entries: set[Place] = field(
        default_factory=set
    )  # by strategy account: what is held is not yet known
    differences: dict[Place, PositionDifference] = field(default_factory=dict)


def read_standings(orders: Sequence[Order]) -> dict[int, Standing]:
    """By strategy account. Three statements, whatever the number of orders, which are of one strategy."""
    system = SystemRisk.current()
    strategy = Strategy.objects.get(pk=orders[0].strategy_id)
    above = strictest_of(_level("system", system), _level("strategy", strategy))
    wider = Limits.of(strategy, system)
    columns = ["pk", "trading_state", "state_reason", "account__trading_state", "account__state_reason"]
    rows = StrategyAccount.objects.filter(strategy=strategy).values_list(*columns, *LIMIT_NAMES)
    return {
        pk: Standing(_strictest(above, *levels), wider.narrowed(limits))
        for pk, *levels, limits in ((*row[:5], row[5:]) for row in rows)
    }


def _strictest(above: Level, state: str, reason: str, account_state: str, account_reason: str) -> Level:
    if state == account_state == TradingState.ACTIVE:
        return above
    own = Level("strategy account", state, reason)
    return strictest_of(above, Level("account", account_state, account_reason), own)


def read_facts(orders: Sequence[Order], standings: Mapping[int, Standing], *, now: datetime) -> Facts:
    """A fixed number of statements. What counts against a limit is held until the transaction ends."""
    facts = Facts(now, standings)
    counted = [pk for pk, standing in standings.items() if standing.counts_matter]
    if counted:
        # Two deliveries of different symbols run side by side: both may not take the last place.
        list(StrategyAccount.objects.select_for_update(no_key=True).filter(pk__in=counted).order_by("pk"))
        _read_open_orders(counted, facts)
        _read_recent(counted, facts)
    if counted or any(order.is_closing for order in orders):
        _read_positions(orders, facts)
    _read_unknown(orders, facts)
    if any(order.is_closing for order in orders):
        _read_stale_entries(orders, facts)
        _read_account_net(orders, facts)
    if any(not order.is_closing for order in orders):
        _read_differences(orders, facts)
    return facts


def _level(scope: str, row: SystemRisk | Strategy) -> Level:
    return Level(scope, row.trading_state, row.state_reason)


def _read_positions(orders: Sequence[Order], facts: Facts) -> None:
    rows = Position.objects.held().filter(strategy_account__strategy=orders[0].strategy_id)
    for share, symbol, quantity in rows.values_list("strategy_account_id", "symbol", "quantity"):
        facts.exposures[share].held[symbol] = quantity


def _read_open_orders(shares: Sequence[int], facts: Facts) -> None:
    rows = Order.objects.open().filter(strategy_account__in=shares)
    for share, symbol, side, quantity, filled in rows.values_list(
        "strategy_account_id", "symbol", "side", "quantity", "filled"
    ):
        remainder = OpenRemainder(symbol, Side(side), (quantity or Decimal(0)) - filled)
        facts.exposures[share].open_orders.append(remainder)


def _read_recent(shares: Sequence[int], facts: Facts) -> None:
    since = facts.now - timedelta(minutes=1)
    rows = Order.objects.filter(strategy_account__in=shares, submitted_at__gt=since).values(
        "strategy_account_id"
    )
    for row in rows.annotate(count=Count("pk")):
        facts.exposures[row["strategy_account_id"]].orders_last_minute = row["count"]


def _read_unknown(orders: Sequence[Order], facts: Facts) -> None:
    rows = _of_same_symbols(Order.objects.of_unknown_outcome(), orders)
    columns = ("account_id", "strategy_account_id", "symbol", "client_order_id", "status", "reduce_only")
    for account, share, symbol, name, status, reduce_only in rows.values_list(*columns):
        facts.unknown[account, symbol] = name
        if status != OrderStatus.PENDING_CANCEL and not reduce_only:
            facts.unsettled_entries.add((share, symbol))


def _read_account_net(orders: Sequence[Order], facts: Facts) -> None:
    """What the exchange sees where it nets positions: the sum over all strategies of an account."""
    rows = Position.objects.held().filter(strategy_account__strategy__market_type=orders[0].market_type)
    columns = ("strategy_account__account_id", "symbol", "quantity")
    for account, symbol, quantity in _of_same_symbols(rows, orders).values_list(*columns):
        facts.account_net[account, symbol] += quantity


def _read_stale_entries(orders: Sequence[Order], facts: Facts) -> None:
    came_at = min(order.created_at for order in orders if order.is_closing)
    entries = Order.objects.working().filter(strategy=orders[0].strategy_id, reduce_only=False)
    unseen = entries.filter(Q(answered_at__isnull=True) | Q(answered_at__lt=came_at))
    entered = unseen.filter(Q(qty_per__isnull=True) | Q(qty_per__gt=0))
    facts.stale_entries = list(_of_same_symbols(entered, orders).select_related("account"))
    facts.unsettled_entries |= {(row.strategy_account_id, row.symbol) for row in facts.stale_entries}


def _read_differences(orders: Sequence[Order], facts: Facts) -> None:
    for row in _of_same_symbols(PositionDifference.objects.freezing(), orders):
        facts.differences[row.account_id, row.symbol] = row


def _of_same_symbols(rows: Any, orders: Sequence[Order]) -> Any:
    """Such rows are few, and accounts can be many: which account is told apart by the caller."""
    return rows.filter(symbol__in={order.symbol for order in orders})
