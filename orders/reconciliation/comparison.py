"""Compares our books with the exchanges, account after account, as the time for each account comes.

The comparison records and reports differences, and never trades in order to make the numbers match. A missing answer
proves nothing about an account.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from exchanges.adapters.protocol import OrderReport
from exchanges.enums import MarketType
from exchanges.gateway import gateway
from exchanges.models import Account
from orders.domain.enums import OrderStatus
from orders.domain.keys import HoldingKey
from orders.models import Order, Position
from orders.outside.account_comparison import compare_subjects, is_due
from orders.outside.subjects import Subject, market_types_in_use, only_ready, symbols_in_use
from strategies.models import StrategyAccount

LOOK_BACK = timedelta(hours=24)
# Symbols in use are compared often. A sweep reads all symbols of an account and costs much request weight.
COMPARE_EVERY = timedelta(seconds=30)
SWEEP_EVERY = timedelta(hours=1)
COMPARE_UNUSED_EVERY = timedelta(minutes=4)  # so that the first entry finds a comparison that is young enough
_JUST_CLOSED = timedelta(minutes=5)


def compare_accounts(*, clock: Callable[[], datetime], everything: bool = False) -> list[Order]:
    """Compares every due account with its exchange. Returns the closed orders contradicted by the exchange.

    Two processes at the same time divide the due accounts between them. With `everything`, all accounts in use are due,
    and all symbols are compared.
    """
    subjects = _due_subjects(clock(), everything)
    compare_subjects(subjects, clock=clock)
    return _contradicted_orders(only_ready(subjects, now=clock()), clock())


def _due_subjects(now: datetime, everything: bool) -> list[Subject]:
    accounts = _claim_accounts(now, everything)
    symbols = symbols_in_use(accounts)
    subjects = [
        Subject(
            accounts[account],
            MarketType(kind),
            frozenset(symbols[account, kind]),
            everything or is_due(accounts[account].swept_at, SWEEP_EVERY, now),
        )
        for account, kind in market_types_in_use(accounts)
    ]
    random.shuffle(subjects)  # an exchange without room for all questions leaves out other accounts each time
    return subjects


@transaction.atomic
def _claim_accounts(now: datetime, everything: bool) -> dict[int, Account]:
    """Claims the accounts in use whose comparison is due. Returns the rows with the times from before the claim.

    An account that was switched off is in use as long as the account holds or works something. An account that never
    had an order is compared less often.

    Another process does not compare a claimed account until the account's next comparison is due.
    """
    orders = Order.objects.filter(account=OuterRef("pk"))
    held = Position.objects.held().filter(strategy_account__account=OuterRef("pk"))
    takes_part = StrategyAccount.objects.filter(account=OuterRef("pk"), is_active=True)
    in_use = Q(is_active=True) & (Exists(orders) | Exists(takes_part)) | Exists(orders.open()) | Exists(held)
    rows = Account.objects.filter(in_use).annotate(has_orders=Exists(orders))
    accounts = {
        row.pk: row
        for row in rows.select_for_update(skip_locked=True)
        if everything or is_due(row.compare_claimed_at, _pace_of(row), now)
    }
    Account.objects.filter(pk__in=accounts).update(compare_claimed_at=now)
    swept = [pk for pk, row in accounts.items() if is_due(row.swept_at, SWEEP_EVERY, now)]
    Account.objects.filter(pk__in=swept).update(swept_at=now)
    return accounts


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
