"""Reads from the exchange which fills explain a difference between our books and a holding.

Fills of our orders are booked to these orders. Fills of other orders become outside events.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Min, QuerySet

from exchanges.adapters.protocol import Fill, OrderReport
from exchanges.amounts import exact
from exchanges.enums import MarketType, OrderType, Side
from exchanges.gateway import gateway
from orders.domain.enums import Evidence
from orders.domain.ids import is_ours
from orders.domain.keys import HoldingKey
from orders.domain.lifecycle import OPEN
from orders.domain.outside import count_explaining, part_of
from orders.fills.order_reports import Observation, record_reports
from orders.models import Order, OutsideEvent, Trade
from orders.outside.adoption import SeenOrder, adopt_reports
from orders.outside.attribution import RULE, OutsideFill, record_fills
from orders.outside.subjects import Subject, answered_outcomes

logger = logging.getLogger(__name__)

# Exchanges show a fill at different times in different answers, and clocks differ.
_SLACK = timedelta(minutes=5)
_ORDER_BEFORE_FILL = timedelta(days=1)  # an order may rest so long before its first fill
_LONGEST = timedelta(days=90)
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Question:
    """A holding with a difference that no known event explains. `unexplained` is what the exchange holds beyond.

    Books and exchange agreed at `agreed_at`; None where they never did.
    """

    subject: Subject
    symbol: str
    unexplained: Decimal
    agreed_at: datetime | None

    @property
    def key(self) -> HoldingKey:
        return self.subject.key_of(self.symbol)


@dataclass(slots=True)
class History:
    """What the exchange answered about a holding: the new fills, and the orders by exchange order id."""

    question: Question
    fills: list[Fill]
    reports: dict[str, OrderReport] = field(default_factory=dict)
    # The report of the conditional order, by the id of the order that the conditional order became.
    parents: dict[str, OrderReport] = field(default_factory=dict)

    def name_of(self, order_id: str) -> str:
        """The client order id of the order, "" where the exchange does not tell."""
        report = self.report_of(order_id)
        return report.client_order_id if report else ""

    def report_of(self, order_id: str) -> OrderReport | None:
        return self.parents.get(order_id) or self.reports.get(order_id)

    def reports_of_fills(self) -> list[OrderReport]:
        reports = (self.report_of(fill.order_id) for fill in self.fills)
        return [report for report in reports if report is not None]


@dataclass(slots=True)
class Owners:
    """The new fills of a holding by the owner of the order: our orders, orders of ours without a row, others."""

    ours: dict[int, list[Fill]] = field(default_factory=lambda: defaultdict(list))  # by order
    orphans: list[Fill] = field(default_factory=list)
    unsure: list[Fill] = field(default_factory=list)
    others: list[OutsideFill] = field(default_factory=list)


def discover_fills(questions: Sequence[Question], *, clock: Callable[[], datetime]) -> None:
    """Reads the fills of the holdings, and books or stores the fills that are new. Calls exchanges: no transaction.

    A holding without an order of ours is left alone. A question without an answer changes nothing.
    """
    histories = _read_histories(questions, clock())
    if not histories:
        return
    adopt_reports(
        (SeenOrder(h.question.subject, report) for h in histories for report in h.reports_of_fills()),
        clock=clock,
    )
    orders = _orders_of(histories)
    for history in histories:
        owners = _owners_of(history, orders.get(history.question.key, []))
        _record_own_fills(history, owners, orders.get(history.question.key, []), clock())
        others = _explaining(history.question, owners)
        if others:
            record_fills(history.question.key, others, now=clock())


# Reading


def _read_histories(questions: Sequence[Question], now: datetime) -> list[History]:
    since = {key: max(begins - _SLACK, now - _LONGEST) for key, begins in _beginnings_of(questions).items()}
    asked = [question for question in questions if question.key in since]
    if not asked:
        return []
    by_key = {question.key: question for question in asked}
    calls = [q.subject.call("fetch_fills", q.symbol, since[q.key]) for q in asked]
    fills = {
        outcome.call.tag.key_of(outcome.call.args[0]): outcome.value for outcome in answered_outcomes(calls)
    }
    known = _known_trade_ids(fills)
    histories = {
        key: History(by_key[key], new)
        for key, listed in fills.items()
        if (new := [fill for fill in listed if fill.trade_id not in known[key]])
    }
    working = _oldest_working(histories)
    calls = [
        history.question.subject.call(
            "fetch_orders", key.symbol, max(_before_fills(history, working.get(key)), now - _LONGEST)
        )
        for key, history in histories.items()
    ]
    answered = []
    for outcome in answered_outcomes(calls):
        history = histories[outcome.call.tag.key_of(outcome.call.args[0])]
        history.reports = {report.order_id: report for report in outcome.value}
        history.parents = {r.working_order_id: r for r in outcome.value if r.working_order_id}
        history.fills.sort(key=lambda fill: (fill.executed_at, fill.trade_id))
        answered.append(history)
    return answered


def _before_fills(history: History, working: datetime | None) -> datetime:
    """A time before the orders of the fills, and before our oldest working order: one of the fills may be its own."""
    before = min(fill.executed_at for fill in history.fills) - _ORDER_BEFORE_FILL
    return min(before, working - _SLACK) if working else before


def _beginnings_of(questions: Iterable[Question]) -> dict[HoldingKey, datetime]:
    """Returns from when to read the fills of the holdings with an order of ours: the last agreement, or that order.

    One statement for each question: a holding is asked about where books and exchange differ, which is rare.
    """
    begins: dict[HoldingKey, datetime] = {}
    for question in questions:
        rows = Order.objects.filter(**question.key._asdict(), submitted_at__isnull=False)
        first = rows.order_by("symbol", "submitted_at").values_list("submitted_at", flat=True).first()
        if first is not None:
            begins[question.key] = question.agreed_at or first
    return begins


def _oldest_working(keys: Iterable[HoldingKey]) -> dict[HoldingKey, datetime]:
    return _first_submitted(Order.objects.open(), set(keys))


def _first_submitted(rows: QuerySet[Order], keys: Collection[HoldingKey]) -> dict[HoldingKey, datetime]:
    rows = rows.filter(
        account__in={key.account_id for key in keys}, symbol__in={key.symbol for key in keys}
    ).order_by()
    found = rows.values_list("account_id", "market_type", "symbol").annotate(first=Min("submitted_at"))
    return {HoldingKey(*key): first for *key, first in found}


def _known_trade_ids(fills: Mapping[HoldingKey, Sequence[Fill]]) -> dict[HoldingKey, set[str]]:
    """The trade ids of the holdings that are booked as trades or stored as outside events."""
    known: dict[HoldingKey, set[str]] = defaultdict(set)
    times = [fill.executed_at for listed in fills.values() for fill in listed]
    if not times:
        return known
    places = {
        "account__in": {key.account_id for key in fills},
        "symbol__in": {key.symbol for key in fills},
        "executed_at__gte": min(times),
    }
    columns = ("account_id", "market_type", "symbol")
    for trade_id, *key in Trade.objects.filter(**places).values_list("trade_id", *columns):
        known[HoldingKey(*key)].add(trade_id)
    for trade_id, *key in OutsideEvent.objects.filter(**places).values_list("evidence_id", *columns):
        known[HoldingKey(*key)].add(trade_id)
    return known


# Owners


def _orders_of(histories: Sequence[History]) -> dict[HoldingKey, list[Order]]:
    """Our orders that may own the fills: named by the exchange, known by exchange order id, or of unknown outcome."""
    names = {history.name_of(fill.order_id) for history in histories for fill in history.fills} - {""}
    ids = {fill.order_id for history in histories for fill in history.fills}
    keys = {history.question.key for history in histories}
    rows = Order.objects.filter(account__in={key.account_id for key in keys}).select_related("account")
    found: dict[int, Order] = {}
    for row in rows.filter(client_order_id__in=names):
        found[row.pk] = row
    here = rows.filter(symbol__in={key.symbol for key in keys})
    for row in (*here.filter(exchange_order_id__in=ids), *here.open()):
        found.setdefault(row.pk, row)
    orders: dict[HoldingKey, list[Order]] = defaultdict(list)
    for row in found.values():
        orders[HoldingKey(row.account_id, row.market_type, row.symbol)].append(row)
    return orders


def _owners_of(history: History, orders: Sequence[Order]) -> Owners:
    owners = Owners()
    subject = history.question.subject
    kind_of = gateway.capabilities(subject.account.exchange, MarketType(subject.market_type)).kind_of
    by_id = {order.exchange_order_id: order for order in orders if order.exchange_order_id}
    by_name = {order.client_order_id: order for order in orders}
    nameless = [order for order in orders if order.status in OPEN and _may_have_another_id(order)]
    for fill in history.fills:
        name = history.name_of(fill.order_id)
        order = by_name.get(name) or by_id.get(fill.order_id)
        if order is not None:
            owners.ours[order.pk].append(fill)
        elif is_ours(name):
            owners.orphans.append(fill)
        elif not name and any(_may_own(order, fill) for order in nameless):
            owners.unsure.append(fill)
        else:
            owners.others.append(OutsideFill(fill, kind_of(name), name))
    return owners


def _may_have_another_id(order: Order) -> bool:
    """Whether fills of the order may carry an exchange order id that we do not know; a triggered stop gets a new id."""
    return not order.exchange_order_id or OrderType(order.order_type).needs_stop_price


def _may_own(order: Order, fill: Fill) -> bool:
    """Whether an order without a known exchange order id may be the order of a fill that the exchange did not name."""
    return order.side == fill.side and order.sent_at - _SLACK <= fill.executed_at


def _record_own_fills(history: History, owners: Owners, orders: Iterable[Order], now: datetime) -> None:
    """Books fills of our orders that no look-up has found yet."""
    observations = [
        Observation(order, _report_of(order, history, owners.ours[order.pk]), owners.ours[order.pk])
        for order in orders
        if order.pk in owners.ours
    ]
    if observations:
        record_reports(observations, evidence=Evidence.QUERY, actor=RULE, now=now)


def _report_of(order: Order, history: History, fills: Sequence[Fill]) -> OrderReport:
    """The exchange's report of our order. A triggered stop order keeps its own ids with the numbers of its child."""
    order_id = fills[0].order_id
    parent, report = history.parents.get(order_id), history.reports.get(order_id)
    if parent and report:
        return replace(report, order_id=parent.order_id, client_order_id=parent.client_order_id)
    known = parent or report
    if known:
        return known
    return OrderReport(
        order_id=order.exchange_order_id,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        status=None,
        quantity=order.quantity,
        filled=_NOTHING,
        average=None,
        reported_at=None,
    )


# The fills that explain the difference


@exact
def _explaining(question: Question, owners: Owners) -> list[OutsideFill]:
    """Returns the other fills that are new facts: the newest that sum up to the difference, else all since agreement.

    An older fill belongs to a time about which books and exchange agreed.
    """
    others = owners.others
    unexplained = question.unexplained - _moved_by(owners)
    if question.subject.market_type is MarketType.SPOT:
        return _sales_of_our_coins(others, -unexplained)
    count = count_explaining([outside.moved for outside in others], unexplained)
    if count is not None:
        return others[len(others) - count :]
    agreed_at = question.agreed_at
    return [outside for outside in others if agreed_at is None or outside.fill.executed_at > agreed_at]


def _moved_by(owners: Owners) -> Decimal:
    """What our own fills explain of the difference, as far as they are certain to be ours."""
    fills = [fill for listed in owners.ours.values() for fill in listed] + owners.orphans
    return sum((Side(fill.side).sign * fill.quantity for fill in fills), _NOTHING)


def _sales_of_our_coins(others: Sequence[OutsideFill], missing: Decimal) -> list[OutsideFill]:
    """Returns the newest sales up to the coins that our positions miss, with the parts of the quantities and fees.

    The owner sells coins of their own before the coins of a strategy.
    """
    sales: list[OutsideFill] = []
    for outside in reversed(others):
        if missing <= 0:
            break
        if outside.fill.side is Side.SELL:
            part = min(missing, outside.fill.quantity)
            fee = part_of(outside.fill.fee, part, outside.fill.quantity)
            sales.append(replace(outside, fill=replace(outside.fill, quantity=part, fee=fee)))
            missing -= part
    return sales[::-1]
