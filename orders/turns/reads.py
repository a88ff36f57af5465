"""What the turn of orders reads from the database: one query for each kind of fact, all of them read in one statement.

The slots: `strategy`, `market_type`, `symbols` of the turn's orders, `accounts` and `goals` of these orders, and
`oldest`, the time before which the comparison of an account is too old. Rows are narrowed by symbol: few rows remain,
accounts can be many, and the caller tells the accounts apart.
"""

from enum import StrEnum
from typing import Any

from django.db.models import QuerySet, Value

from exchanges.database.prepared import Among, Query, Slot
from exchanges.enums import Side
from orders.domain.lifecycle import WORKING
from orders.models import ExitGoal, HoldingCheck, Order, OutsideEvent, Position, PositionDifference
from strategies.models import LIMIT_NAMES, Strategy, StrategyAccount, SystemRisk

Columns = tuple[Any, ...]

_SAME_SYMBOL = Among("symbol", "symbols")
_STRATEGY, _MARKET_TYPE = Slot("strategy"), Slot("market_type")


class Obstacle(StrEnum):
    """What may stand in the way of an entry."""

    UNKNOWN_OUTCOME = "unknown outcome"
    DIFFERENCE = "difference"
    EVENT = "event"
    FULL_EXIT = "full exit"


def _permissions() -> QuerySet[StrategyAccount, Columns]:
    columns = ["pk", "takes_part", "trading_state", "state_reason"]
    columns += ["account__trading_state", "account__state_reason"]
    rows = StrategyAccount.objects.with_participation().filter(strategy=_STRATEGY)
    return rows.order_by().values_list(*columns, *LIMIT_NAMES)


def _obstacles() -> QuerySet[Any, Columns]:
    found: list[QuerySet[Any]] = [
        Order.objects.of_unknown_outcome().annotate(obstacle=Value(Obstacle.UNKNOWN_OUTCOME)),
        PositionDifference.objects.freezing().annotate(obstacle=Value(Obstacle.DIFFERENCE)),
        OutsideEvent.objects.waiting().annotate(obstacle=Value(Obstacle.EVENT)),
        ExitGoal.objects.pursued().full().annotate(obstacle=Value(Obstacle.FULL_EXIT)),
    ]
    first, *others = (rows.filter(_SAME_SYMBOL).order_by().values_list("obstacle") for rows in found)
    return first.union(*others)


def _positions() -> QuerySet[Position, Columns]:
    rows = Position.objects.held().filter(strategy_account__strategy=_STRATEGY)
    return rows.order_by().values_list("strategy_account_id", "symbol", "quantity", "is_dust")


def _sales() -> QuerySet[Order, Columns]:
    rows = Order.objects.open().filter(_SAME_SYMBOL, strategy=_STRATEGY, side=Side.SELL)
    return rows.order_by().values_list("strategy_account_id", "symbol", "quantity", "filled")


def _unknown_outcomes() -> QuerySet[Order]:
    rows = Order.objects.of_unknown_outcome().filter(_SAME_SYMBOL)
    return rows.select_related("account").order_by()


def _own_orders() -> QuerySet[Order]:
    rows = Order.objects.filter(_SAME_SYMBOL, strategy=_STRATEGY, status__in=WORKING)
    return rows.select_related("account").order_by()


def _fills_of_goals() -> QuerySet[Order, Columns]:
    rows = Order.objects.filter(Among("goal_id", "goals")).exclude(filled=0)
    return rows.order_by().values_list("goal_id", "filled")


def _holding_checks() -> QuerySet[HoldingCheck]:
    return HoldingCheck.objects.filter(_SAME_SYMBOL, market_type=_MARKET_TYPE).order_by()


def _older_goals() -> QuerySet[ExitGoal]:
    rows = ExitGoal.objects.pursued().filter(_SAME_SYMBOL, strategy=_STRATEGY)
    return rows.filter(to_remain__isnull=False).order_by()


def _net_holdings() -> QuerySet[Position, Columns]:
    rows = Position.objects.held().filter(_SAME_SYMBOL, strategy_account__strategy__market_type=_MARKET_TYPE)
    columns = ("strategy_account__account_id", "strategy_account_id", "symbol", "quantity")
    return rows.order_by().values_list(*columns)


def _declared_parts() -> QuerySet[PositionDifference, Columns]:
    rows = PositionDifference.objects.filter(_SAME_SYMBOL, market_type=_MARKET_TYPE).exclude(external=0)
    return rows.order_by().values_list("account_id", "symbol", "external")


def _net_orders() -> QuerySet[Order, Columns]:
    rows = Order.objects.open().filter(_SAME_SYMBOL, market_type=_MARKET_TYPE)
    columns = ("account_id", "strategy_account_id", "symbol", "side", "quantity", "filled")
    return rows.order_by().values_list(*columns)


# For every turn: the wider levels and the strategy accounts of the strategy.
SYSTEM = Query(lambda: SystemRisk.objects.filter(pk=1).order_by())
STRATEGY = Query(lambda: Strategy.objects.filter(pk=_STRATEGY).order_by())
PERMISSIONS = Query(_permissions)
# For entries: what may stand in the way. Mostly nothing does, and then the turn reads nothing more.
OBSTACLES = Query(_obstacles)
# For exits and sales of coins.
POSITIONS = Query(_positions)
SALES = Query(_sales)
# For exits.
UNKNOWN_OUTCOMES = Query(_unknown_outcomes)
OWN_ORDERS = Query(_own_orders)
FILLS_OF_GOALS = Query(_fills_of_goals)
HOLDING_CHECKS = Query(_holding_checks)
OLDER_GOALS = Query(_older_goals)
NET_HOLDINGS = Query(_net_holdings)
DECLARED_PARTS = Query(_declared_parts)
NET_ORDERS = Query(_net_orders)
