"""Leaving: what becomes of the orders and positions of strategy accounts that stop taking part."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet, TextChoices
from django.utils.translation import gettext_lazy as _

from exchanges.models import Account
from orders.controls.trading_state import close_positions
from orders.execution.cancel_by_person import cancel_orders
from orders.models import ExitGoal, Order, Position
from strategies.models import Strategy, StrategyAccount, Subscription

Leaver = StrategyAccount | Account | Strategy | Subscription


class LeaveChoice(TextChoices):
    CANCEL_ENTRIES = "cancel_entries", _("Cancel entries; keep positions and their exits")
    KEEP = "keep", _("Keep everything as it is")
    CANCEL_ALL = "cancel_all", _("Cancel entries and exits; keep positions")
    CLOSE = "close", _("Cancel everything and close the positions at the market's price")


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What a strategy account holds or works: numbers of entries, resting exits, positions and exits under way."""

    strategy_account: StrategyAccount
    entries: int
    exits: int
    positions: int
    goals: int

    @property
    def is_something(self) -> bool:
        return bool(self.entries or self.exits or self.positions or self.goals)


def leavers_of(row: Leaver, *, goes_private: bool = False) -> QuerySet[StrategyAccount]:
    """The strategy accounts that stop taking part with the row. A strategy that goes private keeps its owner's."""
    rows = StrategyAccount.objects.select_related("strategy", "account").order_by("pk")
    match row:
        case StrategyAccount():
            return rows.filter(pk=row.pk)
        case Account():
            return rows.filter(account=row.pk)
        case Subscription():
            return rows.filter(strategy=row.strategy_id, account__owner=row.user_id)
        case Strategy():
            of_strategy = rows.filter(strategy=row.pk)
            return of_strategy.exclude(account__owner=row.owner_id) if goes_private else of_strategy


def left_behind(strategy_accounts: Iterable[StrategyAccount]) -> list[LeftBehind]:
    """What each strategy account holds or works; leaves out strategy accounts without anything. Dust is nothing."""
    found = [_left_of(strategy_account) for strategy_account in strategy_accounts]
    return [left for left in found if left.is_something]


def _left_of(strategy_account: StrategyAccount) -> LeftBehind:
    orders = _living(Order.objects.filter(strategy_account=strategy_account))
    entries = orders.filter(_ENTRY).count()
    goals = ExitGoal.objects.pursued().filter(strategy_account=strategy_account, order_type="MARKET")
    positions = Position.objects.tradable().filter(strategy_account=strategy_account)
    return LeftBehind(strategy_account, entries, orders.count() - entries, positions.count(), goals.count())


def leave(
    strategy_accounts: Iterable[StrategyAccount],
    choice: LeaveChoice,
    *,
    actor: str,
    clock: Callable[[], datetime],
) -> list[Order]:
    """Cancels orders and closes positions by the choice. The caller has switched off and committed before.

    Returns the touched orders as they are afterwards. What the exchange has not answered goes on by the tracker.
    """
    pks = [strategy_account.pk for strategy_account in strategy_accounts]
    if choice is LeaveChoice.KEEP:
        return []
    orders = _living(Order.objects.filter(strategy_account__in=pks))
    if choice is LeaveChoice.CANCEL_ENTRIES:
        orders = orders.filter(_ENTRY)
    touched = cancel_orders(orders, actor=actor, clock=clock)
    if choice is LeaveChoice.CLOSE:
        held = Position.objects.filter(strategy_account__in=pks)
        touched += close_positions(held, actor=actor, clock=clock)
    return touched


_ENTRY = Q(goal__isnull=True, reduce_only=False)


def _living(orders: QuerySet[Order]) -> QuerySet[Order]:
    return orders.open() | orders.waiting()  # type: ignore[attr-defined, no-any-return]
