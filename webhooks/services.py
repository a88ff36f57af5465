"""Handles a POST from the bytes to the answer.

A delivery is stored first and run afterwards. A delivery answered with 200 is in the database, and after storing no
fault turns the answer into a 5xx. A delivery that cannot be stored gets 503, so TradingView sends the alert again.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import Error

from exchanges.enums import MarketType
from exchanges.failpoints import failpoint
from exchanges.market_data.catalog import open_catalogs
from orders.execution import batches
from orders.execution.batch_run import BatchRun
from orders.execution.planner import Plan, Planner, SymbolRefused
from orders.models import Batch, Cancellation, Order
from orders.outside.books_gap import check_watermark_once
from orders.protection.overview import protections_of
from orders.transactions import transaction_within
from orders.turns.submission import preview_orders
from strategies.models import Strategy, WebhookToken
from webhooks import answer, duplicates, throttle
from webhooks.admission import Admission, admit_delivery
from webhooks.agreement import check_agreement, dialect_of, sender_of_unread
from webhooks.errors import WebhookError
from webhooks.message.payload import Delivery, parse_delivery
from webhooks.models import DeliveryStatus, WebhookLog
from webhooks.senders import neighborhood_of
from webhooks.signatures import Signed
from webhooks.timing import Timing

logger = logging.getLogger(__name__)

_POLL_S = 0.05
# Storing may take this long, or as long as a larger answer budget: senders wait 3 s, also where the budget is small.
_STORE_WITHIN_MS = 2500
_COSTS_NO_ROW = ("throttled", "payload_too_large", "unavailable", "sender_not_allowed")
_ROWS_OF_STRANGERS = 600  # rows a minute, from all addresses together
_UNREAD_PER_MINUTE = 60  # texts that cannot be read, of one token
Json = dict[str, Any]


@dataclass(slots=True)
class Handling:
    """A delivery in progress. The fields are filled from top to bottom as the checks go on."""

    timing: Timing
    address: str
    delivery: Delivery | None = None
    admission: Admission | None = None


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


def receive_delivery(
    body: bytes,
    *,
    bearer: str | None,
    address: str,
    now: datetime,
    signature: Mapping[str, str] | None = None,
) -> Json:
    """Handles a delivery and returns the answer's JSON. `now` is the time of receipt.

    `signature` holds the request's headers of Standard Webhooks by lower-case name. Raises WebhookError; the error's
    `webhook_id` names the row of the refused delivery.
    """
    handling = Handling(Timing(now), address)
    try:
        return _handle_delivery(_check_delivery(Signed(body, signature or {}), bearer, handling))
    except WebhookError as error:
        error.webhook_id = _log_refusal(error, handling)
        raise
    except Exception as error:
        # Boundary: after an unexpected fault no orders are stored, so the answer asks the sender to send the delivery
        # again, in the usual shape of an error. Faults after storing orders end in _answer_stored and never come here.
        logger.exception("delivery not stored")
        raise WebhookError("unavailable") from error


def _check_delivery(signed: Signed, bearer: str | None, handling: Handling) -> Accepted:
    now = handling.timing.received_at
    dialect = dialect_of(signed.body, bearer=bearer, now=now)
    handling.delivery = delivery = parse_delivery(
        signed.body,
        bearer=bearer,
        max_bytes=settings.WEBHOOK_MAX_BYTES,
        max_legs=settings.WEBHOOK_MAX_LEGS,
        dialect=dialect,
    )
    handling.admission = admission = admit_delivery(delivery, signed, address=handling.address, now=now)
    handling.delivery = delivery = delivery.named(admission.signed_id)
    check_agreement(delivery, admission, default=dialect)
    plan = _plan_batch(delivery, admission, now)
    handling.timing.validate()
    return Accepted(handling.timing, handling.address, delivery, admission, plan)


def _plan_batch(delivery: Delivery, admission: Admission, now: datetime) -> Plan:
    reached = [*admission.strategy_accounts, *admission.former_accounts]
    exchanges = {strategy_account.account.exchange for strategy_account in reached}
    catalogs = open_catalogs(exchanges, MarketType(admission.strategy.market_type), now=now)
    planner = Planner(
        admission.strategy,
        admission.strategy_accounts,
        catalogs,
        delivery.sent_at,
        now,
        admission.former_accounts,
        admission.holdings,
        max_lag_s=delivery.max_lag_s,
    )
    try:
        return planner.plan(delivery.legs)
    except SymbolRefused as refused:
        leg = refused.leg.index if len(delivery.legs) > 1 else None
        raise WebhookError("invalid_symbol", leg=leg, field="symbol", value=refused.text) from refused


def _handle_delivery(accepted: Accepted) -> Json:
    if accepted.delivery.dry_run:
        return _answer_dry_run(accepted)
    log, run = _store_delivery(accepted)
    if accepted.delivery.warnings:
        logger.warning(
            "delivery with warnings webhook_id=%s count=%s", log.pk, len(accepted.delivery.warnings)
        )
    return _answer_stored(log, run, accepted)


# Storing


def _store_delivery(accepted: Accepted) -> tuple[WebhookLog, BatchRun | None]:
    """Stores the delivery and all orders in one transaction. For a duplicate, returns the first delivery and no run."""
    delivery, admission, now = accepted.delivery, accepted.admission, accepted.timing.received_at
    # Before new orders hide that the database is older than this machine has seen.
    check_watermark_once(now=now)
    failpoint("checked, not stored")
    with transaction_within(accepted.timing.left_s(max(settings.WEBHOOK_ANSWER_BUDGET_MS, _STORE_WITHIN_MS))):
        Strategy.objects.locked(admission.strategy.pk)
        first = duplicates.find_first(delivery, admission, now=now)
        if first is not None:
            row = _delivery_row(accepted, DeliveryStatus.DUPLICATE, first=first)
            row.warnings += duplicates.warnings_about(delivery, first, now=now)
            row.save(force_insert=True)
            return first, None
        run = batches.store_batch(
            accepted.plan,
            strategy=admission.strategy,
            signaled_at=delivery.sent_at,
            now=now,
            is_alert=True,
        )
        key = duplicates.dedupe_key(delivery)
        log = _delivery_row(accepted, DeliveryStatus.ACCEPTED, batch=run.batch, dedupe_key=key)
        log.warnings += run.warnings
        log.save(force_insert=True)
        _note_use(accepted)
        _note_hearing(accepted)
        failpoint("inside the storing transaction")
    failpoint("stored, not started")
    return log, run


def _note_use(accepted: Accepted) -> None:
    rows = WebhookToken.objects.filter(pk=accepted.admission.token.pk)
    rows.update(last_used_at=accepted.timing.received_at)


def _note_hearing(accepted: Accepted) -> None:
    """The strategy's row is locked, and silence has ended."""
    rows = Strategy.objects.filter(pk=accepted.admission.strategy.pk)
    rows.update(heard_at=accepted.timing.received_at, silent_since=None)


def _delivery_row(handling: Handling | Accepted, status: DeliveryStatus, **fields: Any) -> WebhookLog:
    delivery, admission, timing = handling.delivery, handling.admission, handling.timing
    known = {
        "strategy": admission.strategy if admission else None,
        "token": admission.token if admission else None,
        "user_id": admission.token.user_id if admission else None,
    }
    return WebhookLog(
        status=status,
        sender=handling.address or None,
        fingerprint=delivery.fingerprint if delivery else "",
        content=delivery.content if delivery and admission else {},  # a stranger's content only costs disk
        warnings=[str(warning) for warning in delivery.warnings] if delivery and admission else [],
        signaled_at=delivery.sent_at if delivery else None,
        received_at=timing.received_at,
        validated_at=timing.at(timing.validated),
        dialect=delivery.dialect if delivery else "",
        **(known | fields),
    )


def _answered_row(handling: Handling | Accepted, status: DeliveryStatus, **fields: Any) -> WebhookLog:
    row = _delivery_row(handling, status, **fields, **handling.timing.metrics())
    row.answered_at = handling.timing.at(time.monotonic())
    row.save(force_insert=True)
    return row


def _log_refusal(error: WebhookError, handling: Handling) -> int | None:
    """Stores a row for the refused delivery and returns the row's key; None where no row is stored.

    The codes in _COSTS_NO_ROW leave no row, because such refusals must stay cheap. Strangers are senders without a
    proved identity. Per minute, a stranger's address leaves at most as many rows as wrong tokens are allowed, and all
    strangers together leave a fixed number: anyone can send a bad body, and nobody may fill the disk with refusals.
    """
    if error.code in _COSTS_NO_ROW:
        return None
    try:
        unread = _unread_fields(error, handling.timing.received_at)
        if not (handling.admission or unread or _may_leave_a_row(handling.address)):
            return None
        row = _answered_row(
            handling,
            DeliveryStatus.REFUSED,
            error_code=error.code,
            error=error.text[:400],
            **unread,
        )
    except Error:
        logger.exception("refused delivery not stored code=%s", error.code)
        return None
    return row.pk


def _unread_fields(error: WebhookError, now: datetime) -> dict[str, Any]:
    """A text that cannot be read belongs to its strategy where the token in the text opens the strategy."""
    sender = sender_of_unread(error, now=now) if error.text_shown else None
    if sender is None or not throttle.is_within("unread", str(sender.token.pk), _UNREAD_PER_MINUTE):
        return {}
    return {
        "strategy": sender.strategy,
        "token": sender.token,
        "user_id": sender.token.user_id,
        "unread": error.text_shown,
    }


def _may_leave_a_row(address: str) -> bool:
    limit = settings.WEBHOOK_FAILED_AUTH_PER_MINUTE
    return throttle.is_within("rows", neighborhood_of(address), limit) and throttle.is_within(
        "rows", "all", _ROWS_OF_STRANGERS
    )


# Answering


def _answer_stored(log: WebhookLog, run: BatchRun | None, accepted: Accepted) -> Json:
    """Answers a stored delivery, always with 200. Without a run, the delivery repeats the delivery of `log`."""
    accepted.timing.send()
    try:
        body = _answer_duplicate(log, accepted) if run is None else _run_batch(log, run, accepted)
    except Exception:
        # Boundary: a 5xx would make the sender repeat a delivery already under way. The tracker finishes the delivery.
        logger.exception("answer without results webhook_id=%s", log.pk)
        body = _answer_envelope(log, accepted, [], [])
    if run is not None:
        _note_answer(log, accepted.timing)
    return {**body, "duplicate": run is None}


def _run_batch(log: WebhookLog, run: BatchRun, accepted: Accepted) -> Json:
    batches.start_run(run)
    run.completed.wait(accepted.budget_left_s())
    failpoint("result committed, not answered")
    accepted.timing.settle()
    body = _build_answer(log, run.orders, run.canceled, run.cancellations, accepted, gave_way=run.gave_way)
    body["warnings"] += run.warnings
    return body


def _note_answer(log: WebhookLog, timing: Timing) -> None:
    try:
        WebhookLog.objects.filter(pk=log.pk).update(
            sent_at=timing.at(timing.sent), answered_at=timing.at(time.monotonic()), **timing.metrics()
        )
    except Error:
        logger.exception("answer not noted webhook_id=%s", log.pk)


def _answer_duplicate(log: WebhookLog, accepted: Accepted) -> Json:
    """Waits for the first delivery within the duplicate's own answer budget, and answers with the first's orders."""
    assert log.batch_id is not None
    while accepted.budget_left_s() > _POLL_S and Batch.objects.unfinished().filter(pk=log.batch_id).exists():
        time.sleep(_POLL_S)
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


def _answer_dry_run(accepted: Accepted) -> Json:
    accepted.plan.orders.extend(preview_orders(accepted.plan.orders, now=accepted.timing.received_at))
    accepted.timing.settle()
    _note_use(accepted)
    log = _answered_row(accepted, DeliveryStatus.DRY_RUN)
    named = [cancellation for cancellation in accepted.plan.cancellations if cancellation.target_id]
    return {**_build_answer(log, accepted.plan.orders, [], named, accepted), "action": "dry_run"}


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
    trades = answer.order_results(orders, viewer_id=viewer, protections=protections)
    cancels = answer.cancel_results(cancellations, canceled, viewer_id=viewer)
    cancels += answer.target_results(
        cancellations,
        _untouched_targets(cancellations, canceled),
        viewer_id=viewer,
        since=log.received_at,
        is_preview=log.status == DeliveryStatus.DRY_RUN,
    )
    cancels += answer.missing_results(accepted.plan.not_found)
    body = _answer_envelope(log, accepted, trades, cancels)
    body["warnings"] += answer.gave_way_warnings(gave_way, viewer_id=viewer)
    return body


def _untouched_targets(cancellations: Sequence[Cancellation], canceled: Sequence[Order]) -> list[Order]:
    """The orders that CANCEL legs name, and that no cancel touched: over already, or not reached yet."""
    touched = {order.pk for order in canceled}
    pks = {c.target_id for c in cancellations if c.target_id is not None} - touched
    return list(Order.objects.filter(pk__in=pks).select_related("account", "goal")) if pks else []


def _answer_envelope(log: WebhookLog, accepted: Accepted, trades: list[Json], cancels: list[Json]) -> Json:
    action = answer.action_of(accepted.delivery.legs)
    return {
        "success": True,
        "action": action,
        "strategy": accepted.admission.strategy.group_name,
        "webhook_id": log.pk,
        "duplicate": False,
        "warnings": [str(warning) for warning in accepted.delivery.warnings],
        "results": [*trades, *cancels],
        "summary": answer.summary(trades, cancels, action=action, accounts=_count_accounts(accepted)),
        "performance_metrics": accepted.timing.metrics(),
    }


def _count_accounts(accepted: Accepted) -> int:
    """The number of accounts that take part, and of former accounts that the delivery's legs concern."""
    admission, plan = accepted.admission, accepted.plan
    concerned = {order.strategy_account_id for order in plan.orders}
    concerned |= {cancellation.strategy_account_id for cancellation in plan.cancellations}
    former = [row for row in admission.former_accounts if row.pk in concerned]
    return len(admission.strategy_accounts) + len(former)
