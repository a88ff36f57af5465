"""The execution client sends the calls of orders to exchanges and writes the conclusions from the answers in groups.

The calls of one order end with evidence that moves the order, with a refusal, with a negative look-up, or with an
unknown outcome: the order then stays in flight for the tracker. The client never sends an order twice; after a doubtful
answer the client looks the order up.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Q

from exchanges import pauses, vault
from exchanges.adapters.protocol import OrderReport, OrderRequest
from exchanges.enums import MarketType, OrderType, Side, TimeInForce
from exchanges.errors import (
    DuplicateClientOrderId,
    ExchangeError,
    NotSent,
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
from orders.models.transitions import Transition, atomic_statuses

_STALE_MARKET = ("filter_failure", "unknown_symbol")

PLACE, CANCEL, LOOK_UP, FETCH_FILLS = "place_order", "cancel_order", "fetch_order", "fetch_order_fills"


@dataclass(slots=True)
class OrderCall:
    """One order's calls, one after another. `report` is the exchange's latest report about the order."""

    order: Order
    verb: str
    report: OrderReport | None = None
    error: ExchangeError | None = None
    asked_at: datetime | None = None  # when the first call left
    can_wait: bool = False  # the look-up leaves the exchange's request weight to calls that cannot wait
    next_attempt: Order | None = None  # stored after a refusal


@dataclass(slots=True)
class SortedAnswers:
    """The answers of one collection by conclusion, the calls to start next (`next`) and the ended calls (`over`)."""

    reports: list[tuple[OrderCall, OrderReport]] = field(default_factory=list)
    fills: list[tuple[OrderCall, Observation]] = field(default_factory=list)
    refused: list[tuple[OrderCall, Rejected | NotSent]] = field(default_factory=list)
    unknown: list[OrderCall] = field(default_factory=list)
    absent: list[OrderCall] = field(default_factory=list)
    next: list[OrderCall] = field(default_factory=list)
    over: list[OrderCall] = field(default_factory=list)


class ExecutionClient:
    """`actor` signs the order events; the calls count for the share of `owner`, or of each account's owner.

    Not thread-safe: one thread at a time starts the calls and collects the answers.
    """

    def __init__(self, *, actor: str, clock: Callable[[], datetime], owner: int | None = None) -> None:
        self.actor = actor
        self.clock = clock
        self.under_way = 0
        self.reported: dict[
            int, OrderReport
        ] = {}  # by order pk: placed orders with trades that are being read
        self._owner = owner
        self._answers: AnswerQueue[Outcome] = AnswerQueue()

    # Starting

    def place(self, orders: Sequence[Order]) -> None:
        """Sends orders. The caller has committed the status `submitted`."""
        if orders:
            failpoint("submitted committed, no socket yet")
        self._start_calls([OrderCall(order, PLACE) for order in orders])

    def cancel(self, orders: Iterable[Order]) -> None:
        """Sends cancels of orders. The caller has committed the status `pending_cancel`."""
        failpoint("pending_cancel committed, no cancel sent yet")
        self._start_calls([OrderCall(order, CANCEL) for order in orders])

    def look_up(self, orders: Iterable[Order], *, can_wait: bool = False) -> None:
        self._start_calls([OrderCall(order, LOOK_UP, can_wait=can_wait) for order in orders])

    def _start_calls(self, order_calls: Sequence[OrderCall]) -> None:
        calls, now = [], self.clock()
        self.under_way += len(order_calls)
        self._answers.expect(len(order_calls))
        for order_call in order_calls:
            order_call.asked_at = order_call.asked_at or now
            try:
                calls.append(_exchange_call(order_call, self._owner))
            except vault.CredentialsUnreadable:
                error = Unavailable(
                    "The account's credentials cannot be read.", code="credentials_unreadable"
                )
                self._answers.put(
                    Outcome(Call("", MarketType.SPOT, order_call.verb, tag=order_call), error=error)
                )
        if calls:
            gateway.start(calls, self._answers.put)

    # Collecting

    def notify_when_answered(self, notify: Callable[[float], None]) -> None:
        """Has `notify` called when a look at the answers is worth it, in so many seconds."""
        self._answers.notify = notify

    def next_group_in_s(self) -> float | None:
        """The seconds until `collect_ready` finds answers; None where no answer has come."""
        return self._answers.due_in_s()

    def collect(self, *, timeout_s: float) -> list[OrderCall]:
        """Waits for answers, writes the conclusions, and returns the order calls that have ended.

        Returns an empty list when no call ended within `timeout_s`.
        """
        return self._conclude(self._answers.wait(timeout_s))

    def collect_ready(self) -> list[OrderCall]:
        """As `collect`, without waiting."""
        return self._conclude(self._answers.take())

    def _conclude(self, outcomes: Sequence[Outcome]) -> list[OrderCall]:
        if not outcomes:
            return []
        answers = SortedAnswers()
        for outcome in outcomes:
            _sort_outcome(outcome, answers)
        failpoint("reply read, not written")
        self._write_answers(answers)
        self.under_way -= len(outcomes)
        for order_call in answers.over:
            self.reported.pop(order_call.order.pk, None)
        self._start_calls(answers.next)
        return answers.over

    def _write_answers(self, answers: SortedAnswers) -> None:
        now = self.clock()
        self._write_reports(answers, now)
        if answers.fills:
            record_reports(
                [seen for _, seen in answers.fills], evidence=Evidence.QUERY, actor=self.actor, now=now
            )
            # The exchange's list of trades may lag behind the order: a missing trade is doubtful, not absent.
            _mark_unknown([order_call for order_call, seen in answers.fills if seen.lacks_trades], now)
            answers.over += [order_call for order_call, _ in answers.fills]
        if answers.refused:
            self._write_refusals(answers.refused, now)
            _publish_refusals(answers.refused, now)
            answers.over += [order_call for order_call, _ in answers.refused]
        if answers.unknown:
            _mark_unknown(answers.unknown, now)
            answers.over += answers.unknown
        answers.over += answers.absent
        _stamp_answered_orders(answers)

    def _write_reports(self, answers: SortedAnswers, now: datetime) -> None:
        for verb, evidence in ((PLACE, Evidence.REPLY), (CANCEL, Evidence.REPLY), (LOOK_UP, Evidence.QUERY)):
            group = [
                (order_call, report) for order_call, report in answers.reports if order_call.verb == verb
            ]
            if group:
                seen = [Observation(order_call.order, report) for order_call, report in group]
                record_reports(seen, evidence=evidence, actor=self.actor, now=now)
        for order_call, report in answers.reports:
            order_call.report = report
            if report.filled > order_call.order.filled:
                if order_call.verb == PLACE:
                    self.reported[order_call.order.pk] = report
                order_call.verb, order_call.can_wait = FETCH_FILLS, False
                answers.next.append(order_call)
            else:
                answers.over.append(order_call)

    def _write_refusals(self, refused: Sequence[tuple[OrderCall, Rejected | NotSent]], now: datetime) -> None:
        changes = [self._rejection(order_call.order, error, now) for order_call, error in refused]
        # One transaction, so that a crash between a refusal and the next attempt does not lose the order.
        with atomic_statuses(order_call.order for order_call, _ in refused):
            moved = Order.objects.transition(changes)
            deserving = [
                order_call
                for order_call, error in refused
                if order_call.order.pk in moved and deserves_another(order_call.order, error)
            ]
            attempts = store_attempts([order_call.order for order_call in deserving])
        for order_call, attempt in zip(deserving, attempts, strict=True):
            order_call.next_attempt = attempt
        for order_call, error in refused:
            order_call.error = error

    def _rejection(self, order: Order, error: Rejected | NotSent, now: datetime) -> Transition:
        """The end of an order that the exchange refused, or that provably never left this machine."""
        was_sent = isinstance(error, Rejected)
        fields = {
            "reason": error.code if was_sent else NotSent.default_code,
            "reason_params": {"message": error.message},
            "exchange_code": error.exchange_code,
            "closed_at": now,
        }
        return Transition(
            order,
            OrderStatus.REJECTED,
            now,
            Evidence.REPLY if was_sent else Evidence.LOCAL,
            self.actor,
            fields,
            http_status=error.http_status,
        )


def _publish_refusals(refused: Sequence[tuple[OrderCall, Rejected | NotSent]], now: datetime) -> None:
    """Tells all processes of a pause that an exchange asked for, and marks contradicted market lists for a reload."""
    if any(isinstance(error, Throttled) for _, error in refused):
        pauses.synchronize(now=now)
    for exchange, kind in {
        (order_call.order.account.exchange, order_call.order.market_type)
        for order_call, error in refused
        if error.code in _STALE_MARKET
    }:
        catalog.reload_soon(exchange, MarketType(kind), now=now)


def _stamp_answered_orders(answers: SortedAnswers) -> None:
    """Writes `answered_at` of orders whose look-up has succeeded, and had no trades to be read.

    An exit trusts the row of a resting order only if the order was looked up after the exit came. Where trades were
    read, the time was written together with these.
    """
    # An order with missing trades has the verb FETCH_FILLS by now.
    looked_up = [order_call for order_call, _ in answers.reports if order_call.verb == LOOK_UP]
    asked = [order_call.asked_at for order_call in looked_up if order_call.asked_at]
    if asked:
        # All orders get the earliest time: an order that was looked up later is at worst looked up once more.
        rows = Order.objects.filter(pk__in=[order_call.order.pk for order_call in looked_up])
        rows.filter(Q(answered_at__isnull=True) | Q(answered_at__lt=min(asked))).update(
            answered_at=min(asked)
        )


def _mark_unknown(order_calls: Sequence[OrderCall], now: datetime) -> None:
    """Marks orders in flight, and orders whose trades could not be read, as of unknown outcome.

    After another failed look-up a resting order stays as before.
    """
    doubtful = [c.order for c in order_calls if c.order.status in IN_FLIGHT or c.verb == FETCH_FILLS]
    new = [order for order in doubtful if order.unknown_since is None]
    Order.objects.open().filter(pk__in=[o.pk for o in new], unknown_since__isnull=True).update(
        unknown_since=now
    )
    for order in new:
        order.unknown_since = now


def _sort_outcome(outcome: Outcome, answers: SortedAnswers) -> None:
    """Sorts one answer by its conclusion. No other function decides the meaning of a failed call for an order."""
    order_call: OrderCall = outcome.call.tag
    order_call.error = outcome.error
    match outcome.error:
        case None:
            _sort_success(order_call, outcome.value, answers)
        case DuplicateClientOrderId():  # an earlier request arrived: look up the order and adopt the order
            order_call.verb = LOOK_UP
            answers.next.append(order_call)
        case Rejected() | NotSent() if order_call.verb == PLACE:
            answers.refused.append((order_call, outcome.error))
        case OrderNotFound() | Rejected() if order_call.verb == CANCEL:  # no evidence: look up the order
            order_call.verb = LOOK_UP
            answers.next.append(order_call)
        case OrderNotFound() if order_call.verb == LOOK_UP:
            answers.absent.append(order_call)
        case _:
            answers.unknown.append(order_call)


def _sort_success(order_call: OrderCall, value: Any, answers: SortedAnswers) -> None:
    if order_call.verb == FETCH_FILLS:
        assert order_call.report is not None
        seen = Observation(order_call.order, order_call.report, value, order_call.asked_at)
        answers.fills.append((order_call, seen))
    elif value is None:
        order_call.verb = LOOK_UP
        answers.next.append(order_call)
    else:
        answers.reports.append((order_call, value))


def _exchange_call(order_call: OrderCall, owner: int | None) -> Call:
    order = order_call.order
    argument = _order_request(order) if order_call.verb == PLACE else order.key
    return Call(
        order.account.exchange,
        MarketType(order.market_type),
        order_call.verb,
        (argument,),
        vault.credentials_of(order.account),
        tag=order_call,
        can_wait=order_call.can_wait,
        is_probe=order_call.verb == PLACE and order.is_probe,
        owner=order.account.owner_id if owner is None else owner,
        is_urgent=order.is_closing or order_call.verb == CANCEL,
    )


def _order_request(order: Order) -> OrderRequest:
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
        time_in_force=TimeInForce(order.terms.get("time_in_force", TimeInForce.GTC)),
        send_before=order.submitted_at + timedelta(seconds=settings.ABSENCE_HORIZON_S / 2),
    )
