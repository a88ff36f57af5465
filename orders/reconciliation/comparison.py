"""Compares our books with the exchanges, account after account: open orders, late fills and holdings.

The comparison records and reports differences, and never trades in order to make the numbers match. A missing answer
proves nothing about an account.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from exchanges.adapters.protocol import OrderReport
from exchanges.enums import MarketType
from exchanges.gateway import gateway
from exchanges.models import Account
from orders.domain.enums import OrderStatus
from orders.domain.keys import HoldingKey
from orders.models import ExternalOrder, Order, Position
from orders.outside.holdings import compare_holdings
from orders.outside.subjects import Subject, answered_outcomes, only_ready

LOOK_BACK = timedelta(hours=24)
# Symbols in use are compared often. A sweep reads all symbols of an account and costs much request weight.
COMPARE_EVERY = timedelta(seconds=30)
SWEEP_EVERY = timedelta(hours=1)
_JUST_CLOSED = timedelta(minutes=5)


def compare_accounts(*, clock: Callable[[], datetime], everything: bool = False) -> list[Order]:
    """Compares every due account with its exchange. Returns the closed orders contradicted by the exchange.

    Two processes at the same time divide the due accounts between them. With `everything`, all accounts in use are due,
    and all symbols are compared.
    """
    subjects = only_ready(_due_subjects(clock(), everything), now=clock())
    _note_external(subjects, clock())
    compare_holdings(subjects, clock=clock)
    return _contradicted_orders(subjects, clock())


def _due_subjects(now: datetime, everything: bool) -> list[Subject]:
    accounts = _claim_accounts(now, everything)
    used = set(Order.objects.filter(account__in=accounts).values_list("account", "market_type"))
    symbols = _symbols_in_use(accounts)
    subjects = [
        Subject(
            accounts[account],
            MarketType(kind),
            frozenset(symbols[account, kind]),
            everything or _is_long_ago(accounts[account].swept_at, SWEEP_EVERY, now),
        )
        for account, kind in used
    ]
    random.shuffle(subjects)  # an exchange without room for all questions leaves out other accounts each time
    return subjects


@transaction.atomic
def _claim_accounts(now: datetime, everything: bool) -> dict[int, Account]:
    """Claims the accounts in use whose comparison is due. Returns the rows with the times from before the claim.

    An account that was switched off is in use as long as the account holds or works something.

    Another process does not compare a claimed account until the account's next comparison is due.
    """
    orders = Order.objects.filter(account=OuterRef("pk"))
    held = Position.objects.held().filter(strategy_account__account=OuterRef("pk"))
    in_use = Q(Exists(orders), is_active=True) | Exists(orders.open()) | Exists(held)
    rows = Account.objects.filter(in_use)
    accounts = {
        row.pk: row
        for row in rows.select_for_update(skip_locked=True)
        if everything or _is_long_ago(row.compared_at, COMPARE_EVERY, now)
    }
    Account.objects.filter(pk__in=accounts).update(compared_at=now)
    swept = [pk for pk, row in accounts.items() if _is_long_ago(row.swept_at, SWEEP_EVERY, now)]
    Account.objects.filter(pk__in=swept).update(swept_at=now)
    return accounts


def _is_long_ago(moment: datetime | None, period: timedelta, now: datetime) -> bool:
    return moment is None or now - moment >= period


def _symbols_in_use(accounts: Iterable[int]) -> dict[tuple[int, str], set[str]]:
    """Returns the symbols with a position or an open order, by account and market type."""
    held = Position.objects.held().filter(strategy_account__account__in=accounts)
    worked = Order.objects.open().filter(account__in=accounts)
    columns = ("strategy_account__account_id", "strategy_account__strategy__market_type", "symbol")
    symbols: dict[tuple[int, str], set[str]] = defaultdict(set)
    for account, kind, symbol in [
        *held.values_list(*columns),
        *worked.values_list("account_id", "market_type", "symbol"),
    ]:
        symbols[account, kind].add(symbol)
    return symbols


# Orders


def _note_external(subjects: Sequence[Subject], now: datetime) -> None:
    """Stores an ExternalOrder for every open order at the exchange without a row of ours."""
    calls = [subject.call("fetch_open_orders") for subject in subjects if subject.is_swept]
    calls += [
        subject.call("fetch_open_orders", symbol)
        for subject in subjects
        if not subject.is_swept
        for symbol in sorted(subject.symbols)
    ]
    for outcome in answered_outcomes(calls):
        subject, reports = outcome.call.tag, outcome.value
        known = _known_names(reports)
        for report in reports:
            if report.client_order_id not in known:
                _keep_external(subject, report, now)


def _known_names(reports: Sequence[OrderReport]) -> set[str]:
    names = {report.client_order_id for report in reports}
    return set(Order.objects.filter(client_order_id__in=names).values_list("client_order_id", flat=True))


def _keep_external(subject: Subject, report: OrderReport, now: datetime) -> None:
    seen = {
        "client_order_id": report.client_order_id,
        "status": report.status or "",
        "quantity": report.quantity,
        "filled": report.filled,
        "last_seen_at": now,
    }
    ExternalOrder.objects.update_or_create(
        account=subject.account,
        market_type=subject.market_type,
        symbol=report.symbol,
        exchange_order_id=report.order_id,
        defaults=seen,
        create_defaults={**seen, "first_seen_at": now},
    )


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
        if is_swept or (is_swept is False and not _is_long_ago(order.closed_at, _JUST_CLOSED, now)):
            by_key[HoldingKey(order.account_id, order.market_type, order.symbol)][order.client_order_id] = (
                order
            )
    return by_key


def _contradicts(report: OrderReport, order: Order | None) -> bool:
    if order is None:
        return False
    return report.filled > order.filled or order.status == OrderStatus.REJECTED
