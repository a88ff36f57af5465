"""Who still holds or works something of a strategy: exits and cancels reach these strategy accounts."""

from collections import defaultdict
from collections.abc import Mapping

from exchanges.enums import OrderType
from orders.models import ExitGoal, Order, Position

Holdings = Mapping[int, set[str]]  # symbols by strategy account


def held_or_worked(strategy: int) -> Holdings:
    """The symbols that each strategy account of the strategy holds, works, or still wants to close. Dust is nothing.

    Three statements.
    """
    columns = ("strategy_account_id", "symbol")
    held = Position.objects.tradable().filter(strategy_account__strategy=strategy).values_list(*columns)
    orders = Order.objects.filter(strategy=strategy)
    worked = (orders.open() | orders.waiting()).order_by().values_list(*columns).distinct()
    wanted = ExitGoal.objects.pursued().filter(strategy=strategy, order_type=OrderType.MARKET)
    found: dict[int, set[str]] = defaultdict(set)
    for strategy_account, symbol in [*held, *worked, *wanted.order_by().values_list(*columns)]:
        found[strategy_account].add(symbol)
    return dict(found)
