"""Proof that an exchange never had an order (SPEC section 7, rule 2): never from elapsed time alone."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from exchanges.adapters.protocol import Fill, OrderReport
from exchanges.enums import MarketType
from exchanges.gateway import Call, gateway
from exchanges.vault import credentials_of
from orders.domain.enums import Evidence, OrderStatus
from orders.execution.attempts import deserves_another_after_absence, store_attempts
from orders.models import Order, Trade
from orders.models.transitions import Transition

# After the receive window, the exchange's own time-out (10 s) and a second of skew a request cannot be accepted any
# more; look-ups of accepted orders were seen to fail for longer than that, hence the setting's floor of 60 s.
HORIZON = timedelta(seconds=settings.ABSENCE_HORIZON_S)
READS = 3
READS_APART = HORIZON / 6
_LOOK_BACK = timedelta(seconds=60)


def note_absent(orders: Iterable[Order], *, now: datetime) -> None:
    """Counts a negative look-up where it is far enough from the one before."""
    apart = [order for order in orders if now - _last_seen_absent(order) >= READS_APART]
    for order in apart:
        order.absent_reads, order.absent_read_at = order.absent_reads + 1, now
    Order.objects.bulk_update(apart, ["absent_reads", "absent_read_at"])


def _last_seen_absent(order: Order) -> datetime:
    assert order.submitted_at is not None
    return order.absent_read_at or order.submitted_at


def conclude_absent(orders: Sequence[Order], *, actor: str, now: datetime) -> list[Order]:
    """Closes those whose absence is proved; returns them. Asks the exchange for its history.

    An exit that never arrived is still wanted: its next attempt is stored along with the proof.
    """
    candidates = [order for order in orders if _may_be_concluded(order, now)]
    proved = [
        order for order, absent in zip(candidates, _absent_in_history(candidates), strict=True) if absent
    ]
    if not proved:
        return []
    with transaction.atomic():
        sent = {order.pk for order in proved if order.status == OrderStatus.SUBMITTED}
        moved = Order.objects.transition(_closing(order, actor, now) for order in proved)
        closed = [order for order in proved if order.pk in moved]
        # An order that was to be canceled is not wanted any more.
        lost = [order for order in closed if order.pk in sent]
        store_attempts([order for order in lost if deserves_another_after_absence(order)], now=now)
    return closed


def _may_be_concluded(order: Order, now: datetime) -> bool:
    abilities = gateway.capabilities(order.account.exchange, MarketType(order.market_type))
    assert order.submitted_at is not None
    past = now - order.submitted_at >= HORIZON + timedelta(seconds=abilities.receive_window_s)
    return past and order.absent_reads >= READS and abilities.finds_by_client_order_id


def _absent_in_history(orders: Sequence[Order]) -> list[bool]:
    """Whether neither the order history nor the fills around the sending know of it. No answer is no proof."""
    calls = [call for order in orders for call in _history_calls(order)]
    outcomes = gateway.call_all(calls)
    absent = []
    for order, history, fills in zip(orders, outcomes[::2], outcomes[1::2], strict=True):
        answered = history.error is None and fills.error is None
        absent.append(answered and _knows_nothing(order, history.value, fills.value))
    return absent


def _history_calls(order: Order) -> tuple[Call, Call]:
    assert order.submitted_at is not None
    since = order.submitted_at - _LOOK_BACK
    kind, credentials = MarketType(order.market_type), credentials_of(order.account)
    return (
        Call(order.account.exchange, kind, "fetch_orders", (order.symbol, since), credentials),
        Call(order.account.exchange, kind, "fetch_fills", (order.symbol, since), credentials),
    )


def _knows_nothing(order: Order, history: Sequence[OrderReport], fills: Sequence[Fill]) -> bool:
    """A fill of an order that the history does not list might be ours, so it forbids the conclusion.

    Not so one that is booked to another order: that one is older than the history that was asked for.
    """
    listed = {report.order_id for report in history} | {report.working_order_id for report in history}
    unlisted = {fill.trade_id for fill in fills if fill.order_id not in listed}
    unexplained = unlisted - _booked(order, unlisted)
    return not unexplained and all(report.client_order_id != order.client_order_id for report in history)


def _booked(order: Order, trade_ids: Collection[str]) -> set[str]:
    rows = Trade.objects.filter(
        account=order.account_id, market_type=order.market_type, symbol=order.symbol, trade_id__in=trade_ids
    )
    return set(rows.values_list("trade_id", flat=True)) if trade_ids else set()


def _closing(order: Order, actor: str, now: datetime) -> Transition:
    source = OrderStatus(order.status)
    target = OrderStatus.CANCELED if source is OrderStatus.PENDING_CANCEL else OrderStatus.REJECTED
    fields = {"reason": "not_found_at_exchange", "closed_at": now, "unknown_since": None}
    return Transition(order, target, now, Evidence.ABSENCE, actor, fields)
