"""Decides which exit goals a protection gets, keeps or gives up, from the facts. Writes nothing."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from exchanges.adapters.protocol import MarketSpec
from exchanges.amounts import exact, floor_to_step, plain
from exchanges.enums import OrderType
from orders.domain.enums import GoalState, OrderStatus, ProtectionState
from orders.domain.exits import smallest_tradable
from orders.domain.lifecycle import UNSENT
from orders.domain.protection import (
    STOP,
    TakeProfitStep,
    better_of,
    has_passed,
    is_tighter,
    limit_behind,
    stop_price,
    stop_type,
    take_profit_steps,
    wants_stop,
)
from orders.domain.sizing import WHOLE
from orders.exits.resting import as_resting
from orders.models import ExitGoal, Order, Protection
from orders.protection.facts import ProtectionFacts, is_entry_over
from strategies.models.strategy import Unprotected

logger = logging.getLogger(__name__)

ALARM_AFTER = timedelta(seconds=10)
_MOVE_EVERY = timedelta(seconds=5)
_NOTHING = Decimal(0)
_RESTING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)


@dataclass(frozen=True, slots=True)
class NewGoal:
    """A goal to store, as the fields of an ExitGoal. `step` is None for the close of an unprotected position."""

    step: int | None
    order_type: OrderType
    qty_per: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    wanted: Decimal | None = None
    to_remain: Decimal | None = None
    at_most: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Work:
    """What is to do for one protection. `row` shows the new columns; `is_changed` when they differ from the stored."""

    row: Protection
    is_changed: bool = False
    goals: list[NewGoal] = field(default_factory=list)
    superseded: list[ExitGoal] = field(default_factory=list)
    canceled: list[Order] = field(default_factory=list)
    is_told: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.is_changed or self.goals or self.superseded or self.canceled)

    def change(self, **columns: Any) -> None:
        for name, value in columns.items():
            if getattr(self.row, name) != value:
                setattr(self.row, name, value)
                self.is_changed = True


@exact
def decide_position(rows: Sequence[Protection], facts: ProtectionFacts) -> list[Work]:
    """Decides for the protections of one position. The newest one whose entry was filled protects the position."""
    works = [Work(row) for row in sorted(rows, key=lambda row: row.pk)]
    for work in works:
        _end_without_position(work, facts)
    filled = [work for work in works if _may_protect(work.row, facts)]
    for work in filled[:-1]:
        _end(work, facts, replaced=True)
    for work in works:
        if work.row.state == ProtectionState.OVER and not (filled and work is filled[-1]):
            _give_up_goals(work, facts, facts.pursued(work.row))
    if filled:
        _Keeper(filled[-1], facts).keep()
    return works


def _may_protect(row: Protection, facts: ProtectionFacts) -> bool:
    is_over = row.state == ProtectionState.OVER and (row.activated_at is not None or row.replaced)
    return bool(row.entry.filled) and not is_over and facts.held(row) > 0


def _end_without_position(work: Work, facts: ProtectionFacts) -> None:
    """Ends a protection whose position is gone, or whose entry has bought nothing and is over."""
    row = work.row
    if row.state == ProtectionState.OVER or not is_entry_over(row):
        return
    closed_at = facts.closed_fully.get(row.position_key)
    was_closed = closed_at is not None and closed_at >= (row.activated_at or row.created_at)
    if was_closed or facts.held(row) <= 0 or not row.entry.filled:
        _end(work, facts, replaced=was_closed or bool(row.entry.filled))


def _end(work: Work, facts: ProtectionFacts, *, replaced: bool = False) -> None:
    work.change(state=ProtectionState.OVER, over_at=facts.now, replaced=replaced, unprotected_since=None)


def _give_up_goals(work: Work, facts: ProtectionFacts, goals: Sequence[ExitGoal]) -> bool:
    """Supersedes the goals and cancels their attempts; attempts in flight are waited for. Returns whether all ended."""
    if facts.is_in_flight(goals):
        return False
    work.superseded += goals
    work.canceled += [order for goal in goals for order in facts.live[goal.pk]]
    return True


class _Keeper:
    """Keeps the goals of the protection that protects a position."""

    def __init__(self, work: Work, facts: ProtectionFacts) -> None:
        self.work, self.row, self.facts = work, work.row, facts
        self.sign = self.row.sign
        self.wanted = self.row.wanted
        self.held = facts.held(self.row)
        self.last = facts.last_price(self.row)

    def keep(self) -> None:
        self._activate()
        market = self.facts.market(self.row)
        if market is None or self.row.position_key in self.facts.full_exits:
            return
        average = self._average()
        self._note_best(average)
        stop = stop_price(self.wanted, self.sign, average=average, best=self.row.best, tick=market.tick_size)
        base = self.held + self._closed_by_take_profits()
        has_grown = base > self.row.size or self._has_moved(average, market)
        if not (has_grown and self.facts.is_in_flight(self._resting_goals())):
            if stop is not None:
                self._keep_stop(stop, market, has_grown=has_grown)
            self._keep_take_profits(base, average, market, has_grown=has_grown)
            self.work.change(quantity=base, average=average if has_grown else self.row.average)
        if stop is not None:
            self._watch_stop(market)

    def _activate(self) -> None:
        if self.row.state != ProtectionState.ACTIVE:
            self.work.change(state=ProtectionState.ACTIVE, activated_at=self.facts.now, over_at=None)

    def _note_best(self, average: Decimal) -> None:
        if self.wanted.trailing_stop is not None or self.wanted.breakeven_after is not None:
            known = better_of(self.row.best, average, self.sign)
            self.work.change(best=better_of(known, self.last, self.sign))

    def _has_moved(self, average: Decimal, market: MarketSpec) -> bool:
        """Whether entries changed the average. Exits leave the average, apart from the last digits of a quotient."""
        before: Decimal | None = self.row.average
        return before is None or abs(average - before) * 1000 > market.tick_size

    def _average(self) -> Decimal:
        position = self.facts.positions[self.row.position_key]
        quantity: Decimal = position.quantity
        average: Decimal = position.cost / quantity
        return floor_to_step(average, Decimal(1).scaleb(-18))

    def _closed_by_take_profits(self) -> Decimal:
        steps = range(1, len(self.wanted.take_profits) + 1)
        return sum((self.facts.closed_steps[self.row.pk, step] for step in steps), _NOTHING)

    def _resting_goals(self) -> list[ExitGoal]:
        return [goal for goal in self.facts.pursued(self.row) if goal.rests]

    # The stop

    def _keep_stop(self, price: Decimal, market: MarketSpec, *, has_grown: bool) -> None:
        size = floor_to_step(self.held - self._foreign_stops(), market.lot_size)
        current = self.facts.newest_stop(self.row)
        if size < smallest_tradable(market, price, checks_notional=self._checks_notional()):
            return
        if current is None or current.is_over:
            was_ended = current is not None and current.state == GoalState.ENDED
            if has_grown or not was_ended:
                self._set_stop(price, size, market)
        elif self._has_to_move(current, price, size, has_grown=has_grown):
            old = [goal for goal in self.facts.pursued(self.row) if goal.step == STOP]
            # The new stop cancels the resting one at its turn, right before it is sent.
            self.work.superseded += old
            attempts = [order for goal in old for order in self.facts.live[goal.pk]]
            self.work.canceled += [order for order in attempts if order.status in UNSENT]
            self._set_stop(price, size, market)

    def _has_to_move(self, current: ExitGoal, price: Decimal, size: Decimal, *, has_grown: bool) -> bool:
        if self.row.pk in self.facts.halted or self.facts.is_in_flight([current]):
            return False
        covers = (current.wanted or _NOTHING) - self.facts.closed[current.pk] >= size
        old = self.row.stop_price
        if has_grown:
            return not covers or price != old
        if current.state == GoalState.NEEDS_PERSON:
            return False
        moved_at = self.row.moved_at
        is_calm = moved_at is None or not timedelta(0) <= self.facts.now - moved_at < _MOVE_EVERY
        return not covers or (is_calm and old is not None and is_tighter(price, old, self.sign))

    def _set_stop(self, price: Decimal, size: Decimal, market: MarketSpec) -> None:
        kind = stop_type(self.facts.abilities(self.row).order_types) or OrderType.STOP_MARKET
        limit = limit_behind(price, self.sign, market.tick_size) if kind.needs_price else None
        self.work.goals.append(NewGoal(STOP, kind, WHOLE, price=limit, stop_price=price, wanted=size))
        self.work.change(stop_price=price, moved_at=self.facts.now)

    def _foreign_stops(self) -> Decimal:
        """What resting stops that are not of this protection cover, such as a stop that a delivery asked for."""
        stops = self.facts.stops[self.row.position_key]
        foreign = [order for order in stops if order.goal is None or order.goal.protection_id is None]
        return sum((as_resting(order).remaining for order in foreign), _NOTHING)

    # Take profits

    def _keep_take_profits(
        self, base: Decimal, average: Decimal, market: MarketSpec, *, has_grown: bool
    ) -> None:
        if not self.wanted.take_profits:
            return
        steps = take_profit_steps(
            self.wanted,
            self.sign,
            average=average,
            size=base,
            market=market,
            notional=self._checks_notional(),
        )
        left = self._left_of(steps, market)
        if self._rests_together():
            self._place_take_profits(left, has_grown=has_grown)
        else:
            self._watch_take_profits(left)

    def _checks_notional(self) -> bool:
        return not self.facts.abilities(self.row).has_reduce_only

    def _rests_together(self) -> bool:
        """Whether take profits rest at the exchange: beside a stop only where no coins are locked by the stop."""
        return self.facts.abilities(self.row).has_reduce_only or not wants_stop(self.wanted)

    def _left_of(self, steps: Sequence[TakeProfitStep], market: MarketSpec) -> list[TakeProfitStep]:
        room, left = self.held, []
        for step in steps:
            open_part = step.quantity - self.facts.closed_steps[self.row.pk, step.step]
            quantity = floor_to_step(min(open_part, room), market.lot_size)
            if quantity >= smallest_tradable(market, step.price, checks_notional=self._checks_notional()):
                left.append(TakeProfitStep(step.step, step.price, quantity))
                room -= quantity
        return left

    def _place_take_profits(self, left: Sequence[TakeProfitStep], *, has_grown: bool) -> None:
        if not has_grown:
            return
        old = [goal for goal in self._resting_goals() if goal.step != STOP]
        same = {(goal.step, goal.price, goal.wanted) for goal in old if not self.facts.closed[goal.pk]}
        if same and same == {(step.step, step.price, step.quantity) for step in left}:
            return
        _give_up_goals(self.work, self.facts, old)
        for step in left:
            self.work.goals.append(
                NewGoal(step.step, OrderType.LIMIT, WHOLE, price=step.price, wanted=step.quantity)
            )

    def _watch_take_profits(self, left: Sequence[TakeProfitStep]) -> None:
        """Closes the nearest step whose price is reached, at the market's price; the next step comes afterwards."""
        if self.row.position_key in self.facts.market_goals:
            return
        for step in left:
            if has_passed(self.last, step.price, self.sign):
                remain = self.held - step.quantity
                at_most = {"qty": plain(step.quantity)}
                self.work.goals.append(
                    NewGoal(step.step, OrderType.MARKET, WHOLE, to_remain=remain, at_most=at_most)
                )
                return

    # The alarm

    def _watch_stop(self, market: MarketSpec) -> None:
        """Tells once that the stop has not rested for ten seconds; by the strategy's setting closes the position."""
        row, now = self.row, self.facts.now
        if self._is_protected(market) or row.position_key in self.facts.market_goals:
            self.work.change(unprotected_since=None, told_at=None)
            return
        if row.unprotected_since is None or row.unprotected_since > now:
            self.work.change(unprotected_since=now)
        elif now - row.unprotected_since >= ALARM_AFTER and row.told_at is None:
            self.work.change(told_at=now)
            self.work.is_told = True
            if row.strategy.unprotected == Unprotected.CLOSE:
                self.work.goals.append(NewGoal(None, OrderType.MARKET, WHOLE))

    def _is_protected(self, market: MarketSpec) -> bool:
        """Whether stops at the exchange cover the position, and the market has not gone past them."""
        stops = [order for order in self.facts.stops[self.row.position_key] if order.status in _RESTING]
        standing = [order for order in stops if not self._is_passed(order)]
        covered = sum((as_resting(order).remaining for order in standing), _NOTHING)
        return covered >= floor_to_step(self.held, market.lot_size)

    def _is_passed(self, order: Order) -> bool:
        return order.stop_price is not None and has_passed(self.last, order.stop_price, -self.sign)
