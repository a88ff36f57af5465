"""Audits our books: checks the rules of SPEC section 7, and compares paper accounts with the paper exchange's ledger.

The audit repairs nothing; a person decides about each problem. Trading goes on during the audit, so an order or a
position with a broken rule is checked a second time, with locked rows, before the audit reports the problem.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet

from orders.domain.enums import OrderStatus
from orders.domain.lifecycle import FINAL, IllegalTransition, replay_events
from orders.models import Adjustment, BookAudit, Cancellation, Order, OrderEvent, Position, Trade
from orders.reconciliation.paper_audit import audit_paper_books
from orders.transactions import no_time_limits

_CHUNK = 500


class Finding(NamedTuple):
    """A broken rule. `row` is the primary key of the order or, for a position, of the strategy account."""

    row: int
    text: str


def audit_books(
    *,
    now: datetime,
    since: datetime | None = None,
    at_exchanges: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> BookAudit:
    """Checks the orders created since `since`, or all orders without `since`, and all positions. Stores the result.

    `at_exchanges` are the problems that a comparison with the exchanges found (orders.reconciliation.exchange_audit).
    """
    orders = Order.objects.all() if since is None else Order.objects.filter(created_at__gte=since)
    with no_time_limits():
        paper = audit_paper_books(orders, url=settings.PAPER_EXCHANGE_URL, now=now)
        problems = [
            *_broken_orders(orders),
            *_broken_positions(),
            *_check_accounts(orders),
            *_check_turns(orders),
            *paper.problems,
            *at_exchanges,
        ]
    return BookAudit.objects.create(
        at=now, checked_orders=orders.count(), problems=problems, notes=[*paper.notes, *notes]
    )


# Orders


def _broken_orders(orders: QuerySet[Order]) -> Iterator[str]:
    for pks in _pk_chunks(sorted({finding.row for finding in _check_orders(orders)})):
        with transaction.atomic():
            list(Order.objects.select_for_update(no_key=True).filter(pk__in=pks).order_by("pk"))
            found = list(_check_order_chunk(pks))
        yield from (finding.text for finding in found)


def _check_orders(orders: QuerySet[Order]) -> Iterator[Finding]:
    for pks in _pk_chunks(list(orders.order_by("pk").values_list("pk", flat=True))):
        yield from _check_order_chunk(pks)


def _pk_chunks(pks: list[int]) -> Iterator[list[int]]:
    return (pks[start : start + _CHUNK] for start in range(0, len(pks), _CHUNK))


def _check_order_chunk(pks: list[int]) -> Iterator[Finding]:
    filled: dict[int, Decimal] = defaultdict(Decimal)
    for order_id, quantity in Trade.objects.filter(order__in=pks).values_list("order", "quantity"):
        filled[order_id] += quantity
    events: dict[int, list[tuple[OrderStatus, OrderStatus]]] = defaultdict(list)
    rows = OrderEvent.objects.filter(order__in=pks).order_by("pk")
    for order_id, source, target in rows.values_list("order", "from_status", "to_status"):
        events[order_id].append((OrderStatus(source), OrderStatus(target)))
    for order in Order.objects.filter(pk__in=pks):
        for problem in _check_order(order, filled[order.pk], events[order.pk]):
            yield Finding(order.pk, f"order {order.client_order_id}: {problem}")


def _check_order(
    order: Order, traded: Decimal, events: list[tuple[OrderStatus, OrderStatus]]
) -> Iterator[str]:
    if order.filled != traded:
        yield f"filled is {order.filled} but its trades sum up to {traded}"
    if order.quantity is not None and traded > order.quantity:
        yield f"trades of {traded} exceed the quantity of {order.quantity}"
    if (order.status == OrderStatus.FILLED) != (order.quantity is not None and traded == order.quantity):
        yield f"is {order.status} with {traded} of {order.quantity} traded"
    if order.status in FINAL and order.closed_at is None:
        yield f"is {order.status} without a closing time"
    yield from _check_replay(order, events)


def _check_replay(order: Order, events: list[tuple[OrderStatus, OrderStatus]]) -> Iterator[str]:
    try:
        replayed = replay_events(events)
    except IllegalTransition as error:
        yield f"its events do not follow one another: {error}"
        return
    if replayed != order.status:
        yield f"is {order.status} but its events end with {replayed.value}"


# Positions


def _broken_positions() -> Iterator[str]:
    for strategy_accounts in _pk_chunks(sorted({finding.row for finding in _check_positions()})):
        with transaction.atomic():
            held = Position.objects.filter(strategy_account__in=strategy_accounts)
            list(held.select_for_update(no_key=True).order_by("pk"))
            found = list(_check_positions(strategy_accounts))
        yield from (finding.text for finding in found)


def _check_positions(strategy_accounts: Iterable[int] | None = None) -> Iterator[Finding]:
    """Checks the positions of these strategy accounts, without `strategy_accounts` all positions."""
    wanted = Q() if strategy_accounts is None else Q(strategy_account__in=strategy_accounts)
    summed = _sum_moves(wanted)
    for position in Position.objects.filter(wanted):
        strategy_account, symbol = position.strategy_account_id, position.symbol
        total = summed.pop((strategy_account, symbol), Decimal(0))
        if total != position.quantity:
            text = f"is {position.quantity} but its trades and adjustments sum up to {total}"
            yield Finding(strategy_account, f"position {position.pk} {symbol}: {text}")
    for (strategy_account, symbol), total in summed.items():
        yield Finding(
            strategy_account,
            f"strategy account {strategy_account} {symbol}: trades and adjustments of {total} without a position",
        )


def _sum_moves(wanted: Q) -> dict[tuple[int, str], Decimal]:
    """Returns the sum of signed trades and adjustments by strategy account and symbol."""
    summed: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    trades = Trade.objects.filter(wanted).only("strategy_account", "symbol", "side", "quantity", "base_fee")
    for trade in trades.iterator():
        summed[trade.strategy_account_id, trade.symbol] += trade.signed_quantity
    adjustments = Adjustment.objects.filter(wanted).exclude(quantity=0)
    for strategy_account, symbol, quantity in adjustments.values_list(
        "strategy_account_id", "symbol", "quantity"
    ):
        summed[strategy_account, symbol] += quantity
    return summed


# Rules within one statement: a single reading is consistent, and needs no second check


def _check_accounts(orders: QuerySet[Order]) -> Iterator[str]:
    """Checks accounts: orders and adjustments have the account of their strategy account.

    A trade has both from its order, and an adjustment concerns the holding of its event.
    """
    for name in orders.exclude(account=F("strategy_account__account")).values_list(
        "client_order_id", flat=True
    ):
        yield f"order {name}: its account is not its strategy account's"
    same = Q(account=F("strategy_account__account"), order__account=F("account")) & Q(
        order__strategy_account=F("strategy_account")
    )
    for trade in Trade.objects.filter(order__in=orders).exclude(same):
        yield f"trade {trade.trade_id} {trade.symbol}: its account is not its order's and its strategy account's"
    for adjustment in Adjustment.objects.exclude(account=F("strategy_account__account")):
        yield f"adjustment {adjustment.pk} {adjustment.symbol}: its account is not its strategy account's"
    foreign = Adjustment.objects.filter(event__isnull=False).exclude(
        event__account=F("account"), event__symbol=F("symbol")
    )
    for adjustment in foreign:
        yield f"adjustment {adjustment.pk} {adjustment.symbol}: its event is of another holding"


def _check_turns(orders: QuerySet[Order]) -> Iterator[str]:
    """Checks finished batches: an unreleased order or cancellation would hold up the later batches."""
    left = orders.filter(released_at__isnull=True, batch__finished_at__isnull=False)
    for name in left.values_list("client_order_id", flat=True):
        yield f"order {name}: unreleased in a finished batch"
    for cancellation in Cancellation.objects.unreleased().filter(batch__finished_at__isnull=False):
        yield f"cancellation {cancellation.pk}: unreleased in the finished batch {cancellation.batch_id}"
