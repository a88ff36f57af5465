"""Changes the trading state of a level: system, strategy, account or strategy account.

A change may also cancel the open orders and close the positions under the level.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from exchanges.enums import OrderType, TradingState
from exchanges.models import Account
from orders.domain.sizing import WHOLE
from orders.execution import batches
from orders.execution.batch_run import BatchRun
from orders.execution.cancel_by_person import cancel_orders
from orders.execution.planner import Plan
from orders.exits.goals import goal_of
from orders.models import ExitGoal, Order, Position
from orders.turns import state_lock
from strategies.models import Strategy, StrategyAccount, SystemRisk

Level = SystemRisk | Strategy | Account | StrategyAccount
_STATE = ("trading_state", "state_reason")


def set_trading_state(
    level: Level, state: TradingState, *, reason: str, actor: Actor, now: datetime, only_from: str = ""
) -> bool:
    """Sets the trading state of a level. After the commit no order is committed as `submitted` under the former state.

    With `only_from`, the row changes only where the stored state is still `only_from`. Returns whether the row changed.
    The audit entry also tells of a state that was set again.
    """
    if isinstance(level, SystemRisk):
        SystemRisk.objects.get_or_create(pk=1)
    with transaction.atomic():
        state_lock.hold_exclusive()
        rows = type(level)._default_manager.filter(pk=level.pk)
        rows = rows.filter(trading_state=only_from) if only_from else rows
        before = rows.values(*_STATE).first()
        changed = rows.update(trading_state=state, state_reason=reason[:200], state_changed_at=now) == 1
        if changed:
            after = {"trading_state": state, "state_reason": reason[:200]}
            record(Action.STATE_CHANGED, level, actor=actor, now=now, before=before, after=after)
    if changed:
        level.trading_state, level.state_reason = state, reason
    return changed


def change_trading_state(
    level: Level,
    state: TradingState,
    *,
    reason: str,
    actor: Actor,
    clock: Callable[[], datetime],
    cancel_all: bool = False,
    close_all: bool = False,
) -> list[Order]:
    """Sets the trading state, then cancels orders and closes positions under the level. Returns the touched orders.

    A closing is an exit, so a halt with `close_all` sets `reduce_only` first and `halted` after the exits. While a
    position is left or an order may still fill, the level stays `reduce_only` (see `level.trading_state`), because
    `halted` would lock the position in.
    """
    first = TradingState.REDUCE_ONLY if close_all else state
    set_trading_state(level, first, reason=reason, actor=actor, now=clock())
    touched: list[Order] = []
    if cancel_all:
        open_orders = Order.objects.filter(_rows_under(level))
        touched += cancel_orders(open_orders.open() | open_orders.waiting(), actor=actor, clock=clock)
    if close_all:
        held = Position.objects.filter(_rows_under(level))
        touched += close_positions(held, actor=actor, clock=clock, unsure=touched)
    if state is not first and not _is_something_left(level):
        set_trading_state(level, state, reason=reason, actor=actor, now=clock())
    return touched


def _is_something_left(level: Level) -> bool:
    """Whether an order under the level may still fill, an exit is not over, or a position is left. Dust is nothing."""
    orders = Order.objects.filter(_rows_under(level))
    if (orders.in_flight() | orders.waiting() | orders.unreleased()).exists():
        return True
    goals = ExitGoal.objects.pursued().filter(_rows_under(level), order_type=OrderType.MARKET)
    return goals.exists() or Position.objects.tradable().filter(_rows_under(level)).exists()


def close_positions(
    rows: Iterable[Position],
    *,
    actor: Actor,
    clock: Callable[[], datetime],
    unsure: Iterable[Order] = (),
) -> list[Order]:
    """Makes a goal to close each whole position with MARKET orders, and waits for the runs. Returns the attempts.

    A goal that is not reached by then is pursued by the tracker. Entries among the orders `unsure` that may still fill
    get a goal too, although nothing is held yet: such a goal closes what the entry turns out to have bought.
    """
    held = Position.objects.tradable().filter(pk__in=[row.pk for row in rows])
    entries = Order.objects.open().filter(pk__in=[order.pk for order in unsure], goal__isnull=True)
    # A position takes the place of an entry in the same symbol.
    holders = {(row.strategy_account_id, row.symbol): row for row in (*_loaded(entries), *_loaded(held))}
    by_strategy: dict[Strategy, list[Order | Position]] = defaultdict(list)
    for holder in holders.values():
        by_strategy[holder.strategy_account.strategy].append(holder)
    runs = [_start_closing(strategy, held, actor, clock()) for strategy, held in by_strategy.items()]
    for run in runs:
        run.finished.wait()
    return [order for run in runs for order in run.orders]


def _loaded(rows: QuerySet[Any]) -> Iterable[Any]:
    return rows.select_related("strategy_account__strategy", "strategy_account__account").order_by("pk")


def _start_closing(
    strategy: Strategy, holders: Sequence[Order | Position], actor: Actor, now: datetime
) -> BatchRun:
    orders = [_closing_order(strategy, holder, leg, now) for leg, holder in enumerate(holders)]
    for order in orders:
        order.goal = goal_of(order, actor=actor.name)
    with transaction.atomic():
        Strategy.objects.locked(strategy.pk)
        run = batches.store_batch(Plan(orders=orders), strategy=strategy, signaled_at=None, now=now)
        held = [_named_holder(holder) for holder in holders]
        record(Action.POSITIONS_CLOSED, strategy, actor=actor, now=now, before={"held": held})
    batches.start_run(run)
    return run


def _named_holder(holder: Order | Position) -> dict[str, Any]:
    """What is closed, for the audit trail: a position, or an entry that may still fill."""
    named = {
        "strategy_account": holder.strategy_account_id,
        "symbol": holder.symbol,
        "quantity": holder.quantity,
    }
    return named | ({"entry": holder.client_order_id} if isinstance(holder, Order) else {})


def _closing_order(strategy: Strategy, holder: Order | Position, leg: int, now: datetime) -> Order:
    return Order.compose(
        holder.strategy_account,
        market_type=strategy.market_type,
        leg=leg,
        sequence=0,
        symbol=holder.symbol,
        order_type=OrderType.MARKET,
        qty_per=WHOLE,
        created_at=now,
    )


def _rows_under(level: Level) -> Q:
    match level:
        case Strategy():
            return Q(strategy_account__strategy=level.pk)
        case Account():
            return Q(strategy_account__account=level.pk)
        case StrategyAccount():
            return Q(strategy_account=level.pk)
        case _:
            return Q()
