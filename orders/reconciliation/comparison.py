"""Compares our books with the exchanges, account after account, as the time for each account comes.

The comparison records and reports differences, and never trades in order to make the numbers match. A missing answer
proves nothing about an account.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from exchanges.adapters.protocol import OrderReport
from exchanges.enums import MarketType
from exchanges.gateway import Line, gateway
from exchanges.models import Account
from orders.domain.enums import OrderStatus
from orders.domain.keys import HoldingKey
from orders.models import Order, Position
from orders.outside.account_comparison import compare_subjects, is_due
from orders.outside.subjects import Subject, market_types_in_use, only_ready, symbols_in_use
from orders.reconciliation.request_weight import Rooms
from strategies.models import StrategyAccount

LOOK_BACK = timedelta(hours=24)
# Symbols in use are compared often. A sweep reads all symbols of an account and costs much request weight.
COMPARE_EVERY = timedelta(seconds=30)
SWEEP_EVERY = timedelta(hours=1)
COMPARE_UNUSED_EVERY = timedelta(minutes=4)  # so that the first entry finds a comparison that is young enough
# Of an exchange's request weight, of which questions that can wait may use half.
_PART_OF_WEIGHT, _PART_OF_SWEEPS = 0.12, 0.03
_JUST_CLOSED = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ComparisonWeight:
    """The request weight of comparisons, and the part of it that sweeps may use."""

    comparisons: Rooms
    sweeps: Rooms

    @classmethod
    def shared_by(cls, trackers: Callable[[], int]) -> "ComparisonWeight":
        return cls(
            Rooms(_PART_OF_WEIGHT, keep=timedelta(minutes=1), trackers=trackers),
            Rooms(_PART_OF_SWEEPS, keep=timedelta(minutes=2), trackers=trackers),
        )


def compare_accounts(
    *, clock: Callable[[], datetime], everything: bool = False, weight: ComparisonWeight | None = None
) -> list[Order]:
    """Compares every due account with its exchange. Returns the closed orders contradicted by the exchange.

    Two processes at the same time divide the due accounts between them. With `everything`, all accounts in use are due,
    and all symbols are compared. With `weight`, accounts without room stay due, those that waited least.
    """
    subjects = _due_subjects(clock(), everything, weight)
    compare_subjects(subjects, clock=clock)
    return _contradicted_orders(only_ready(subjects, now=clock()), clock())


@transaction.atomic
def _due_subjects(now: datetime, everything: bool, weight: ComparisonWeight | None) -> list[Subject]:
    """Claims the accounts whose comparison is due and has room. The rows have the times from before the claim.

    Another process does not compare a claimed account until the account's next comparison is due.
    """
    accounts = _due_accounts(now, everything)
    symbols = symbols_in_use(accounts)
    subjects: dict[int, list[Subject]] = defaultdict(list)
    for account, kind in market_types_in_use(accounts):
        used = frozenset(symbols[account, kind])
        subjects[account].append(Subject(accounts[account], MarketType(kind), used))
    claimed: list[Subject] = []
    for account in accounts:
        if weight is None or _has_room(subjects[account], weight, now):
            claimed += subjects[account]
    claimed = _with_sweeps(claimed, everything, weight, now)
    asked = {subject.account.pk for subject in claimed} | (accounts.keys() - subjects.keys())
    Account.objects.filter(pk__in=asked).update(compare_claimed_at=now)
    swept = {subject.account.pk for subject in claimed if subject.is_swept}
    Account.objects.filter(pk__in=swept).update(swept_at=now)
    random.shuffle(claimed)  # an exchange without room for all questions leaves out other accounts each time
    return claimed


def _due_accounts(now: datetime, everything: bool) -> dict[int, Account]:
    """The accounts in use whose comparison is due, locked, the longest wait first.

    An account that was switched off is in use as long as the account holds or works something. An account that never
    had an order is compared less often.
    """
    orders = Order.objects.filter(account=OuterRef("pk"))
    held = Position.objects.held().filter(strategy_account__account=OuterRef("pk"))
    takes_part = StrategyAccount.objects.filter(account=OuterRef("pk"), is_active=True)
    in_use = Q(is_active=True) & (Exists(orders) | Exists(takes_part)) | Exists(orders.open()) | Exists(held)
    rows = Account.objects.filter(in_use).annotate(has_orders=Exists(orders))
    return {
        row.pk: row
        for row in rows.select_for_update(skip_locked=True).order_by(
            F("compare_claimed_at").asc(nulls_first=True), "pk"
        )
        if everything or is_due(row.compare_claimed_at, _pace_of(row), now)
    }


def _has_room(subjects: Iterable[Subject], weight: ComparisonWeight, now: datetime) -> bool:
    """Whether each of an account's subjects has room for a plain comparison, which uses the room up."""
    rooms = [weight.comparisons.spend(_line_of(s), _weight_of(s), now=now) for s in subjects]
    return all(rooms)


def _with_sweeps(
    subjects: Iterable[Subject], everything: bool, weight: ComparisonWeight | None, now: datetime
) -> list[Subject]:
    """The subjects, swept where a sweep is due and has room. The account whose last sweep is oldest comes first."""
    chosen = []
    long_ago = datetime.min.replace(tzinfo=UTC)
    for subject in sorted(subjects, key=lambda s: (s.account.swept_at or long_ago, s.account.pk)):
        is_swept = everything or is_due(subject.account.swept_at, SWEEP_EVERY, now)
        swept = replace(subject, is_swept=True)
        if is_swept and weight is not None:
            more = _weight_of(swept) - _weight_of(subject)
            is_swept = weight.sweeps.spend(_line_of(subject), more, now=now)
        chosen.append(swept if is_swept else subject)
    return chosen


def _line_of(subject: Subject) -> Line:
    return Line(subject.account.exchange, subject.market_type)


def _weight_of(subject: Subject) -> int:
    abilities = gateway.capabilities(subject.account.exchange, subject.market_type)
    weights = abilities.weights
    of_lists = len(subject.symbols) * weights.open_orders
    if subject.is_swept:
        of_lists = weights.all_open_orders or weights.open_orders
    return weights.holdings + of_lists * len(abilities.open_order_lists)


def _pace_of(account: Any) -> timedelta:
    return COMPARE_EVERY if account.has_orders else COMPARE_UNUSED_EVERY


# Orders


def _contradicted_orders(subjects: Sequence[Subject], now: datetime) -> list[Order]:
    """Returns recently closed orders contradicted by the exchange's order history.

    An order is contradicted by a larger filled quantity, and a `rejected` order by any entry in the history.
    """
    by_key = _closed_lately(subjects, now)
    ready = {(subject.account.pk, str(subject.market_type)): subject for subject in subjects}
    calls = {
        key: ready[key.account_id, key.market_type].call("fetch_orders", key.symbol, now - LOOK_BACK)
        for key in by_key
    }
    outcomes = dict(zip(calls, gateway.call_all(list(calls.values())), strict=True))
    return [
        by_key[key][report.client_order_id]
        for key, outcome in outcomes.items()
        if outcome.error is None
        for report in outcome.value
        if _contradicts(report, by_key[key].get(report.client_order_id))
    ]


def _closed_lately(subjects: Sequence[Subject], now: datetime) -> dict[HoldingKey, dict[str, Order]]:
    """Returns closed, not filled orders by holding and client order id.

    A sweep covers the orders closed within LOOK_BACK, another comparison the orders closed within _JUST_CLOSED.
    """
    swept = {(s.account.pk, str(s.market_type)): s.is_swept for s in subjects}
    closed = Order.objects.filter(closed_at__gt=now - LOOK_BACK, submitted_at__isnull=False)
    closed = closed.exclude(status=OrderStatus.FILLED).filter(account__in={account for account, _ in swept})
    by_key: dict[HoldingKey, dict[str, Order]] = defaultdict(dict)
    for order in closed.select_related("account"):
        is_swept = swept.get((order.account_id, order.market_type))
        lately = order.closed_at is not None and now - order.closed_at < _JUST_CLOSED
        if is_swept or (is_swept is False and lately):
            by_key[HoldingKey(order.account_id, order.market_type, order.symbol)][order.client_order_id] = (
                order
            )
    return by_key


def _contradicts(report: OrderReport, order: Order | None) -> bool:
    if order is None:
        return False
    return report.filled > order.filled or order.status == OrderStatus.REJECTED
