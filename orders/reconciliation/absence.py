"""Proves the absence of an order at its exchange (SPEC section 7, rule 2). Elapsed time alone proves nothing."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings

from exchanges.adapters.protocol import Fill, OrderReport
from exchanges.enums import MarketType
from exchanges.gateway import Call, gateway
from exchanges.vault import credentials_of
from orders.domain.enums import Evidence, OrderStatus
from orders.models import Order, Trade
from orders.models.transitions import Transition

# After the receive window, the exchange's own time-out (10 s) and a second of clock skew, the exchange cannot accept a
# request any more. Look-ups of accepted orders were seen to fail for a longer time, hence the setting's floor of 60 s.
HORIZON = timedelta(seconds=settings.ABSENCE_HORIZON_S)
READS = 3
READS_APART = HORIZON / 6
_LOOK_BACK = timedelta(seconds=60)


def note_absent(orders: Iterable[Order], *, now: datetime) -> None:
    """Counts the negative look-up of each order, where READS_APART have passed since the look-up counted before.

    The first negative look-up counts when READS_APART have passed since sending.
    """
    apart = [order for order in orders if now - _last_seen_absent(order) >= READS_APART]
    for order in apart:
        order.absent_reads, order.absent_read_at = order.absent_reads + 1, now
    Order.objects.bulk_update(apart, ["absent_reads", "absent_read_at"])


def _last_seen_absent(order: Order) -> datetime:
    return order.absent_read_at or order.sent_at


def conclude_absent(orders: Sequence[Order], *, actor: str, now: datetime) -> list[Order]:
    """Closes the orders with proved absence, and returns the closed orders. Asks the exchange for its history.

    The goal of a lost exit goes on with a further attempt (orders.exits.pursuit).
    """
    candidates = [order for order in orders if _may_be_concluded(order, now)]
    proved = [
        order for order, absent in zip(candidates, _absent_in_history(candidates), strict=True) if absent
    ]
    if not proved:
        return []
    moved = Order.objects.transition(_closing_transition(order, actor, now) for order in proved)
    return [order for order in proved if order.pk in moved]


def _may_be_concluded(order: Order, now: datetime) -> bool:
    abilities = gateway.capabilities(order.account.exchange, MarketType(order.market_type))
    past = now - order.sent_at >= HORIZON + timedelta(seconds=abilities.receive_window_s)
    return past and order.absent_reads >= READS and abilities.finds_by_client_order_id


def _absent_in_history(orders: Sequence[Order]) -> list[bool]:
    """Returns for each order whether order history and fills since the sending show no trace of the order.

    A question without an answer proves nothing.
    """
    calls = [call for order in orders for call in _history_calls(order)]
    outcomes = gateway.call_all(calls)
    absent = []
    for order, history, fills in zip(orders, outcomes[::2], outcomes[1::2], strict=True):
        answered = history.error is None and fills.error is None
        absent.append(answered and _shows_no_trace(order, history.value, fills.value))
    return absent


def _history_calls(order: Order) -> tuple[Call, Call]:
    since = order.sent_at - _LOOK_BACK
    kind, credentials = MarketType(order.market_type), credentials_of(order.account)
    return (
        Call(order.account.exchange, kind, "fetch_orders", (order.symbol, since), credentials),
        Call(order.account.exchange, kind, "fetch_fills", (order.symbol, since), credentials),
    )


def _shows_no_trace(order: Order, history: Sequence[OrderReport], fills: Sequence[Fill]) -> bool:
    """Whether the history lists no order with our client order id, and every fill belongs to another order.

    A fill of an order outside of the history might be a fill of our order, so such a fill forbids the conclusion. A
    fill already booked as a trade forbids nothing: the trade's order is older than the history.
    """
    listed = {report.order_id for report in history} | {report.working_order_id for report in history}
    unlisted = {fill.trade_id for fill in fills if fill.order_id not in listed}
    unexplained = unlisted - _booked_trade_ids(order, unlisted)
    return not unexplained and all(report.client_order_id != order.client_order_id for report in history)


def _booked_trade_ids(order: Order, trade_ids: Collection[str]) -> set[str]:
    rows = Trade.objects.filter(
        account=order.account_id, market_type=order.market_type, symbol=order.symbol, trade_id__in=trade_ids
    )
    return set(rows.values_list("trade_id", flat=True)) if trade_ids else set()


def _closing_transition(order: Order, actor: str, now: datetime) -> Transition:
    source = OrderStatus(order.status)
    target = OrderStatus.CANCELED if source is OrderStatus.PENDING_CANCEL else OrderStatus.REJECTED
    fields = {"reason": "not_found_at_exchange", "closed_at": now, "unknown_since": None}
    return Transition(order, target, now, Evidence.ABSENCE, actor, fields)
