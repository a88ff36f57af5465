"""Carries orders' calls to the exchanges and writes down, in groups, what the answers prove.

Each call ends in one of: evidence that moves the order, a refusal, or an unknown outcome that stays in flight for the
tracker. Nothing is ever sent twice from here: what follows a doubtful answer is a question.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from exchanges import pauses, vault
from exchanges.adapters.protocol import OrderReport, OrderRequest
from exchanges.enums import MarketType, OrderType, Side
from exchanges.errors import (
    DuplicateClientOrderId,
    ExchangeError,
    OrderNotFound,
    Rejected,
    Throttled,
    Unavailable,
)
from exchanges.failpoints import failpoint
from exchanges.gateway import Call, Outcome, gateway
from exchanges.market_data import catalog
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.lifecycle import IN_FLIGHT
from orders.execution.answers import AnswerQueue
from orders.execution.attempts import deserves_another, store_attempts
from orders.fills.order_reports import Observation, record_reports
from orders.models import Order
from orders.models.transitions import Transition

# Answers that come close together are written together; one that hangs holds the others up this long at most.
IDLE_S = 0.025
LONGEST_S = 0.5

_STALE_MARKET = ("filter_failure", "unknown_symbol")

PLACE, CANCEL, ASK, FILLS = "place_order", "cancel_order", "fetch_order", "fetch_order_fills"


@dataclass(slots=True)
class OrderCall:
    """One order's calls, one after another. `report` is the latest that the exchange said of it."""

    order: Order
    verb: str
    report: OrderReport | None = None
    error: ExchangeError | None = None
    asked_at: datetime | None = None  # when its first call left
    can_wait: bool = False  # its questions leave the exchange's room to others
    again: Order | None = None  # the attempt that follows a refusal


@dataclass(slots=True)
class Round:
    """What one collection of answers leads to."""

    reports: list[tuple[OrderCall, OrderReport]] = field(default_factory=list)
    fills: list[tuple[OrderCall, Observation]] = field(default_factory=list)
    refused: list[tuple[OrderCall, Rejected]] = field(default_factory=list)
    unknown: list[OrderCall] = field(default_factory=list)
    absent: list[OrderCall] = field(default_factory=list)
    next: list[OrderCall] = field(default_factory=list)
    over: list[OrderCall] = field(default_factory=list)


class ExecutionClient:
    """`actor` signs the events. Not thread-safe: one thread starts and collects."""

    def __init__(self, *, actor: str, clock: Any) -> None:
        self.actor = actor
        self.clock = clock
        self.under_way = 0
        self._answers: AnswerQueue[Outcome] = AnswerQueue()

    # Starting

    def place(self, orders: Sequence[Order]) -> None:
        """Sends orders whose `submitted` is committed."""
        if orders:
            failpoint("submitted committed, no socket yet")
        self._start([OrderCall(order, PLACE) for order in orders])

    def cancel(self, orders: Iterable[Order]) -> None:
        """Cancels orders whose `pending_cancel` is committed."""
        failpoint("pending_cancel committed, no cancel sent yet")
        self._start([OrderCall(order, CANCEL) for order in orders])

    def look_up(self, orders: Iterable[Order], *, can_wait: bool = False) -> None:
        self._start([OrderCall(order, ASK, can_wait=can_wait) for order in orders])

    def fetch_fills(self, orders_and_reports: Iterable[tuple[Order, OrderReport]]) -> None:
        self._start([OrderCall(order, FILLS, report=report) for order, report in orders_and_reports])

    def _start(self, order_calls: Sequence[OrderCall]) -> None:
        calls, now = [], self.clock()
        for order_call in order_calls:
            order_call.asked_at = order_call.asked_at or now
            try:
                calls.append(_call(order_call))
            except vault.CredentialsUnreadable:
                error = Unavailable(
                    "The account's credentials cannot be read.", code="credentials_unreadable"
                )
                self._answers.put(
                    Outcome(Call("", MarketType.SPOT, order_call.verb, tag=order_call), error=error)
                )
        self.under_way += len(order_calls)
        if calls:
            gateway.start(calls, self._answers.put)

    # Collecting

    def collect(self, *, timeout_s: float) -> list[OrderCall]:
        """Waits for answers, writes what they prove, and returns the errands that are over.

        Returns an empty list when nothing ended within `timeout_s`.
        """
        outcomes = self._gather(timeout_s)
        if not outcomes:
            return []
        step = Round()
        for outcome in outcomes:
            _sort(outcome, step)
        failpoint("reply read, not written")
        self._write(step)
        self.under_way -= len(outcomes)
        self._start(step.next)
        return step.over

    def _gather(self, timeout_s: float) -> list[Outcome]:
        return self._answers.take(self.under_way, timeout_s=timeout_s, idle_s=IDLE_S, longest_s=LONGEST_S)

    def _write(self, step: Round) -> None:
        now = self.clock()
        self._write_reports(step, now)
        if step.fills:
            record_reports(
                [seen for _, seen in step.fills], evidence=Evidence.QUERY, actor=self.actor, now=now
            )
            # The list of trades may lag behind the order itself: what is missing is doubtful, not absent.
            _mark_unknown([order_call for order_call, seen in step.fills if seen.lacks_trades], now)
            step.over += [order_call for order_call, _ in step.fills]
        if step.refused:
            self._refuse(step.refused, now)
            _tell(step.refused, now)
            step.over += [order_call for order_call, _ in step.refused]
        if step.unknown:
            _mark_unknown(step.unknown, now)
            step.over += step.unknown
        step.over += step.absent
        _note_answers(step)

    def _write_reports(self, step: Round, now: datetime) -> None:
        for verb, evidence in ((PLACE, Evidence.REPLY), (CANCEL, Evidence.REPLY), (ASK, Evidence.QUERY)):
            group = [(order_call, report) for order_call, report in step.reports if order_call.verb == verb]
            if group:
                seen = [Observation(order_call.order, report) for order_call, report in group]
                record_reports(seen, evidence=evidence, actor=self.actor, now=now)
        for order_call, report in step.reports:
            order_call.report = report
            if report.filled > order_call.order.filled:
                order_call.verb, order_call.can_wait = FILLS, False
                step.next.append(order_call)
            else:
                step.over.append(order_call)

    def _refuse(self, refused: Sequence[tuple[OrderCall, Rejected]], now: datetime) -> None:
        changes = [self._refusal(order_call.order, error, now) for order_call, error in refused]
        # An exit that is wanted still is not lost between its refusal and its next attempt.
        with transaction.atomic():
            moved = Order.objects.transition(changes)
            deserving = [
                order_call
                for order_call, error in refused
                if order_call.order.pk in moved and deserves_another(order_call.order, error)
            ]
            attempts = store_attempts([order_call.order for order_call in deserving], now=now)
        for order_call, attempt in zip(deserving, attempts, strict=True):
            order_call.again = attempt
        for order_call, error in refused:
            order_call.error = error

    def _refusal(self, order: Order, error: Rejected, now: datetime) -> Transition:
        fields = {
            "reason": error.code,
            "reason_params": {"message": error.message},
            "exchange_code": error.exchange_code,
            "closed_at": now,
        }
        return Transition(
            order,
            OrderStatus.REJECTED,
            now,
            Evidence.REPLY,
            self.actor,
            fields,
            http_status=error.http_status,
        )


def _tell(refused: Sequence[tuple[OrderCall, Rejected]], now: datetime) -> None:
    """What a refusal means for everybody: an exchange that wants a pause, a market that is not what we think."""
    if any(isinstance(error, Throttled) for _, error in refused):
        pauses.synchronize(now=now)
    for exchange, kind in {
        (order_call.order.account.exchange, order_call.order.market_type)
        for order_call, error in refused
        if error.code in _STALE_MARKET
    }:
        catalog.reload_soon(exchange, MarketType(kind), now=now)


def _note_answers(step: Round) -> None:
    """Exits trust what is known of a resting order only if the exchange was asked about it after they came."""
    told = [
        order_call for order_call, report in step.reports if order_call.verb == ASK
    ]  # with all its trades
    told += [order_call for order_call, seen in step.fills if not seen.lacks_trades]
    asked = [order_call.asked_at for order_call in told if order_call.asked_at]
    if asked:
        # One time for all is the earliest: what was asked later is only asked once more.
        rows = Order.objects.filter(pk__in=[order_call.order.pk for order_call in told])
        rows.filter(Q(answered_at__isnull=True) | Q(answered_at__lt=min(asked))).update(
            answered_at=min(asked)
        )


def _mark_unknown(order_calls: Sequence[OrderCall], now: datetime) -> None:
    """A resting order about which a question failed is as it was; one whose trades could not be read is not."""
    doubtful = [e.order for e in order_calls if e.order.status in IN_FLIGHT or e.verb == FILLS]
    new = [order for order in doubtful if order.unknown_since is None]
    Order.objects.open().filter(pk__in=[o.pk for o in new], unknown_since__isnull=True).update(
        unknown_since=now
    )
    for order in new:
        order.unknown_since = now


def _sort(outcome: Outcome, step: Round) -> None:
    """Where an answer belongs. The one place that decides what a failed call means for its order."""
    order_call: OrderCall = outcome.call.tag
    order_call.error = outcome.error
    match outcome.error:
        case None:
            _sort_success(order_call, outcome.value, step)
        case DuplicateClientOrderId():  # an earlier attempt arrived: find it and adopt it
            order_call.verb = ASK
            step.next.append(order_call)
        case Rejected() if order_call.verb == PLACE:
            step.refused.append((order_call, outcome.error))
        case OrderNotFound() | Rejected() if (
            order_call.verb == CANCEL
        ):  # no proof of anything: ask what is true
            order_call.verb = ASK
            step.next.append(order_call)
        case OrderNotFound() if order_call.verb == ASK:
            step.absent.append(order_call)
        case _:
            step.unknown.append(order_call)


def _sort_success(order_call: OrderCall, value: Any, step: Round) -> None:
    if order_call.verb == FILLS:
        assert order_call.report is not None
        step.fills.append((order_call, Observation(order_call.order, order_call.report, value)))
    elif value is None:
        order_call.verb = ASK
        step.next.append(order_call)
    else:
        step.reports.append((order_call, value))


def _call(order_call: OrderCall) -> Call:
    order = order_call.order
    argument = _request(order) if order_call.verb == PLACE else order.key
    return Call(
        order.account.exchange,
        MarketType(order.market_type),
        order_call.verb,
        (argument,),
        vault.credentials_of(order.account),
        tag=order_call,
        can_wait=order_call.can_wait,
    )


def _request(order: Order) -> OrderRequest:
    assert order.submitted_at is not None
    return OrderRequest(
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=Side(order.side),
        order_type=OrderType(order.order_type),
        quantity=order.quantity or Decimal(0),
        price=order.price,
        stop_price=order.stop_price,
        reduce_only=order.reduce_only,
        send_before=order.submitted_at + timedelta(seconds=settings.ABSENCE_HORIZON_S / 2),
    )
