"""Adopts orders that an exchange has under our ids and that have no row here, as after the restore of a backup.

The code in the client order id leads to the strategy account. An adopted order is an order like any other: cancels
reach the order, its fills count in the position, and the tracker follows the order.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from exchanges.adapters.protocol import Fill, OrderReport
from exchanges.enums import MarketType, OrderType, ReportStatus
from exchanges.errors import OrderNotFound
from exchanges.gateway import Outcome, gateway
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.ids import code_in, is_ours, may_lack_code
from orders.domain.lifecycle import UNSENT
from orders.fills.order_reports import Observation, record_reports
from orders.models import Batch, BooksGap, ExternalOrder, Order
from orders.models.transitions import Transition
from orders.outside.books_gap import RESTORED
from orders.outside.subjects import Subject, only_ready
from strategies.models import Strategy, StrategyAccount

logger = logging.getLogger(__name__)

ADOPTION = "adoption"  # the actor of the events
SERVICE = Actor.of_service(ADOPTION)
HOLD_BACK = timedelta(seconds=60)
_ORDERS_PER_BATCH = 1000
_NAMES_PER_STATEMENT = 10_000  # SQLite takes at most 32766 values per statement


@dataclass(frozen=True, slots=True)
class SeenOrder:
    """An order that the exchange showed in an account."""

    subject: Subject
    report: OrderReport

    @property
    def name(self) -> str:
        return self.report.client_order_id


@dataclass(frozen=True, slots=True)
class Orphan:
    """An order of ours at the exchange that was never sent according to our books.

    `owner` is the strategy account that the order belongs to, None where unclear. `row` is the order as our books know
    it: a restored database may hold an order that still waited when the backup was made.
    """

    seen: SeenOrder
    owner: StrategyAccount | None
    row: Order | None = None


def find_orphans(seen: Iterable[SeenOrder]) -> list[Orphan]:
    """Returns the orders under our ids that our books do not know as sent, each once.

    Orders that the exchange refused are left out.
    """
    named = {order.name: order for order in seen if is_ours(order.name) and not _was_refused(order.report)}
    if not named:
        return []
    sent = _names_in(Order.objects.filter(submitted_at__isnull=False), named)
    named = {name: order for name, order in named.items() if name not in sent}
    if not named:
        return []
    rows = {row.client_order_id: row for row in _rows_named(named)}
    by_code = _owners_by_code(named)
    only = _only_owners({order.subject.account.pk for order in named.values()})
    return [
        Orphan(order, _owner_of(order, rows.get(name), by_code, only), rows.get(name))
        for name, order in named.items()
    ]


def _rows_named(names: Iterable[str]) -> QuerySet[Order]:
    rows = Order.objects.filter(client_order_id__in=list(names))
    return rows.select_related("account", "strategy_account__account", "strategy_account__strategy")


def known_names(names: Iterable[str]) -> set[str]:
    """Returns the client order ids that have a row."""
    return _names_in(Order.objects.all(), names)


def _names_in(orders: QuerySet[Order], names: Iterable[str]) -> set[str]:
    wanted, found = sorted(set(names)), set()
    for start in range(0, len(wanted), _NAMES_PER_STATEMENT):
        rows = orders.filter(client_order_id__in=wanted[start : start + _NAMES_PER_STATEMENT])
        found |= set(rows.values_list("client_order_id", flat=True))
    return found


def adopt_reports(
    seen: Iterable[SeenOrder], *, clock: Callable[[], datetime], actor: Actor = SERVICE
) -> list[Order]:
    """Adopts the orders under our ids that our books do not know as sent. Returns their rows, with the fills booked.

    An order that belongs to no strategy account of its account, or that was denied here, is kept as an ExternalOrder.
    Asks exchanges for fills, and so runs outside of transactions. Two processes at once adopt an order once.
    """
    orphans = find_orphans(seen)
    for orphan in orphans:
        if orphan.owner is None:
            _keep_ownerless(orphan.seen, clock())
    owned = [orphan for orphan in orphans if orphan.owner is not None]
    if not owned:
        return []
    reports = {orphan.seen.name: orphan.seen for orphan in owned}
    adopted = _store_orders(owned, actor, clock())
    _record_reports([(order, reports[order.client_order_id]) for order in adopted], clock)
    return adopted


def look_up_waiting(*, clock: Callable[[], datetime]) -> set[int]:
    """Looks up the orders that a restored database holds as never sent, before anybody sends them.

    Adopts the orders that the exchange has. Returns the batches with an order about which the exchange has not answered
    yet; nobody waits for such an answer longer than HOLD_BACK after the gap was noticed.
    """
    gap = BooksGap.objects.filter(cause=RESTORED).first()
    if gap is None:
        return set()
    unchecked = Q(checked_at__isnull=True) | Q(checked_at__lt=gap.noticed_at)
    rows = Order.objects.waiting().filter(unchecked, created_at__lt=gap.noticed_at)
    orders = {row.pk: row for row in rows.select_related("account")}
    subjects = {
        pk: Subject(row.account, MarketType(row.market_type), can_wait=False) for pk, row in orders.items()
    }
    ready = set(only_ready(set(subjects.values()), now=clock()))
    asked = [pk for pk, subject in subjects.items() if subject in ready]
    outcomes = gateway.call_all([subjects[pk].call("fetch_order", orders[pk].key) for pk in asked])
    answered = {
        pk: outcome for pk, outcome in zip(asked, outcomes, strict=True) if _tells_whether_known(outcome)
    }
    adopt_reports(
        (SeenOrder(subjects[pk], o.value) for pk, o in answered.items() if o.error is None), clock=clock
    )
    Order.objects.waiting().filter(pk__in=answered).update(checked_at=clock())
    if clock() - gap.noticed_at > HOLD_BACK:
        return set()
    return {order.batch_id for pk, order in orders.items() if pk not in answered}


def _tells_whether_known(outcome: Outcome) -> bool:
    return outcome.error is None or isinstance(outcome.error, OrderNotFound)


def keep_external(seen: SeenOrder, *, now: datetime) -> bool:
    """Stores an order that is not ours, or brings the stored row up to date. Returns whether the row is new."""
    report = seen.report
    shown = {
        "client_order_id": report.client_order_id,
        "status": report.status or "",
        "quantity": report.quantity,
        "filled": report.filled,
        "last_seen_at": now,
    }
    _, is_new = ExternalOrder.objects.update_or_create(
        account=seen.subject.account,
        market_type=seen.subject.market_type,
        symbol=report.symbol,
        exchange_order_id=report.order_id,
        defaults=shown,
        create_defaults={**shown, "first_seen_at": now},
    )
    return is_new


def _was_refused(report: OrderReport) -> bool:
    return report.status is ReportStatus.REJECTED and not report.filled


# Owners


def _owners_by_code(names: Iterable[str]) -> dict[str, StrategyAccount]:
    codes = {code_in(name) for name in names} - {""}
    rows = StrategyAccount.objects.filter(code__in=codes).select_related("account", "strategy")
    return {row.code: row for row in rows}


def _only_owners(accounts: Collection[int]) -> dict[tuple[int, str], StrategyAccount]:
    """Returns the strategy accounts that are the only strategy account of their account and market type."""
    found: dict[tuple[int, str], list[StrategyAccount]] = defaultdict(list)
    for row in StrategyAccount.objects.filter(account__in=accounts).select_related("account", "strategy"):
        found[row.account_id, row.strategy.market_type].append(row)
    return {key: rows[0] for key, rows in found.items() if len(rows) == 1}


def _owner_of(
    order: SeenOrder,
    row: Order | None,
    by_code: Mapping[str, StrategyAccount],
    only: Mapping[tuple[int, str], StrategyAccount],
) -> StrategyAccount | None:
    """The strategy account of the code, in the order's own account. An id without a code needs an only owner."""
    if row is not None:
        return row.strategy_account if row.status in UNSENT else None
    report, place = order.report, (order.subject.account.pk, str(order.subject.market_type))
    if not (report.side and report.order_type and report.quantity):
        return None
    named = by_code.get(code_in(order.name))
    if named is None:
        return only.get(place) if may_lack_code(order.name) else None
    return named if (named.account_id, named.strategy.market_type) == place else None


def _keep_ownerless(seen: SeenOrder, now: datetime) -> None:
    if keep_external(seen, now=now):
        logger.error(
            "order under our id cannot be adopted account=%s symbol=%s order=%s",
            seen.subject.account.pk, seen.report.symbol, seen.name,
        )  # fmt: skip


# Rows


@transaction.atomic
def _store_orders(orphans: Sequence[Orphan], actor: Actor, now: datetime) -> list[Order]:
    """Returns the rows of the orders, as submitted. The locked strategies keep a second process away meanwhile."""
    strategies = {orphan.owner.strategy_id for orphan in orphans if orphan.owner}
    list(Strategy.objects.select_for_update(no_key=True).filter(pk__in=strategies).order_by("pk"))
    known = known_names(orphan.seen.name for orphan in orphans)
    waiting = [_completed_row(orphan) for orphan in orphans if orphan.row is not None]
    new = sorted(
        (orphan for orphan in orphans if orphan.row is None and orphan.seen.name not in known),
        key=lambda orphan: (_made_at(orphan.seen.report, now), orphan.seen.name),
    )
    orders = [order for strategy in sorted(strategies) for order in _rows_of(strategy, new, now)]
    Order.objects.bulk_create(orders)
    queued = [order for order in waiting if order.status == OrderStatus.QUEUED]
    Order.objects.transition(
        Transition(order, OrderStatus.INITIALIZED, now, Evidence.QUERY, ADOPTION) for order in queued
    )
    unsent = [order for order in (*orders, *waiting) if order.status == OrderStatus.INITIALIZED]
    moved = Order.objects.transition(_submission_of(order, now) for order in unsent)
    orders = [order for order in unsent if order.pk in moved]
    ExternalOrder.objects.filter(client_order_id__in=[order.client_order_id for order in orders]).delete()
    for order in orders:
        logger.warning("order adopted account=%s order=%s", order.account_id, order.client_order_id)
        after = {"status": order.status, "quantity": order.quantity, "account": order.account_id}
        record(Action.ADOPTED, order, actor=actor, now=now, after=after)
    return orders


def _rows_of(strategy: int, orphans: Iterable[Orphan], now: datetime) -> list[Order]:
    """Unsaved rows of the strategy's orders, in batches that are over already."""
    own = [orphan for orphan in orphans if orphan.owner and orphan.owner.strategy_id == strategy]
    rows = []
    for start in range(0, len(own), _ORDERS_PER_BATCH):
        batch = Batch.objects.create(strategy_id=strategy, created_at=now, finished_at=now)
        rows += [
            _row_of(orphan, batch, leg, now)
            for leg, orphan in enumerate(own[start : start + _ORDERS_PER_BATCH])
        ]
    return rows


def _row_of(orphan: Orphan, batch: Batch, leg: int, now: datetime) -> Order:
    report, owner = orphan.seen.report, orphan.owner
    assert owner is not None
    assert report.side is not None
    assert report.order_type is not None
    order = Order.compose(
        owner,
        market_type=owner.strategy.market_type,
        leg=leg,
        sequence=leg,
        symbol=report.symbol,
        order_type=report.order_type,
        created_at=_made_at(report, now),
        side=report.side,
        qty=report.quantity,
        price=report.price if report.order_type.needs_price else None,
        stop_price=report.stop_price if report.order_type.needs_stop_price else None,
    )
    order.batch, order.client_order_id = batch, report.client_order_id
    order.quantity, order.reduce_only = report.quantity, report.reduce_only
    order.exchange_order_id = report.order_id
    return order


def _completed_row(orphan: Orphan) -> Order:
    """The row of an order that still waits here, with what was sent."""
    order, report = orphan.row, orphan.seen.report
    assert order is not None
    order.side, order.quantity = report.side or order.side, report.quantity
    order.reduce_only = report.reduce_only
    order.exchange_order_id = report.order_id
    return order


def _made_at(report: OrderReport, now: datetime) -> datetime:
    return report.created_at or report.reported_at or now


def _submission_of(order: Order, now: datetime) -> Transition:
    """The order was sent, and its outcome is unknown until its report is recorded."""
    fields = {
        "side": order.side,
        "quantity": order.quantity,
        "reduce_only": order.reduce_only,
        "exchange_order_id": order.exchange_order_id,
        "submitted_at": order.created_at,
        "unknown_since": now,
        "released_at": now,
    }
    return Transition(order, OrderStatus.SUBMITTED, now, Evidence.QUERY, ADOPTION, fields)


# What became of the adopted orders


def _record_reports(adopted: Sequence[tuple[Order, SeenOrder]], clock: Callable[[], datetime]) -> None:
    """Moves the orders to the statuses that the exchange shows, with all fills. The tracker does what fails here."""
    reports = _read_triggered(adopted)
    fills = _read_fills(adopted, reports)
    record_reports(
        [Observation(order, reports[order.pk], fills.get(order.pk, ())) for order, _ in adopted],
        evidence=Evidence.QUERY,
        actor=ADOPTION,
        now=clock(),
    )


def _read_triggered(adopted: Sequence[tuple[Order, SeenOrder]]) -> dict[int, OrderReport]:
    """The reports by order. A stop order that has triggered is looked up, for its fills are another order's."""
    reports = {order.pk: seen.report for order, seen in adopted}
    triggered = [
        (order, seen)
        for order, seen in adopted
        if seen.report.working_order_id and OrderType(order.order_type).needs_stop_price
    ]
    calls = [seen.subject.call("fetch_order", order.key) for order, seen in triggered]
    for (order, _), outcome in zip(triggered, gateway.call_all(calls), strict=True):
        if outcome.error is None:
            reports[order.pk] = outcome.value
    return reports


def _read_fills(
    adopted: Sequence[tuple[Order, SeenOrder]], reports: Mapping[int, OrderReport]
) -> dict[int, Sequence[Fill]]:
    """The fills by order, of the orders that have fills."""
    filled = [(order, seen) for order, seen in adopted if reports[order.pk].filled]
    calls = [seen.subject.call("fetch_order_fills", order.key) for order, seen in filled]
    outcomes = gateway.call_all(calls)
    return {
        order.pk: outcome.value
        for (order, _), outcome in zip(filled, outcomes, strict=True)
        if outcome.error is None
    }
