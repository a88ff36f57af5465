"""The answer of a stored delivery: waits until the orders are settled or the budget is used up, and builds JSON."""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import Error

from exchanges.enums import TradingState
from exchanges.failpoints import failpoint
from orders.domain.enums import OrderStatus
from orders.execution import batches
from orders.execution.batch_run import BatchRun
from orders.execution.planner import Plan
from orders.models import Batch, Cancellation, Order
from orders.protection.overview import protections_of
from strategies.models import SystemRisk
from webhooks import duplicates
from webhooks.admission import Admission
from webhooks.answering import results
from webhooks.answering.deferral import InThread
from webhooks.answering.others import HandedOver, handed_over, others_results
from webhooks.message.payload import Delivery
from webhooks.models import NOTE_ANSWER, WebhookLog
from webhooks.timing import Timing

logger = logging.getLogger(__name__)

_POLL_S, _POLL_AT_MOST_S = 0.05, 0.4
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A delivery that passed every check."""

    timing: Timing
    address: str
    delivery: Delivery
    admission: Admission
    plan: Plan

    @property
    def viewer_id(self) -> int:
        """The user who reads the answer: the token's."""
        return self.admission.token.user_id

    def concerns_known_accounts(self, orders: Iterable[Order]) -> bool:
        """Whether an order is for the viewer or for who takes part. One for others who left tells that they hold."""
        present = {row.pk for row in self.admission.strategy_accounts}
        return any(
            order.strategy_account_id in present or order.account.owner_id == self.viewer_id
            for order in orders
        )

    def budget_left_s(self) -> float:
        return self.timing.left_s(settings.WEBHOOK_ANSWER_BUDGET_MS)


@dataclass(slots=True)
class Answer:
    """The answer of the delivery `log`, always with 200. Without a run, the delivery repeats the delivery of `log`."""

    log: WebhookLog
    run: BatchRun | None
    accepted: Accepted
    is_preview: bool = False
    is_started: bool = True
    handed: HandedOver = field(default_factory=dict)

    @classmethod
    def of_dry_run(cls, log: WebhookLog, accepted: Accepted) -> "Answer":
        return cls(log, None, accepted, is_preview=True)

    def start(self) -> None:
        """Starts the run. Never raises: what is stored must not be sent again by its sender."""
        self.accepted.timing.send()
        if self.run is not None:
            self.handed = handed_over(self.run.orders, viewer_id=self.accepted.viewer_id)
        try:
            if self.run is not None:
                batches.start_run(self.run)
        except Exception:
            # Boundary: the tracker resumes the batch once its lease runs out.
            self.is_started = False
            logger.exception("run not started webhook_id=%s", self.log.public_id)

    # Waiting

    def wait(self) -> None:
        """Waits on this thread."""
        if self.run is not None:
            self.run.completed.wait(self.accepted.budget_left_s())
        poll_s = _POLL_S
        while not self._seems_settled() and self.accepted.budget_left_s() > poll_s:
            time.sleep(poll_s)
            poll_s = min(2 * poll_s, _POLL_AT_MOST_S)

    async def settle(self, in_thread: InThread) -> None:
        """Waits on the event loop: a run calls back, and what another process runs is asked for now and then."""
        if self.run is not None:
            await _completion_of(self.run, self.accepted.budget_left_s())
        poll_s = _POLL_S
        while self._needs_polls() and self.accepted.budget_left_s() > poll_s:
            if await in_thread(self._seems_settled):
                break
            await asyncio.sleep(poll_s)
            poll_s = min(2 * poll_s, _POLL_AT_MOST_S)

    def _needs_polls(self) -> bool:
        return self.run is None and not self.is_preview

    def _seems_settled(self) -> bool:
        try:
            return self._is_settled()
        except Error:
            # The delivery is stored: a 5xx would be wrong. The answer tells what can be read then.
            logger.exception("end of batch not asked for webhook_id=%s", self.log.public_id)
            return True

    def _is_settled(self) -> bool:
        if not self._needs_polls():
            return True
        assert self.log.batch_id is not None
        return not Batch.objects.unfinished().filter(pk=self.log.batch_id).exists()

    # Building

    def build(self) -> Json:
        try:
            body = self._body()
        except Exception:
            # Boundary: a 5xx would make the sender repeat a delivery under way. The tracker finishes the delivery.
            logger.exception("answer without results webhook_id=%s", self.log.public_id)
            body = _answer_envelope(self.log, self.accepted, [], [], [])
        self._note()
        return {**body, "duplicate": self.run is None and not self.is_preview}

    def _body(self) -> Json:
        if self.is_preview:
            return self._preview()
        if self.run is None:
            return self._repeated()
        failpoint("result committed, not answered")
        self.accepted.timing.settle()
        run = self.run
        orders = [run.as_reported(order) for order in run.orders]
        body = self._build(orders, run.canceled, run.cancellations, gave_way=run.gave_way)
        if self.accepted.concerns_known_accounts(run.orders):
            body["warnings"] += run.warnings
        return body

    def _repeated(self) -> Json:
        """The answer of the first delivery, from its orders as they are now."""
        log, accepted = self.log, self.accepted
        accepted.timing.settle()
        rows = Order.objects.select_related("account", "goal")
        cancellations = list(
            Cancellation.objects.filter(batch=log.batch_id).select_related("strategy_account__account")
        )
        orders = list(rows.filter(batch=log.batch_id))
        self.handed = handed_over(orders, viewer_id=accepted.viewer_id)
        body = self._build(
            orders,
            list(rows.filter(canceled_by__in=cancellations)),
            cancellations,
            gave_way=list(rows.filter(canceled_for__batch=log.batch_id, goal__isnull=True)),
        )
        body["warnings"] += duplicates.warnings_about(accepted.delivery, log, now=accepted.timing.received_at)
        return body

    def _preview(self) -> Json:
        plan = self.accepted.plan
        named = [cancellation for cancellation in plan.cancellations if cancellation.target_id]
        return {**self._build(plan.orders, [], named), "action": "dry_run"}

    def _build(
        self,
        orders: Sequence[Order],
        canceled: Sequence[Order],
        cancellations: Sequence[Cancellation],
        *,
        gave_way: Sequence[Order] = (),
    ) -> Json:
        """The answer of these rows: those of the viewer's accounts in full, of others what an owner may know."""
        log, accepted, viewer = self.log, self.accepted, self.accepted.viewer_id
        own = [order for order in orders if order.account.owner_id == viewer]
        own_canceled = [order for order in canceled if order.account.owner_id == viewer]
        instructions = [row for row in cancellations if row.strategy_account.account.owner_id == viewer]
        trades = results.order_results(own, protections=protections_of(own))
        cancels = results.cancel_results(instructions, own_canceled)
        cancels += results.target_results(
            instructions,
            _untouched_targets(instructions, own_canceled),
            since=log.received_at,
            is_preview=self.is_preview,
        )
        cancels += results.missing_results(accepted.plan.not_found)
        others = [] if self.is_preview else self._others(orders)
        body = _answer_envelope(log, accepted, trades, cancels, others)
        body["warnings"] += results.gave_way_warnings(
            order for order in gave_way if order.account.owner_id == viewer
        )
        return body

    def _others(self, orders: Sequence[Order]) -> list[Json]:
        accepted = self.accepted
        return others_results(
            accepted.admission.strategy_accounts,
            accepted.delivery.legs,
            accepted.plan,
            self.handed,
            viewer_id=accepted.viewer_id,
            state=_state_above(accepted, orders) if self.handed else TradingState.ACTIVE,
            is_started=self.is_started,
        )

    def _note(self) -> None:
        """Stores when the first delivery was answered, and when its token was used."""
        try:
            self.accepted.admission.token.note_use(now=self.accepted.timing.received_at)
            if self.run is not None:
                timing = self.accepted.timing
                is_in_time = timing.is_in_time(settings.WEBHOOK_ANSWER_BUDGET_MS)
                times: dict[str, Any] = {
                    "sent_at": timing.at(timing.sent),
                    "answered_at": timing.at(time.monotonic()) if is_in_time else None,
                    **timing.metrics(),
                }
                NOTE_ANSWER.run(pk=self.log.pk, **times)
        except Error:
            logger.exception("answer not noted webhook_id=%s", self.log.public_id)


async def _completion_of(run: BatchRun, timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    completed = asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for the answer any more
            loop.call_soon_threadsafe(completed.set)

    run.completed.when_set(wake)
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await completed.wait()


def _state_above(accepted: Accepted, orders: Sequence[Order]) -> TradingState:
    """The strictest state of the strategy and the system. Where no order was denied, the system stops nothing."""
    states = [TradingState(accepted.admission.strategy.trading_state)]
    if any(order.status == OrderStatus.DENIED for order in orders):
        states += [TradingState(row.trading_state) for row in SystemRisk.objects.filter(pk=1)]
    return max(states, key=lambda state: state.strictness)


def _untouched_targets(cancellations: Sequence[Cancellation], canceled: Sequence[Order]) -> list[Order]:
    """The orders that CANCEL legs name, and that no cancel touched: over already, or not reached yet."""
    touched = {order.pk for order in canceled}
    pks = {c.target_id for c in cancellations if c.target_id is not None} - touched
    return list(Order.objects.filter(pk__in=pks).select_related("account", "goal")) if pks else []


def _answer_envelope(
    log: WebhookLog,
    accepted: Accepted,
    trades: list[Json],
    cancels: list[Json],
    others: list[Json],
) -> Json:
    action = results.action_of(accepted.delivery.legs)
    own = [*trades, *cancels]
    if action.startswith("cancel"):
        cancels = [*cancels, *others]
    else:
        trades = [*trades, *others]
    return {
        "success": True,
        "outcome": results.outcome_of([*own, *others]),
        "action": action,
        "strategy": accepted.admission.strategy.group_name,
        "webhook_id": log.public_id,
        "duplicate": False,
        "warnings": [str(warning) for warning in accepted.delivery.warnings],
        "results": [*own, *others],
        "summary": results.summary(trades, cancels, action=action, accounts=_count_accounts(accepted)),
        "performance_metrics": accepted.timing.metrics(),
    }


def _count_accounts(accepted: Accepted) -> int:
    """The accounts that take part, and the sender's own former accounts that the delivery's legs concern.

    A former account of another user is concerned only where it holds something, which is not told.
    """
    admission, plan = accepted.admission, accepted.plan
    concerned = {order.strategy_account_id for order in plan.orders}
    concerned |= {cancellation.strategy_account_id for cancellation in plan.cancellations}
    own = [row for row in admission.former_accounts if row.account.owner_id == accepted.viewer_id]
    return len(admission.strategy_accounts) + sum(row.pk in concerned for row in own)
