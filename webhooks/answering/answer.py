"""The answer of a stored delivery: waits until the orders are settled or the budget is used up, and builds JSON."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import Error

from exchanges.failpoints import failpoint
from orders.execution import batches
from orders.execution.batch_run import BatchRun
from orders.execution.planner import Plan
from orders.models import Batch, Cancellation, Order
from orders.protection.overview import protections_of
from webhooks import duplicates
from webhooks.admission import Admission
from webhooks.answering import results
from webhooks.answering.deferral import InThread
from webhooks.message.payload import Delivery
from webhooks.models import NOTE_ANSWER, DeliveryStatus, WebhookLog
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

    def budget_left_s(self) -> float:
        return self.timing.left_s(settings.WEBHOOK_ANSWER_BUDGET_MS)


@dataclass(slots=True)
class Answer:
    """The answer of the delivery `log`, always with 200. Without a run, the delivery repeats the delivery of `log`."""

    log: WebhookLog
    run: BatchRun | None
    accepted: Accepted
    is_preview: bool = False

    @classmethod
    def of_dry_run(cls, log: WebhookLog, accepted: Accepted) -> "Answer":
        return cls(log, None, accepted, is_preview=True)

    def start(self) -> None:
        """Starts the run. Never raises: what is stored must not be sent again by its sender."""
        self.accepted.timing.send()
        try:
            if self.run is not None:
                batches.start_run(self.run)
        except Exception:
            # Boundary: the tracker resumes the batch once its lease runs out.
            logger.exception("run not started webhook_id=%s", self.log.pk)

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
            logger.exception("end of batch not asked for webhook_id=%s", self.log.pk)
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
            logger.exception("answer without results webhook_id=%s", self.log.pk)
            body = _answer_envelope(self.log, self.accepted, [], [])
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
        body = _build_answer(
            self.log, orders, run.canceled, run.cancellations, self.accepted, gave_way=run.gave_way
        )
        body["warnings"] += run.warnings
        return body

    def _repeated(self) -> Json:
        """The answer of the first delivery, from its orders as they are now."""
        log, accepted = self.log, self.accepted
        accepted.timing.settle()
        orders = Order.objects.select_related("account", "goal")
        cancellations = list(Cancellation.objects.filter(batch=log.batch_id))
        body = _build_answer(
            log,
            list(orders.filter(batch=log.batch_id)),
            list(orders.filter(canceled_by__in=cancellations)),
            cancellations,
            accepted,
            gave_way=list(orders.filter(canceled_for__batch=log.batch_id, goal__isnull=True)),
        )
        body["warnings"] += duplicates.warnings_about(accepted.delivery, log, now=accepted.timing.received_at)
        return body

    def _preview(self) -> Json:
        plan = self.accepted.plan
        named = [cancellation for cancellation in plan.cancellations if cancellation.target_id]
        return {**_build_answer(self.log, plan.orders, [], named, self.accepted), "action": "dry_run"}

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
            logger.exception("answer not noted webhook_id=%s", self.log.pk)


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


def _build_answer(
    log: WebhookLog,
    orders: Sequence[Order],
    canceled: Sequence[Order],
    cancellations: Sequence[Cancellation],
    accepted: Accepted,
    *,
    gave_way: Sequence[Order] = (),
) -> Json:
    viewer = accepted.admission.token.user_id
    protections = protections_of(order for order in orders if order.account.owner_id == viewer)
    trades = results.order_results(orders, viewer_id=viewer, protections=protections)
    cancels = results.cancel_results(cancellations, canceled, viewer_id=viewer)
    cancels += results.target_results(
        cancellations,
        _untouched_targets(cancellations, canceled),
        viewer_id=viewer,
        since=log.received_at,
        is_preview=log.status == DeliveryStatus.DRY_RUN,
    )
    cancels += results.missing_results(accepted.plan.not_found)
    body = _answer_envelope(log, accepted, trades, cancels)
    body["warnings"] += results.gave_way_warnings(gave_way, viewer_id=viewer)
    return body


def _untouched_targets(cancellations: Sequence[Cancellation], canceled: Sequence[Order]) -> list[Order]:
    """The orders that CANCEL legs name, and that no cancel touched: over already, or not reached yet."""
    touched = {order.pk for order in canceled}
    pks = {c.target_id for c in cancellations if c.target_id is not None} - touched
    return list(Order.objects.filter(pk__in=pks).select_related("account", "goal")) if pks else []


def _answer_envelope(log: WebhookLog, accepted: Accepted, trades: list[Json], cancels: list[Json]) -> Json:
    action = results.action_of(accepted.delivery.legs)
    return {
        "success": True,
        "outcome": results.outcome_of([*trades, *cancels]),
        "action": action,
        "strategy": accepted.admission.strategy.group_name,
        "webhook_id": log.pk,
        "duplicate": False,
        "warnings": [str(warning) for warning in accepted.delivery.warnings],
        "results": [*trades, *cancels],
        "summary": results.summary(trades, cancels, action=action, accounts=_count_accounts(accepted)),
        "performance_metrics": accepted.timing.metrics(),
    }


def _count_accounts(accepted: Accepted) -> int:
    """The number of accounts that take part, and of former accounts that the delivery's legs concern."""
    admission, plan = accepted.admission, accepted.plan
    concerned = {order.strategy_account_id for order in plan.orders}
    concerned |= {cancellation.strategy_account_id for cancellation in plan.cancellations}
    former = [row for row in admission.former_accounts if row.pk in concerned]
    return len(admission.strategy_accounts) + len(former)
