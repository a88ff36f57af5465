"""Who still holds or works something of a strategy: exits and cancels reach these strategy accounts."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from exchanges.database.prepared import Query, Slot, read_together
from exchanges.enums import OrderType
from orders.domain.lifecycle import OPEN, UNSENT
from orders.models import ExitGoal, Order, Position

Holdings = Mapping[int, set[str]]  # symbols by strategy account


def held_or_worked(strategy: int) -> Holdings:
    """The symbols that each strategy account of the strategy holds, works, or still wants to close. Dust is nothing.

    One statement.
    """
    found: dict[int, set[str]] = defaultdict(set)
    for rows in read_together(_HELD, _WORKED, _WANTED, strategy=strategy):
        for strategy_account, symbol in rows:
            found[strategy_account].add(symbol)
    return dict(found)


def _held() -> QuerySet[Position, tuple[Any, ...]]:
    rows = Position.objects.tradable().filter(strategy_account__strategy=Slot("strategy"))
    return rows.order_by().values_list(*_COLUMNS)


def _worked() -> QuerySet[Order, tuple[Any, ...]]:
    rows = Order.objects.filter(status__in=[*OPEN, *UNSENT], strategy=Slot("strategy"))
    return rows.order_by().values_list(*_COLUMNS).distinct()


def _wanted() -> QuerySet[ExitGoal, tuple[Any, ...]]:
    rows = ExitGoal.objects.pursued().filter(strategy=Slot("strategy"), order_type=OrderType.MARKET)
    return rows.order_by().values_list(*_COLUMNS)


_COLUMNS = ("strategy_account_id", "symbol")
_HELD, _WORKED, _WANTED = Query(_held), Query(_worked), Query(_wanted)
