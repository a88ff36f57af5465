"""Proves that an exchange does not have an order (SPEC section 7, rule 2). Elapsed time alone proves nothing.

An order that the exchange never confirmed was never there: `rejected`. An order that the exchange confirmed, and does
not know any more, has ended there and was forgotten: `canceled`, with the fills that the exchange's trades show.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from exchanges.adapters.protocol import Fill, OrderReport
from exchanges.enums import MarketType, OrderType
from exchanges.gateway import Call, Outcome, gateway
from exchanges.vault import credentials_of
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.lifecycle import OPEN
from orders.fills.order_reports import Observation, record_reports
from orders.models import HoldingCheck, Order, PositionDifference, Trade
from orders.models.transitions import Transition
from orders.outside.account_comparison import HISTORY_TOO_LONG

# After the receive window, the exchange's own time-out (10 s) and a second of clock skew, the exchange cannot accept a
# request any more. Look-ups of accepted orders were seen to fail for a longer time, hence the setting's floor of 60 s.
HORIZON = timedelta(seconds=settings.ABSENCE_HORIZON_S)
READS = 3
READS_APART = HORIZON / 6
# A confirmed order is forgotten when no look-up finds the order for a whole horizon.
READS_OF_CONFIRMED = 1 + HORIZON // READS_APART
_MOST_READS = 100 * READS_OF_CONFIRMED  # the count fits its column, however long a person does not look
_LOOK_BACK = timedelta(seconds=60)

NEVER_HAD, FORGOTTEN, UNPROVED = "not_found_at_exchange", "forgotten_by_exchange", "absence_unproved"


@dataclass(frozen=True, slots=True)
class History:
    """What the exchange answered about the orders and the fills since an order was last known to be complete.

    `is_kept`: the exchange lists orders of so long ago.
    """

    orders: Outcome
    fills: Outcome
    is_kept: bool

    @property
    def is_out_of_reach(self) -> bool:
        """Whether the exchange keeps less history than the question needs."""
        errors = (self.orders.error, self.fills.error)
        return not self.is_kept or any(e is not None and e.code == HISTORY_TOO_LONG for e in errors)

    def report_of(self, order: Order) -> OrderReport | None:
        reports: Sequence[OrderReport] = self.orders.value or ()
        return next((r for r in reports if r.client_order_id == order.client_order_id), None)

    def fills_of(self, order: Order) -> list[Fill]:
        """The fills under the exchange's ids of the order."""
        report, ids = self.report_of(order), {order.exchange_order_id}
        if report is not None:
            ids |= {report.order_id, report.working_order_id}
        ids.discard("")
        fills: Sequence[Fill] = self.fills.value or ()
        return [fill for fill in fills if fill.order_id in ids]


def note_absent(orders: Iterable[Order], *, now: datetime) -> None:
    """Counts the negative look-up of each order, where READS_APART have passed since the look-up counted before.

    The first negative look-up counts when READS_APART have passed since sending.
    """
    apart = [order for order in orders if now - _last_seen_absent(order) >= READS_APART]
    for order in apart:
        again = order.absent_reads if order.absent_reads < _MOST_READS else _MOST_READS - READS_OF_CONFIRMED
        order.absent_reads, order.absent_read_at = again + 1, now
    Order.objects.bulk_update(apart, ["absent_reads", "absent_read_at"])


def _last_seen_absent(order: Order) -> datetime:
    return order.absent_read_at or order.sent_at


def note_found(orders: Iterable[Order]) -> None:
    """Forgets the negative look-ups of orders that a look-up has found."""
    found = [order.pk for order in orders if order.absent_reads]
    if found:
        rows = Order.objects.filter(pk__in=found)
        rows.filter(reason=UNPROVED).update(reason="")
        rows.update(absent_reads=0, absent_read_at=None)


def conclude_absent(orders: Sequence[Order], *, actor: str, now: datetime) -> list[Order]:
    """Closes the orders with proved absence, and returns the closed orders. Asks the exchange for its history.

    Books the fills that the history shows, before. The goal of a lost exit goes on with a further attempt
    (orders.exits.pursuit). An order beyond the reach of the exchange's history gets the reason UNPROVED for a person.
    """
    candidates = [order for order in orders if _may_be_concluded(order, now)]
    if not candidates:
        return []
    histories = _read_histories(candidates, now)
    _record_findings(histories, actor, now)
    agreed = _agreed_orders([order for order, history in histories if history.is_out_of_reach])
    proved = [order for order, history in histories if _is_absent(order, history, order.pk in agreed)]
    _mark_unproved([order for order, history in histories if history.is_out_of_reach and order not in proved])
    if not proved:
        return []
    moved = Order.objects.transition(_closing_transition(order, actor, now) for order in proved)
    return [order for order in proved if order.pk in moved]


def _may_be_concluded(order: Order, now: datetime) -> bool:
    abilities = gateway.capabilities(order.account.exchange, MarketType(order.market_type))
    past = now - order.sent_at >= HORIZON + timedelta(seconds=abilities.receive_window_s)
    if not past or order.status not in OPEN:
        return False
    if _was_confirmed(order):
        return order.absent_reads > 0 and order.absent_reads % READS_OF_CONFIRMED == 0
    return order.absent_reads >= READS and abilities.finds_by_client_order_id


def _was_confirmed(order: Order) -> bool:
    return bool(order.exchange_order_id)


# The history


def _read_histories(orders: Sequence[Order], now: datetime) -> list[tuple[Order, History]]:
    """Reads order history and fills since the sending, or since the last answer that was complete."""
    outcomes = gateway.call_all([call for order in orders for call in _history_calls(order)])
    pairs = zip(outcomes[::2], outcomes[1::2], strict=True)
    return [
        (order, History(*pair, is_kept=_is_kept(order, now)))
        for order, pair in zip(orders, pairs, strict=True)
    ]


def _is_kept(order: Order, now: datetime) -> bool:
    days = gateway.capabilities(order.account.exchange, MarketType(order.market_type)).history_days
    return days is None or now - _known_at(order) < timedelta(days=days)


def _known_at(order: Order) -> datetime:
    """The time at which the row was complete: of the last complete answer, or of the sending."""
    return (order.answered_at if _was_confirmed(order) else None) or order.sent_at


def _history_calls(order: Order) -> tuple[Call, Call]:
    since = _known_at(order) - _LOOK_BACK
    kind, credentials = MarketType(order.market_type), credentials_of(order.account)
    owner = order.account.owner_id
    return (
        Call(order.account.exchange, kind, "fetch_orders", (order.symbol, since), credentials, owner=owner),
        Call(order.account.exchange, kind, "fetch_fills", (order.symbol, since), credentials, owner=owner),
    )


def _record_findings(histories: Sequence[tuple[Order, History]], actor: str, now: datetime) -> None:
    """Records what the histories show of the orders: a report, or fills alone."""
    found = [
        Observation(order, history.report_of(order) or _report_of_fills(order), history.fills_of(order))
        for order, history in histories
        if history.report_of(order) or history.fills_of(order)
    ]
    if found:
        record_reports(found, evidence=Evidence.QUERY, actor=actor, now=now)


def _report_of_fills(order: Order) -> OrderReport:
    """A report that tells nothing but that the order exists."""
    return OrderReport(
        order_id=order.exchange_order_id,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        status=None,
        quantity=order.quantity,
        filled=Decimal(0),
        average=None,
        reported_at=None,
    )


# The proof


def _is_absent(order: Order, history: History, is_agreed: bool) -> bool:
    """Whether the history shows that nothing more of the order can come. A question without an answer proves nothing.

    Where the list of orders does not reach back far enough, the complete list of fills does, provided that books and
    exchange agree about the holding.
    """
    if order.status not in OPEN or history.fills.error is not None or history.report_of(order):
        return False
    if history.orders.error is not None or not history.is_kept:
        return (
            is_agreed
            and _was_confirmed(order)
            and history.is_out_of_reach
            and not _unexplained(order, history)
        )
    return not _unexplained(order, history)


def _unexplained(order: Order, history: History) -> set[str]:
    """The trades that might be the order's: of an order outside of the history, and not booked yet.

    A fill already booked as a trade is explained: the trade's order is older than the history. Fills of a confirmed
    order carry its id, except those of a stop order, which gets another id by its trigger.
    """
    if _was_confirmed(order) and not OrderType(order.order_type).needs_stop_price:
        return set()
    reports: Sequence[OrderReport] = history.orders.value or ()
    listed = {report.order_id for report in reports} | {report.working_order_id for report in reports}
    fills: Sequence[Fill] = history.fills.value
    unlisted = {fill.trade_id for fill in fills if fill.order_id not in listed}
    return unlisted - _booked_trade_ids(order, unlisted)


def _booked_trade_ids(order: Order, trade_ids: Collection[str]) -> set[str]:
    rows = Trade.objects.filter(
        account=order.account_id, market_type=order.market_type, symbol=order.symbol, trade_id__in=trade_ids
    )
    return set(rows.values_list("trade_id", flat=True)) if trade_ids else set()


def _agreed_orders(orders: Sequence[Order]) -> set[int]:
    """The orders in whose holding books and exchange were found to agree since the look-ups became negative."""
    agreed = set()
    for order in orders:
        place = {"account": order.account_id, "market_type": order.market_type, "symbol": order.symbol}
        since = _last_seen_absent(order) - HORIZON
        is_checked = HoldingCheck.objects.filter(**place, agreed_at__gte=since).exists()
        if is_checked and not PositionDifference.objects.filter(**place, resolved_at__isnull=True).exists():
            agreed.add(order.pk)
    return agreed


def _mark_unproved(orders: Sequence[Order]) -> None:
    rows = Order.objects.open().filter(pk__in=[order.pk for order in orders if _was_confirmed(order)])
    rows.update(reason=UNPROVED)


def _closing_transition(order: Order, actor: str, now: datetime) -> Transition:
    source = OrderStatus(order.status)
    was_there = _was_confirmed(order) or source is not OrderStatus.SUBMITTED
    fields = {
        "reason": FORGOTTEN if _was_confirmed(order) else NEVER_HAD,
        "closed_at": now,
        "unknown_since": None,
        "released_at": order.released_at or now,
        "filled": order.filled,
    }
    target = OrderStatus.CANCELED if was_there else OrderStatus.REJECTED
    return Transition(order, target, now, Evidence.ABSENCE, actor, fields)
