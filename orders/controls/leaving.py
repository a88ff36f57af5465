"""Leaving: what becomes of the orders and positions of strategy accounts that stop taking part.

First `switch_off` commits the change of the row, so that no new entry starts. Then `leave` does what the person chose.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet, TextChoices
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from exchanges.models import Account
from orders.controls.exits_by_person import end_goals
from orders.controls.trading_state import close_positions
from orders.execution.cancel_by_person import cancel_orders
from orders.models import ExitGoal, Order, Position
from orders.turns import state_lock
from strategies.models import Strategy, StrategyAccount, Subscription

Leaver = StrategyAccount | Account | Strategy | Subscription | User


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


@dataclass(frozen=True, slots=True)
class LeaveResult:
    """The touched orders as they are afterwards, and what is held or worked then.

    The tracker goes on with the orders that the exchange has not answered, and with the exits that are under way.
    """

    orders: list[Order]
    left: list[LeftBehind]


def leavers_of(row: Leaver, *, goes_private: bool = False) -> QuerySet[StrategyAccount]:
    """The strategy accounts that stop taking part with the row. A strategy that goes private keeps its owner's.

    With a user, the strategy accounts of the user's accounts leave, because no token of an inactive user is valid.
    """
    rows = StrategyAccount.objects.select_related("strategy", "account").order_by("pk")
    match row:
        case StrategyAccount():
            return rows.filter(pk=row.pk)
        case Account():
            return rows.filter(account=row.pk)
        case Subscription():
            return rows.filter(strategy=row.strategy_id, account__owner=row.user_id)
        case User():
            return rows.filter(account__owner=row.pk)
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


def switch_off(rows: QuerySet[Leaver], *, actor: Actor, now: datetime) -> None:
    """Switches the rows off. After the commit no order is committed as `submitted` for an entry under the rows."""
    with transaction.atomic():
        state_lock.hold_exclusive()
        active = list(rows.filter(is_active=True).order_by("pk"))
        rows.update(is_active=False)
        for row in active:
            record(
                Action.ROLES_CHANGED if isinstance(row, User) else Action.ROW_CHANGED,
                row,
                actor=actor,
                now=now,
                before={"is_active": True},
                after={"is_active": False},
            )


def leave(
    strategy_accounts: Iterable[StrategyAccount],
    choice: LeaveChoice,
    *,
    actor: Actor,
    clock: Callable[[], datetime],
) -> LeaveResult:
    """Cancels orders and closes positions by the choice. The caller has switched off and committed before.

    The choice stands in the audit trail before anything is done; each cancel and close leaves an entry of its own.
    """
    leavers = list(strategy_accounts)
    _record_choice(left_behind(leavers), choice, actor, clock())
    orders = _withdraw(leavers, choice, actor, clock)
    if choice is LeaveChoice.CLOSE:
        held = Position.objects.filter(strategy_account__in=leavers)
        orders += close_positions(held, actor=actor, clock=clock, unsure=orders)
    return LeaveResult(orders, left_behind(leavers))


def _record_choice(left: list[LeftBehind], choice: LeaveChoice, actor: Actor, now: datetime) -> None:
    with transaction.atomic():
        for behind in left:
            counts = {
                "entries": behind.entries, "exits": behind.exits, "positions": behind.positions, "goals": behind.goals
            }  # fmt: skip
            record(
                Action.PARTICIPATION_ENDED,
                behind.strategy_account,
                actor=actor,
                now=now,
                before=counts,
                after={"choice": choice},
            )


def _withdraw(
    leavers: list[StrategyAccount], choice: LeaveChoice, actor: Actor, clock: Callable[[], datetime]
) -> list[Order]:
    """Cancels entries, and with the last two choices exits too. Exits end first, so that none is sent again."""
    if choice is LeaveChoice.KEEP:
        return []
    rows = _living(Order.objects.filter(strategy_account__in=leavers))
    if choice is LeaveChoice.CANCEL_ENTRIES:
        return cancel_orders(rows.filter(_ENTRY), actor=actor, clock=clock)
    named = Order.objects.filter(pk__in=list(rows.values_list("pk", flat=True)))
    end_goals(ExitGoal.objects.pursued().filter(strategy_account__in=leavers), actor=actor, clock=clock)
    return cancel_orders(named, actor=actor, clock=clock)


_ENTRY = Q(goal__isnull=True, reduce_only=False)


def _living(orders: QuerySet[Order]) -> QuerySet[Order]:
    return orders.open() | orders.waiting()  # type: ignore[attr-defined, no-any-return]
