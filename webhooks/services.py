"""Handles a POST from the bytes to the answer.

A delivery is stored first and run afterwards. A delivery answered with 200 is in the database, and after storing no
fault turns the answer into a 5xx. A delivery that cannot be stored gets 503, so TradingView sends the alert again.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import Error
from django.utils.translation import gettext_lazy as _

from exchanges import pauses
from exchanges.database.new_keys import keys_of, new_keys
from exchanges.database.prepared import Slot
from exchanges.enums import MarketType
from exchanges.failpoints import failpoint
from exchanges.market_data.catalog import open_catalogs
from orders.domain.enums import OrderStatus
from orders.domain.reasons import Denied
from orders.execution import batches
from orders.execution.batch_run import BatchRun
from orders.execution.planner import OutOfScope, Plan, Planner, SymbolRefused, deny_order
from orders.outside.books_gap import check_watermark_once
from orders.transactions import transaction_within
from orders.turns.submission import preview_orders
from strategies.models import Strategy, WebhookToken
from webhooks import duplicates, throttle
from webhooks.admission import Admission, Lookups, admit_delivery, out_of_scope
from webhooks.agreement import check_agreement, dialect_of, sender_of_unread
from webhooks.answering.answer import Accepted, Answer
from webhooks.budgets import spend_orders
from webhooks.errors import WebhookError, lazy_phrase
from webhooks.message.payload import Delivery, parse_delivery
from webhooks.models import DeliveryStatus, WebhookLog
from webhooks.senders import neighborhood_of
from webhooks.signatures import Signed
from webhooks.timing import Timing

logger = logging.getLogger(__name__)

# Storing may take this long, or as long as a larger answer budget: senders wait 3 s, also where the budget is small.
_STORE_WITHIN_MS = 2500
_COSTS_NO_ROW = ("throttled", "payload_too_large", "unavailable", "sender_not_allowed")
_ROWS_OF_STRANGERS = 600  # rows a minute, from all addresses together
_UNREAD_PER_MINUTE = 60  # texts that cannot be read, of one token
_NEW_KEY = new_keys([WebhookLog], lambda: Strategy.objects.filter(pk=Slot("strategy")).order_by())
_OWN_ACCOUNTS_ONLY = _(
    "A dry run covers your own accounts only: %(count)s accounts of subscribers are left out."
)
Json = dict[str, Any]


@dataclass(slots=True)
class Handling:
    """A delivery in progress. The fields are filled from top to bottom as the checks go on."""

    timing: Timing
    address: str
    delivery: Delivery | None = None
    admission: Admission | None = None


def receive_delivery(
    body: bytes,
    *,
    bearer: str | None,
    address: str,
    now: datetime,
    signature: Mapping[str, str] | None = None,
    started: float | None = None,
) -> Answer:
    """Takes a delivery, starts its run, and returns its answer. `now` is the time of receipt.

    `started` is the same moment on the monotonic clock, by default this one. `signature` holds the request's headers of
    Standard Webhooks by lower-case name. Raises WebhookError; the error's `webhook_id` names the row of the refused
    delivery.
    """
    timing = Timing(now) if started is None else Timing(now, started)
    handling = Handling(timing, address)
    try:
        return _handle_delivery(_check_delivery(Signed(body, signature or {}), bearer, handling))
    except WebhookError as error:
        error.webhook_id = _log_refusal(error, handling)
        raise
    except Exception as error:
        # Boundary: after an unexpected fault no orders are stored, so the answer asks the sender to send the delivery
        # again, in the usual shape of an error. Faults after storing orders end in the answer and never come here.
        logger.exception("delivery not stored")
        raise WebhookError("unavailable") from error


def _check_delivery(signed: Signed, bearer: str | None, handling: Handling) -> Accepted:
    now = handling.timing.received_at
    lookups = Lookups(now)
    dialect = dialect_of(signed.body, lookups, bearer=bearer)
    handling.delivery = delivery = parse_delivery(
        signed.body,
        bearer=bearer,
        max_bytes=settings.WEBHOOK_MAX_BYTES,
        max_legs=settings.WEBHOOK_MAX_LEGS,
        dialect=dialect,
    )
    handling.admission = admission = admit_delivery(delivery, signed, lookups, address=handling.address)
    delivery = delivery.named(admission.signed_id)
    if admission.token.ends_soon(now=now):
        delivery = delivery.warned(_warning_of_end(admission.token))
    handling.delivery = delivery
    check_agreement(delivery, admission, default=dialect)
    if delivery.dry_run:
        handling.delivery, handling.admission = delivery, admission = _within_own_accounts(
            delivery, admission
        )
    try:
        plan = _plan_batch(delivery, admission, now)
    except OutOfScope as refused:
        raise out_of_scope(handling.address, leg=refused.leg.index) from refused
    if not delivery.dry_run:
        _spend_budgets(delivery, admission, plan, now)
    handling.timing.validate()
    return Accepted(handling.timing, handling.address, delivery, admission, plan)


def _within_own_accounts(delivery: Delivery, admission: Admission) -> tuple[Delivery, Admission]:
    """A dry run tells quantities and refusals, so an owner's covers the owner's own accounts, and says so."""
    own = admission.of_own_accounts()
    left_out = len(admission.strategy_accounts) - len(own.strategy_accounts)
    if not left_out:
        return delivery, own
    told = lazy_phrase(_OWN_ACCOUNTS_ONLY, {"count": left_out})
    return delivery.warned(told), own


def _warning_of_end(token: WebhookToken) -> str:
    """After its end a token lets no exit out either, so whoever looks at deliveries learns of it in time."""
    assert token.expires_at is not None
    text = _("The token of this message ends on %(date)s. Give the sender another one before.")
    return lazy_phrase(text, {"date": token.expires_at.date().isoformat()})


def _spend_budgets(delivery: Delivery, admission: Admission, plan: Plan, now: datetime) -> None:
    """Refuses or denies entries above a budget of orders; what may close or cancel something goes on.

    A leg that names a position may close something. Raises WebhookError (throttled) for entries only.
    """
    entries = [
        order
        for order in plan.orders
        if order.status == OrderStatus.INITIALIZED and not (order.is_closing or order.is_undecided)
    ]
    token = admission.token
    refusal = spend_orders(len(entries), token=token.pk, user=token.user_id)
    if refusal is None:
        return
    if not delivery.leaves:
        raise refusal
    for order in entries:
        deny_order(order, Denied("order_budget"), now)


def _plan_batch(delivery: Delivery, admission: Admission, now: datetime) -> Plan:
    reached = [*admission.strategy_accounts, *admission.former_accounts]
    exchanges = {strategy_account.account.exchange for strategy_account in reached}
    kind, owner = MarketType(admission.strategy.market_type), admission.token.user_id
    catalogs = open_catalogs(exchanges, kind, now=now, owner=owner)
    planner = Planner(
        admission.strategy,
        admission.strategy_accounts,
        catalogs,
        delivery.sent_at,
        now,
        owner,
        admission.former_accounts,
        admission.holdings,
        max_lag_s=delivery.max_lag_s,
        scope=admission.token.scope,
    )
    try:
        return planner.plan(delivery.legs)
    except SymbolRefused as refused:
        leg = refused.leg.index if len(delivery.legs) > 1 else None
        raise WebhookError("invalid_symbol", leg=leg, field="symbol", value=refused.text) from refused


def _handle_delivery(accepted: Accepted) -> Answer:
    if accepted.delivery.dry_run:
        return Answer.of_dry_run(_preview(accepted), accepted)
    log, run = _store_delivery(accepted)
    if accepted.delivery.warnings:
        logger.warning(
            "delivery with warnings webhook_id=%s count=%s", log.public_id, len(accepted.delivery.warnings)
        )
    answer = Answer(log, run, accepted)
    answer.start()
    return answer


def _preview(accepted: Accepted) -> WebhookLog:
    now, owner = accepted.timing.received_at, accepted.admission.token.user_id
    accepted.plan.orders.extend(preview_orders(accepted.plan.orders, now=now, owner=owner))
    accepted.timing.settle()
    return _answered_row(accepted, DeliveryStatus.DRY_RUN)


# Storing


def _store_delivery(accepted: Accepted) -> tuple[WebhookLog, BatchRun | None]:
    """Stores the delivery and all orders in one transaction. For a duplicate, returns the first delivery and no run."""
    delivery, admission, now = accepted.delivery, accepted.admission, accepted.timing.received_at
    # Before new orders hide that the database is older than this machine has seen.
    check_watermark_once(now=now)
    failpoint("checked, not stored")
    with transaction_within(accepted.timing.left_s(max(settings.WEBHOOK_ANSWER_BUDGET_MS, _STORE_WITHIN_MS))):
        asked_at = time.monotonic()
        before, (claimants, paused, keys) = batches.Before.read(
            accepted.plan,
            admission.strategy,
            duplicates.claimants(delivery),
            pauses.PAUSES,
            _NEW_KEY,
            new_webhooklog=1,
            first=[Strategy.objects.hearing(admission.strategy.pk, now=now)],
            **duplicates.values_of(delivery, admission, now=now),
        )
        first = duplicates.first_of(claimants, delivery, now=now)
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
            before=before,
            owner=admission.token.user_id,
        )
        key = duplicates.dedupe_key(delivery)
        log = _delivery_row(accepted, DeliveryStatus.ACCEPTED, batch=run.batch, dedupe_key=key)
        log.warnings += run.warnings
        before.inserts.add_keys(keys_of([WebhookLog], keys))
        before.inserts.add([log], key=())
        before.inserts.run()
        failpoint("inside the storing transaction")
    pauses.take_over(paused, asked_at=asked_at, now=now)
    failpoint("stored, not started")
    return log, run


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


def _log_refusal(error: WebhookError, handling: Handling) -> str | None:
    """Stores a row for the refused delivery and returns the row's public id; None where no row is stored.

    The codes in _COSTS_NO_ROW leave no row, because such refusals must stay cheap. Strangers are senders without a
    proved identity. Per minute, a stranger's address leaves at most as many rows as wrong tokens are allowed, and all
    strangers together leave a fixed number: anyone can send a bad body, and nobody may fill the disk with refusals.
    """
    if error.code in _COSTS_NO_ROW:
        return None
    try:
        unread = _unread_fields(error, handling)
        if not (handling.admission or unread or _may_leave_a_row(handling.address)):
            return None
        row = _answered_row(
            handling,
            DeliveryStatus.REFUSED,
            error_code=error.code,
            error=" ".join(filter(None, [error.text, str(error.note)]))[:400],
            **unread,
        )
    except Error:
        logger.exception("refused delivery not stored code=%s", error.code)
        return None
    return row.public_id


def _unread_fields(error: WebhookError, handling: Handling) -> dict[str, Any]:
    """A text that cannot be read belongs to its strategy where the token in the text opens the strategy."""
    now, address = handling.timing.received_at, handling.address
    sender = sender_of_unread(error, address=address, now=now) if error.text_shown else None
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
