"""A desk with an exchange that can be made to fail: one method for each thing that may happen to it.

Every method ends with the rules of SPEC section 7. What a method names ("the third delivery", "the fifth order") is
counted round, so that any whole number names something.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management.color import no_style
from django.db import OperationalError, connection, connections

from exchanges import failpoints
from exchanges.enums import MarketType, TradingState
from exchanges.gateway import gateway
from exchanges.paper.testing import PaperControl
from exchanges.vault import credentials_of
from orders.controls import trading_state
from orders.controls.exits_by_person import end_goals, try_again
from orders.controls.leaving import LeaveChoice, leave, leavers_of
from orders.domain.enums import GoalState
from orders.execution import batches
from orders.execution.batch_run import BatchRun
from orders.execution.cancel_by_person import cancel_orders
from orders.models import Batch, ExitGoal, Order, OutsideEvent, PositionDifference
from orders.reconciliation.position_differences import declare_events_external, declare_external
from orders.reconciliation.tracker import Tracker
from strategies.models import StrategyAccount, SystemRisk
from tests.crash import Killed, kill
from tests.desk import PERSON, Desk, Json, open_desk
from tests.edge import forget_exchanges
from tests.factories import AccountFactory
from tests.failpoints import armed
from tests.machine import rules
from tests.machine.clock import Clock, Nudge, OutOfTime, within
from tests.rules import assert_rules_hold
from webhooks.errors import WebhookError
from webhooks.services import receive_delivery

KEPT = {
    "exchanges_market",
    "exchanges_marketlist",
    "django_content_type",
    "auth_permission",
    "django_migrations",
}
RUN_S, SETTLE_S, STEP_S, PASSES = 60, 0.05, 180, 40
TIMES_SENT = 5
NEW_MINUTE_S = 61  # the exchange counts request weight anew
FAR_AHEAD = datetime(9999, 1, 1, tzinfo=UTC)
OPENING_PRICES = {"BTCUSDT": "95000", "ETHUSDT": "3500"}


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery's body, to be sent again."""

    body: bytes


class World:
    def __init__(self, paper: PaperControl) -> None:
        self.paper = paper
        self.clock = Clock()
        self.runs: list[BatchRun] = []
        self.sent: list[Sent] = []
        self.marks: dict[str, rules.Mark] = {}
        self.problems: list[str] = []
        self._names = 0

    # Life

    @contextmanager
    def alive(self) -> Iterator["World"]:
        self._empty()
        self._nudge = Nudge(self.clock)
        self._nudge.start()
        self._threads = ThreadPoolExecutor(4)
        try:
            with self.clock.everywhere(), self._watched():
                self._furnish()
                yield self
                self._finish()
        finally:
            failpoints.disarm()
            self.paper.clear_faults()
            if self.runs:  # after a failure: no thread may outlive the rows that it works on
                Batch.objects.unfinished().update(claimed_by="the end", claimed_until=FAR_AHEAD)
            for run in self.runs:
                run.finished.wait(RUN_S)
            self._nudge.end()
            self._threads.shutdown()
            self.paper.set_liquidity(dict.fromkeys(OPENING_PRICES))

    def _empty(self) -> None:
        tables = [name for name in connection.introspection.django_table_names() if name not in KEPT]
        connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), tables))
        self.paper.reset()
        cache.clear()
        forget_exchanges()

    def _furnish(self) -> None:
        """Two futures strategies that share an account and a symbol, and one on spot."""
        wide = open_desk(self.paper, "A1", "A2", group_name="wide")
        wide.add(AccountFactory(owner=wide.strategy.owner, name="A3"), capital=1_000_000, max_open_orders=2)
        narrow = open_desk(self.paper, "A1", group_name="narrow", capital=1_000_000)
        spot = open_desk(self.paper, "A2", group_name="spot", capital=100_000, market_type=MarketType.SPOT)
        self.desks: list[Desk] = [wide, narrow, spot]
        self.keys = ["", *(wide.key(name) for name in ("A1", "A2", "A3"))]
        self.levels = [
            SystemRisk(pk=1),
            *(desk.strategy for desk in self.desks),
            *wide.accounts.values(),
            *StrategyAccount.objects.order_by("pk"),
        ]

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Notes runs, makes failpoints raise, and refuses exchange calls inside a transaction."""
        start, call = batches.start_run, gateway.start

        def start_and_note(run: BatchRun) -> None:
            self.runs.append(run)
            start(run)

        def call_outside(calls: Any, deliver: Any) -> None:
            if connection.in_atomic_block:
                self.problems.append(f"{calls[0].verb} inside a transaction")
            call(calls, deliver)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batches, "start_run", start_and_note)
            patch.setattr(gateway, "start", call_outside)
            patch.setattr(failpoints, "os", SimpleNamespace(kill=kill, getpid=os.getpid))
            yield

    # Steps

    def deliver(self, desk: int, legs: Sequence[Json], *, named: bool = True) -> None:
        self._do(lambda: self._receive(self._write(desk, legs, named=named)))

    def deliver_at_once(self, first: tuple[int, Sequence[Json]], second: tuple[int, Sequence[Json]]) -> None:
        bodies = [self._write(desk, legs) for desk, legs in (first, second)]
        self._do(lambda: self._at_once([lambda body=body: self._receive(body) for body in bodies]))

    def repeat(self, which: int, *, copies: int = 1) -> None:
        """A delivery that was sent before, as it was: alone, or several times at once."""
        if not self.sent:
            return
        body = self.sent[which % len(self.sent)].body
        self._do(lambda: self._at_once([lambda: self._receive(body)] * copies))

    def price(self, symbol: str, price: str) -> None:
        self._do(lambda: self.paper.set_prices({symbol: price}))

    def liquidity(self, symbol: str, quantity: str | None) -> None:
        self._do(lambda: self.paper.set_liquidity({symbol: quantity}))

    def fault(self, *, account: int, **fault: Any) -> None:
        key = self.keys[account % len(self.keys)]
        self._do(lambda: self.paper.fault(**fault, **({"api_key": key} if key else {})))

    def clear_faults(self) -> None:
        self._do(self.paper.clear_faults)

    def cancel(self, which: int, *, count: int = 1) -> None:
        """From the admin."""
        names = [self.order_name(which + place) for place in range(count)]
        rows = Order.objects.filter(client_order_id__in=names)
        self._do(lambda: cancel_orders(rows, actor=PERSON, clock=self.clock.now))

    def arm(self, place: str, time: int) -> None:
        """The next process that comes by that place for the n-th time dies there."""
        failpoints.arm(armed(f"{place}:{time}"))

    def forward(self, seconds: float) -> None:
        self._do(lambda: self.clock.forward(seconds))

    def recover(self, seconds: float = 0) -> None:
        self.clock.forward(seconds)
        self._do(self._track)

    def recover_twice_at_once(self) -> None:
        self._do(lambda: self._at_once([self._track, self._track]))

    def set_state(self, level: int, state: TradingState) -> None:
        self._do(lambda: self._set_state(self.levels[level % len(self.levels)], state))

    def set_state_during(self, level: int, state: TradingState, desk: int, legs: Sequence[Json]) -> None:
        body = self._write(desk, legs)
        change = lambda: self._set_state(self.levels[level % len(self.levels)], state)  # noqa: E731
        self._do(lambda: self._at_once([lambda: self._receive(body), change]))

    def stop(self, level: int, state: TradingState, *, cancel_all: bool, close_all: bool) -> None:
        subject = self.levels[level % len(self.levels)]
        self.marks.pop(_mark_name(subject), None)  # it may loosen the state before, to let exits through
        act = lambda: trading_state.change_trading_state(  # noqa: E731
            subject,
            state,
            reason="test",
            actor=PERSON,
            clock=self.clock.now,
            cancel_all=cancel_all,
            close_all=close_all,
        )
        self._do(act)
        self._mark(subject)

    def hand(self, account: int, symbol: str, side: str, quantity: str) -> None:
        """The owner of an account that we trade on trades at the exchange, too."""
        key = self.keys[1 + account % (len(self.keys) - 1)]
        traded = Order.objects.filter(submitted_at__isnull=False).select_related("account")
        if key not in {credentials_of(order.account).api_key for order in traded}:
            return
        self._do(lambda: self.paper.hand(key, "futures", symbol, side, quantity))

    def force(self, how: str, account: int, symbol: str) -> None:
        """The exchange closes a position: a liquidation, or ADL."""
        key = self.keys[1 + account % (len(self.keys) - 1)]
        held = {row["symbol"]: row["positionAmt"] for row in self.paper.account(key)["positions"]}
        if Decimal(held.get(symbol, "0")):
            self._do(lambda: getattr(self.paper, how)(key, symbol))

    def switch(self, which: int, choice: LeaveChoice) -> None:
        """A person switches a strategy account off, and decides what becomes of what it holds."""
        rows = list(StrategyAccount.objects.order_by("pk"))
        row = rows[which % len(rows)]
        StrategyAccount.objects.filter(pk=row.pk).update(is_active=False)
        self._do(lambda: leave(leavers_of(row), choice, actor=PERSON, clock=self.clock.now))

    def switch_on(self) -> None:
        StrategyAccount.objects.update(is_active=True)

    def decide(self, which: int, *, ends: bool) -> None:
        """A person ends an exit goal, or has it tried again."""
        goals = list(ExitGoal.objects.pursued().order_by("pk"))
        if not goals:
            return
        goal = goals[which % len(goals)]
        if ends:
            self._do(lambda: end_goals([goal], actor=PERSON, clock=self.clock.now))
        else:
            self._do(lambda: try_again([goal], at_market=False, actor=PERSON, now=self.clock.now()))

    def trade_again(self) -> None:
        for level in self.levels:
            self._set_state(level, TradingState.ACTIVE)

    # How

    def orders(self) -> list[Order]:
        return list(Order.objects.order_by("pk"))

    def order_name(self, which: int) -> str:
        names = list(Order.objects.order_by("pk").values_list("client_order_id", flat=True))
        return names[which % len(names)] if names else "nothing"

    def _write(self, desk: int, legs: Sequence[Json], *, named: bool = True) -> bytes:
        chosen = self.desks[desk % len(self.desks)]
        alert = chosen.alert({"orders": [self._named(leg) for leg in legs]})
        self._names += 1
        alert |= {"id": f"alert-{self._names}"} if named else {"note": self._names}
        self.sent.append(Sent(json.dumps(alert).encode()))
        return self.sent[-1].body

    def _named(self, leg: Json) -> Json:
        which = leg.get("order_id")
        return leg if which is None else {**leg, "order_id": self.order_name(which)}

    def _receive(self, body: bytes) -> Any:
        """Sends again what could not be stored in time, as senders do; a busy machine may need that."""
        for _ in range(TIMES_SENT):
            try:
                answer = receive_delivery(body, bearer=None, address="127.0.0.1", now=self.clock.now())
                answer.wait()
                return answer.build()
            except WebhookError as error:
                if error.code != "unavailable":
                    return error.code
                cause = error.__cause__
            if not isinstance(cause, OperationalError):
                break
        self.problems.append(f"delivery not stored: {cause!r}")
        return "unavailable"

    def _track(self) -> None:
        Tracker(clock=self.clock.now).pass_once()

    def _set_state(self, level: trading_state.Level, state: TradingState) -> None:
        trading_state.set_trading_state(level, state, reason="test", actor=PERSON, now=self.clock.now())
        self._mark(level)

    def _mark(self, level: trading_state.Level) -> None:
        self.marks[_mark_name(level)] = rules.mark(level)

    def _at_once(self, acts: Sequence[Callable[[], Any]]) -> None:
        def isolated(act: Callable[[], Any]) -> None:
            try:
                with suppress(Killed):
                    act()
            finally:
                connections.close_all()

        for future in [self._threads.submit(isolated, act) for act in acts]:
            future.result(timeout=2 * RUN_S)

    def _do(self, act: Callable[[], Any]) -> None:
        doubts = rules.doubts()
        try:
            with self._nudge.while_waiting(), within(STEP_S), suppress(Killed):
                act()
        except OutOfTime:
            pytest.fail(f"hangs: {rules.situation(self.clock.now())}")
        self._settle()
        self.check(doubts)

    def _settle(self) -> None:
        """Lets runs end that are about to; others go on during the next steps."""
        until = time.monotonic() + SETTLE_S
        for run in self.runs:
            run.finished.wait(max(0.0, until - time.monotonic()))
        self.runs = [run for run in self.runs if not run.finished.is_set()]

    def check(self, doubts: dict[rules.Place, int] | None = None) -> None:
        assert not self.problems, self.problems
        rules.check(self.paper, self.marks.values(), doubts or {})

    # The end

    def _finish(self) -> None:
        """Nothing fails any more: everything has to come true, and then to stay."""
        failpoints.disarm()
        self.paper.clear_faults()
        self.paper.set_liquidity(dict.fromkeys(OPENING_PRICES))
        self.trade_again()
        self.switch_on()
        for _ in range(PASSES):
            self.recover(NEW_MINUTE_S)
            self._decide_differences()
            if (
                not self.runs
                and not Order.objects.in_flight().exists()
                and not Batch.objects.unfinished().exists()
                and not ExitGoal.objects.filter(state=GoalState.WORKING).exists()
                and not PositionDifference.objects.unresolved().exists()
            ):
                break
        else:
            pytest.fail(f"never settled: {rules.situation(self.clock.now())}")
        self.recover(NEW_MINUTE_S)
        rules.check_end(self.paper, self.clock.now())
        written = rules.written()
        self.recover(NEW_MINUTE_S)
        # An exit before a person is still tried now and then: that writes its attempts.
        if not ExitGoal.objects.filter(state=GoalState.NEEDS_PERSON).exists():
            assert rules.written() == written, "a second look wrote something"
        assert_rules_hold(self.paper)

    def _decide_differences(self) -> None:
        """A person says that what nobody can tell belongs to no strategy."""
        now = self.clock.now()
        declare_events_external(list(OutsideEvent.objects.waiting()), actor=PERSON, now=now)
        for row in PositionDifference.objects.freezing():
            declare_external(row, now=now, actor=PERSON)


def _mark_name(level: trading_state.Level) -> str:
    return f"{type(level).__name__} {level.pk}"
