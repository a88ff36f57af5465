"""Carries orders' calls to the exchanges and writes down, in groups, what the answers prove.

Each call ends in one of: evidence that moves the order, a refusal, or an unknown outcome that stays in flight for the
tracker. Nothing is ever sent twice from here: what follows a doubtful answer is a question.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from exchanges import markets, pauses, vault
from exchanges.adapters.protocol import Credentials, OrderReport, OrderRequest
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
from exchanges.models import Account
from orders.enums import Evidence, OrderStatus
from orders.lifecycle import IN_FLIGHT
from orders.mailbox import Mailbox
from orders.models import Order
from orders.models.transitions import Transition
from orders.recording import Observation, adopt, record
from orders.retrying import deserves_another, store_attempts

# Answers that come close together are written together; one that hangs holds the others up this long at most.
IDLE_S = 0.025
LONGEST_S = 0.5

_STALE_MARKET = ("filter_failure", "unknown_symbol")

PLACE, CANCEL, ASK, FILLS = "place_order", "cancel_order", "fetch_order", "fetch_order_fills"


@dataclass(slots=True)
class Errand:
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

    reports: list[tuple[Errand, OrderReport]] = field(default_factory=list)
    fills: list[tuple[Errand, Observation]] = field(default_factory=list)
    refused: list[tuple[Errand, Rejected]] = field(default_factory=list)
    unknown: list[Errand] = field(default_factory=list)
    absent: list[Errand] = field(default_factory=list)
    next: list[Errand] = field(default_factory=list)
    over: list[Errand] = field(default_factory=list)


class Errands:
    """`actor` signs the events. Not thread-safe: one thread starts and collects."""

    def __init__(self, *, actor: str, clock: Any) -> None:
        self.actor = actor
        self.clock = clock
        self.under_way = 0
        self._answers: Mailbox[Outcome] = Mailbox()

    # Starting

    def place(self, orders: Sequence[Order]) -> None:
        """Sends orders whose `submitted` is committed."""
        if orders:
            failpoint("K6")
        self._start([Errand(order, PLACE) for order in orders])

    def cancel(self, orders: Iterable[Order]) -> None:
        """Cancels orders whose `pending_cancel` is committed."""
        failpoint("K12")
        self._start([Errand(order, CANCEL) for order in orders])

    def look_up(self, orders: Iterable[Order], *, can_wait: bool = False) -> None:
        self._start([Errand(order, ASK, can_wait=can_wait) for order in orders])

    def fetch_fills(self, orders_and_reports: Iterable[tuple[Order, OrderReport]]) -> None:
        self._start([Errand(order, FILLS, report=report) for order, report in orders_and_reports])

    def _start(self, errands: Sequence[Errand]) -> None:
        calls, now = [], self.clock()
        for errand in errands:
            errand.asked_at = errand.asked_at or now
            try:
                calls.append(_call(errand))
            except vault.CredentialsUnreadable:
                error = Unavailable(
                    "The account's credentials cannot be read.", code="credentials_unreadable"
                )
                self._answers.put(Outcome(Call("", MarketType.SPOT, errand.verb, tag=errand), error=error))
        self.under_way += len(errands)
        if calls:
            gateway.start(calls, self._answers.put)

    # Collecting

    def collect(self, *, timeout_s: float) -> list[Errand]:
        """Waits for answers, writes what they prove, and returns the errands that are over.

        Returns an empty list when nothing ended within `timeout_s`.
        """
        outcomes = self._gather(timeout_s)
        if not outcomes:
            return []
        step = Round()
        for outcome in outcomes:
            _sort(outcome, step)
        failpoint("K9")
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
            record([seen for _, seen in step.fills], evidence=Evidence.QUERY, actor=self.actor, now=now)
            # The list of trades may lag behind the order itself: what is missing is doubtful, not absent.
            _mark_unknown([errand for errand, seen in step.fills if seen.lacks_trades], now)
            step.over += [errand for errand, _ in step.fills]
        if step.refused:
            self._refuse(step.refused, now)
            _tell(step.refused, now)
            step.over += [errand for errand, _ in step.refused]
        if step.unknown:
            _mark_unknown(step.unknown, now)
            step.over += step.unknown
        step.over += step.absent
        _note_answers(step)

    def _write_reports(self, step: Round, now: datetime) -> None:
        for verb, evidence in ((PLACE, Evidence.REPLY), (CANCEL, Evidence.REPLY), (ASK, Evidence.QUERY)):
            group = [(errand, report) for errand, report in step.reports if errand.verb == verb]
            if group:
                seen = [Observation(errand.order, report) for errand, report in group]
                record(seen, evidence=evidence, actor=self.actor, now=now)
        for errand, report in step.reports:
            errand.report = report
            if report.filled > errand.order.filled:
                errand.verb, errand.can_wait = FILLS, False
                step.next.append(errand)
            else:
                step.over.append(errand)

    def _refuse(self, refused: Sequence[tuple[Errand, Rejected]], now: datetime) -> None:
        changes = {errand.order.pk: self._refusal(errand.order, error, now) for errand, error in refused}
        with (
            transaction.atomic()
        ):  # an exit that is wanted still is not lost between its refusal and its next attempt
            moved = Order.objects.transition(changes.values())
            deserving = [
                e for e, error in refused if e.order.pk in moved and deserves_another(e.order, error)
            ]
            attempts = store_attempts([errand.order for errand in deserving], now=now)
        for errand, attempt in zip(deserving, attempts, strict=True):
            errand.again = attempt
        stale = [errand.order for errand, _ in refused if errand.order.pk not in moved]
        for errand, error in refused:
            errand.error = error
            if errand.order.pk in moved:
                errand.order.status = OrderStatus.REJECTED
                for name, value in changes[errand.order.pk].fields.items():
                    setattr(errand.order, name, value)
        refresh(stale)

    def _refusal(self, order: Order, error: Rejected, now: datetime) -> Transition:
        fields = {
            "reason": error.code,
            "reason_params": {"message": error.message},
            "exchange_code": error.exchange_code,
            "closed_at": now,
        }
        return Transition(
            order.pk,
            OrderStatus(order.status),
            OrderStatus.REJECTED,
            now,
            Evidence.REPLY,
            self.actor,
            fields,
            http_status=error.http_status,
        )


def _tell(refused: Sequence[tuple[Errand, Rejected]], now: datetime) -> None:
    """What a refusal means for everybody: an exchange that wants a pause, a market that is not what we think."""
    if any(isinstance(error, Throttled) for _, error in refused):
        pauses.share(now=now)
    for exchange, kind in {
        (errand.order.account.exchange, errand.order.market_type)
        for errand, error in refused
        if error.code in _STALE_MARKET
    }:
        markets.reload_soon(exchange, MarketType(kind), now=now)


def _note_answers(step: Round) -> None:
    """Exits trust what is known of a resting order only if the exchange was asked about it after they came."""
    told = [errand for errand, report in step.reports if errand.verb == ASK]  # with all its trades
    told += [errand for errand, seen in step.fills if not seen.lacks_trades]
    asked = [errand.asked_at for errand in told if errand.asked_at]
    if asked:
        # One time for all is the earliest: what was asked later is only asked once more.
        rows = Order.objects.filter(pk__in=[errand.order.pk for errand in told])
        rows.filter(Q(answered_at__isnull=True) | Q(answered_at__lt=min(asked))).update(
            answered_at=min(asked)
        )


def _mark_unknown(errands: Sequence[Errand], now: datetime) -> None:
    """A resting order about which a question failed is as it was; one whose trades could not be read is not."""
    doubtful = [e.order for e in errands if e.order.status in IN_FLIGHT or e.verb == FILLS]
    new = [order for order in doubtful if order.unknown_since is None]
    Order.objects.open().filter(pk__in=[o.pk for o in new], unknown_since__isnull=True).update(
        unknown_since=now
    )
    for order in new:
        order.unknown_since = now


def _sort(outcome: Outcome, step: Round) -> None:
    """Where an answer belongs. The one place that decides what a failed call means for its order."""
    errand: Errand = outcome.call.tag
    errand.error = outcome.error
    match outcome.error:
        case None:
            _sort_success(errand, outcome.value, step)
        case DuplicateClientOrderId():  # an earlier attempt arrived: find it and adopt it
            errand.verb = ASK
            step.next.append(errand)
        case Rejected() if errand.verb == PLACE:
            step.refused.append((errand, outcome.error))
        case OrderNotFound() | Rejected() if errand.verb == CANCEL:  # no proof of anything: ask what is true
            errand.verb = ASK
            step.next.append(errand)
        case OrderNotFound() if errand.verb == ASK:
            step.absent.append(errand)
        case _:
            step.unknown.append(errand)


def _sort_success(errand: Errand, value: Any, step: Round) -> None:
    if errand.verb == FILLS:
        assert errand.report is not None
        step.fills.append((errand, Observation(errand.order, errand.report, value)))
    elif value is None:
        errand.verb = ASK
        step.next.append(errand)
    else:
        step.reports.append((errand, value))


def _call(errand: Errand) -> Call:
    order = errand.order
    argument = _request(order) if errand.verb == PLACE else order.key
    return Call(
        order.account.exchange,
        MarketType(order.market_type),
        errand.verb,
        (argument,),
        credentials_of(order.account),
        tag=errand,
        can_wait=errand.can_wait,
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


def credentials_of(account: Account) -> Credentials:
    """Raises vault.CredentialsUnreadable."""
    return _unsealed(account.sealed_credentials, account.uid)


# Decrypting costs as much as signing, and the process holds the keys that could do it anyway.
@lru_cache(maxsize=4096)
def _unsealed(sealed: str, uid: UUID) -> Credentials:
    return vault.unseal(sealed, identity=Account(uid=uid).identity)


def refresh(orders: Sequence[Order]) -> None:
    """Reads rows again that someone else moved."""
    if orders:
        fresh = Order.objects.in_bulk([order.pk for order in orders])
        for order in orders:
            adopt(order, fresh[order.pk])
