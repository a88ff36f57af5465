"""Holds our books against the exchange: open orders, late fills, positions.

It records and reports. It never trades to make numbers match, and takes no missing answer for "nothing there".
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from exchanges import markets, vault
from exchanges.adapters.protocol import Balance, OrderReport, PositionReport
from exchanges.enums import MarketType
from exchanges.errors import ExchangeError
from exchanges.gateway import Call, Outcome, gateway
from exchanges.models import Account
from orders.differences import note_differences
from orders.enums import OrderStatus
from orders.errands import credentials_of
from orders.models import ExternalOrder, Order, Position

logger = logging.getLogger(__name__)

_SETTLING = timedelta(seconds=10)  # a fill shows up in a position before it shows up as a trade, or after
LOOK_BACK = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Subject:
    """One account at one market type, with what its strategies hold or work there."""

    account: Account
    market_type: MarketType

    def call(self, verb: str, *args: object) -> Call:
        return Call(
            self.account.exchange, self.market_type, verb, args, credentials_of(self.account), tag=self
        )


def reconcile(*, clock: Callable[[], datetime]) -> list[Order]:
    """One look at every account in use. Returns closed orders about which the exchange now says otherwise."""
    subjects = [subject for subject in _subjects() if _is_ready(subject, clock())]
    _note_external(subjects, clock())
    _compare_holdings(subjects, clock())
    return _contradicted(subjects, clock())


def _subjects() -> list[Subject]:
    rows = Order.objects.filter(account__is_active=True).values_list("account", "market_type").distinct()
    pairs = set(rows)
    accounts = Account.objects.in_bulk({account for account, _ in pairs})
    return [Subject(accounts[account], MarketType(kind)) for account, kind in sorted(pairs)]


def _is_ready(subject: Subject, now: datetime) -> bool:
    try:
        credentials_of(subject.account)
        markets.book(subject.account.exchange, subject.market_type, now=now)
    except (vault.CredentialsUnreadable, ExchangeError) as error:
        logger.warning("cannot reconcile account=%s error=%s", subject.account.pk, type(error).__name__)
        return False
    return True


def _answers(calls: Sequence[Call]) -> Iterable[Outcome]:
    """Those that were answered; a failed question says nothing about the account."""
    for outcome in gateway.call_all(calls):
        if outcome.error is None:
            yield outcome
        else:
            logger.info("no answer account=%s code=%s", outcome.call.tag.account.pk, outcome.error.code)


# Orders


def _note_external(subjects: Sequence[Subject], now: datetime) -> None:
    """Open orders at the exchange that no row of ours names."""
    for outcome in _answers([subject.call("fetch_open_orders") for subject in subjects]):
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


def _contradicted(subjects: Sequence[Subject], now: datetime) -> list[Order]:
    """Orders that we closed in the last day and that the exchange shows with more than we know."""
    closed = Order.objects.filter(closed_at__gt=now - LOOK_BACK, submitted_at__isnull=False)
    closed = closed.exclude(status=OrderStatus.FILLED).select_related("account")
    by_place: dict[tuple[int, str, str], dict[str, Order]] = defaultdict(dict)
    for order in closed:
        by_place[order.account_id, order.market_type, order.symbol][order.client_order_id] = order
    ready = {(subject.account.pk, str(subject.market_type)): subject for subject in subjects}
    calls = [
        Call(
            ready[account, kind].account.exchange,
            MarketType(kind),
            "fetch_orders",
            (symbol, now - LOOK_BACK),
            credentials_of(ready[account, kind].account),
            tag=(account, kind, symbol),
        )
        for account, kind, symbol in by_place
        if (account, kind) in ready
    ]
    outcomes = [outcome for outcome in gateway.call_all(calls) if outcome.error is None]
    return [
        by_place[outcome.call.tag][report.client_order_id]
        for outcome in outcomes
        for report in outcome.value
        if _contradicts(report, by_place[outcome.call.tag].get(report.client_order_id))
    ]


def _contradicts(report: OrderReport, order: Order | None) -> bool:
    if order is None:
        return False
    return report.filled > order.filled or order.status == OrderStatus.REJECTED


# Holdings


def _compare_holdings(subjects: Sequence[Subject], now: datetime) -> None:
    quiet = [subject for subject in subjects if not _is_moving(subject, now)]
    futures = [s.call("fetch_positions") for s in quiet if s.market_type is MarketType.FUTURES]
    spot = [s.call("fetch_balance") for s in quiet if s.market_type is MarketType.SPOT]
    for outcome in _answers(futures):
        note_differences(outcome.call.tag, _futures_holdings(outcome.call.tag, outcome.value), now=now)
    for outcome in _answers(spot):
        note_differences(outcome.call.tag, _spot_holdings(outcome.call.tag, outcome.value), now=now)


def _is_moving(subject: Subject, now: datetime) -> bool:
    """Orders in flight or fresh trades: any difference now would be one of timing."""
    orders = Order.objects.filter(account=subject.account, market_type=subject.market_type)
    fresh = orders.filter(trades__recorded_at__gt=now - _SETTLING)
    return orders.in_flight().exists() or fresh.exists()


def _futures_holdings(
    subject: Subject, reports: Sequence[PositionReport]
) -> dict[str, tuple[Decimal, Decimal]]:
    """Symbol -> (ours, theirs)."""
    ours = held_by_us(subject.account, subject.market_type)
    theirs = {report.symbol: report.quantity for report in reports}
    zero = Decimal(0)
    return {symbol: (ours.get(symbol, zero), theirs.get(symbol, zero)) for symbol in {*ours, *theirs}}


def _spot_holdings(subject: Subject, balances: Sequence[Balance]) -> dict[str, tuple[Decimal, Decimal]]:
    """An owner may hold coins of their own: only less than ours is a difference."""
    total = {balance.currency: balance.total for balance in balances}
    ours = held_by_us(subject.account, subject.market_type)
    zero = Decimal(0)
    return {
        symbol: (quantity, min(quantity, total.get(symbol.partition("/")[0], zero)))
        for symbol, quantity in ours.items()
    }


def held_by_us(account: Account, market_type: MarketType) -> dict[str, Decimal]:
    """Our books' holding per symbol, over all strategies of the account."""
    rows = Position.objects.filter(
        strategy_account__account=account, strategy_account__strategy__market_type=market_type
    )
    held: dict[str, Decimal] = defaultdict(Decimal)
    for symbol, quantity in rows.values_list("symbol", "quantity"):
        held[symbol] += quantity
    return dict(held)
