"""Compares whole accounts with their exchanges: open orders, the history since a gap of the books, and holdings.

A comparison is complete when the exchange has answered every question about an account. Only a complete comparison
moves `Account.compared_at`, which entries need young (orders.outside.freshness).
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.db.models import Exists, Q

from exchanges.adapters.protocol import Balance, OrderReport, PositionReport
from exchanges.enums import MarketType
from exchanges.gateway import Call, Outcome, gateway
from exchanges.models import Account, Market
from orders.models import BooksGap, Order
from orders.outside.adoption import SeenOrder, adopt_reports, keep_external, known_names
from orders.outside.holdings import compare_holdings
from orders.outside.subjects import Subject, market_types_in_use, only_ready, symbols_in_use
from strategies.models import StrategyAccount

logger = logging.getLogger(__name__)

# A comparison for an entry that waits begins at most so often for one account.
ON_DEMAND_EVERY = timedelta(seconds=5)
_TRADED_WITHIN = timedelta(days=90)
_LESS_THAN_KEPT = timedelta(hours=1)  # history is asked for so much less far back than the exchange keeps
HISTORY_TOO_LONG = "history_too_long"


def compare_now(
    account_ids: Collection[int],
    market_type: MarketType,
    symbols: Collection[str],
    *,
    clock: Callable[[], datetime],
) -> set[int]:
    """Compares these accounts at once, for an entry that waits. Returns the accounts that this call has compared.

    The comparison covers all symbols in use and `symbols`, and after a gap of the books everything since the gap. An
    account is left out while another process compares it, and stays as it is where the exchange leaves a question
    unanswered. Calls exchanges, and so runs outside of transactions.
    """
    accounts = _claim(account_ids, now=clock())
    if not accounts:
        return set()
    used = symbols_in_use(accounts)
    kinds = market_types_in_use(accounts) | {(pk, str(market_type)) for pk in accounts}
    subjects = [
        Subject(
            accounts[pk],
            MarketType(kind),
            frozenset(used[pk, kind] | (set(symbols) if kind == market_type else set())),
            can_wait=False,
        )
        for pk, kind in sorted(kinds)
    ]
    return compare_subjects(subjects, clock=clock)


def _claim(account_ids: Collection[int], *, now: datetime) -> dict[int, Account]:
    """Claims the accounts that no process has begun to compare within ON_DEMAND_EVERY."""
    rows = Account.objects.filter(pk__in=account_ids)
    free = [row for row in rows if is_due(row.compare_claimed_at, ON_DEMAND_EVERY, now)]
    return {
        row.pk: row
        for row in free
        if rows.filter(pk=row.pk, compare_claimed_at=row.compare_claimed_at).update(compare_claimed_at=now)
    }


def is_due(moment: datetime | None, period: timedelta, now: datetime) -> bool:
    """Whether the period since the moment is over. A moment well in the future is of a clock that was set back."""
    return moment is None or not -ON_DEMAND_EVERY < now - moment < period


def compare_subjects(subjects: Sequence[Subject], *, clock: Callable[[], datetime]) -> set[int]:
    """Compares the subjects and stores `compared_at` of the accounts whose comparison is complete.

    Returns these accounts. `subjects` hold all market types in use of each account, and each account as it was before
    the comparison.
    """
    at = clock()
    gaps = list(BooksGap.objects.order_by("pk"))
    ready = only_ready(subjects, now=at)
    begins = {s.account.pk: _history_begins(s.account, gaps) for s in ready}
    ready = [replace(s, is_swept=True) if begins[s.account.pk] else s for s in ready]
    unanswered = {s.account.pk for s in subjects} - {s.account.pk for s in ready}
    unanswered |= _compare_open_orders(ready, clock)
    behind = [s for s in ready if begins[s.account.pk] and s.account.pk not in unanswered]
    unanswered |= _adopt_history(behind, begins, clock)
    compared = compare_holdings(ready, clock=clock)
    unanswered |= {s.account.pk for s in ready if s not in compared}
    complete = {s.account.pk for s in ready} - unanswered
    # A gap that was noticed meanwhile needs a comparison of its own.
    later = Exists(BooksGap.objects.filter(pk__gt=gaps[-1].pk if gaps else 0))
    Account.objects.filter(~Q(later), pk__in=complete).update(compared_at=at)
    return complete


def _history_begins(account: Account, gaps: Iterable[BooksGap]) -> datetime | None:
    """The beginning of what our books may lack of the account; None without a gap since the last comparison."""
    since = account.compared_at
    return min((gap.began_at for gap in gaps if since is None or gap.noticed_at > since), default=None)


# Open orders


def _compare_open_orders(subjects: Sequence[Subject], clock: Callable[[], datetime]) -> set[int]:
    """Adopts open orders of ours without a row, and stores the others as external. Returns accounts without answer."""
    calls = [subject.call("fetch_open_orders") for subject in subjects if subject.is_swept]
    calls += [
        subject.call("fetch_open_orders", symbol)
        for subject in subjects
        if not subject.is_swept
        for symbol in sorted(subject.symbols)
    ]
    answered, unanswered = _ask(calls)
    seen = [SeenOrder(outcome.call.tag, report) for outcome in answered for report in outcome.value]
    if seen:
        adopt_reports(seen, clock=clock)
        known = known_names(order.name for order in seen)
        for order in seen:
            if order.name not in known:
                keep_external(order, now=clock())
    return unanswered


def _ask(calls: Sequence[Call]) -> tuple[list[Outcome], set[int]]:
    """Asks all questions. Returns the answered outcomes, and the accounts with an unanswered question."""
    answered, unanswered = [], set()
    for outcome in gateway.call_all(calls):
        if outcome.error is None:
            answered.append(outcome)
        else:
            logger.info("no answer account=%s code=%s", outcome.call.tag.account.pk, outcome.error.code)
            unanswered.add(outcome.call.tag.account.pk)
    return answered, unanswered


# The history since a gap


def _adopt_history(
    subjects: Sequence[Subject], begins: dict[int, datetime | None], clock: Callable[[], datetime]
) -> set[int]:
    """Adopts the orders of ours since the gap that have no row. Returns the accounts with an unanswered question."""
    reports, unanswered = read_history(subjects, begins, now=clock())
    adopt_reports(reports, clock=clock)
    return unanswered


def read_history(
    subjects: Sequence[Subject], begins: dict[int, datetime | None], *, now: datetime
) -> tuple[list[SeenOrder], set[int]]:
    """Reads the orders of each account since its time in `begins`. Returns also the accounts without every answer.

    The exchange lists orders by symbol only, so a symbol is asked about which the account's strategies traded, or in
    which the account holds something. Where an exchange keeps its history for less time than the gap, the history is
    asked for as far as kept: the comparison of holdings shows what the older part has left.
    """
    held, unanswered = _ask([_holdings_call(subject) for subject in subjects])
    symbols = _traded_symbols(subjects, now)
    for outcome in held:
        subject = outcome.call.tag
        symbols[subject.account.pk, str(subject.market_type)] |= _held_symbols(subject, outcome.value)
    calls = [
        subject.call("fetch_orders", symbol, _kept_since(subject, begin, now))
        for subject in subjects
        if (begin := begins[subject.account.pk])
        for symbol in sorted(subject.symbols | symbols[subject.account.pk, str(subject.market_type)])
    ]
    found: list[SeenOrder] = []
    for outcome in gateway.call_all(calls):
        subject = outcome.call.tag
        if outcome.error is None:
            reports: Sequence[OrderReport] = outcome.value
            found += [SeenOrder(subject, report) for report in reports]
        elif outcome.error.code == HISTORY_TOO_LONG:
            logger.error("history incomplete account=%s symbol=%s", subject.account.pk, outcome.call.args[0])
        else:
            unanswered.add(subject.account.pk)
    return found, unanswered


def _kept_since(subject: Subject, begin: datetime, now: datetime) -> datetime:
    days = gateway.capabilities(subject.account.exchange, subject.market_type).history_days
    return max(begin, now - timedelta(days=days) + _LESS_THAN_KEPT) if days else begin


def _holdings_call(subject: Subject) -> Call:
    return subject.call("fetch_balance" if subject.market_type is MarketType.SPOT else "fetch_positions")


def _held_symbols(subject: Subject, rows: Sequence[Balance] | Sequence[PositionReport]) -> set[str]:
    """The symbols of positions; of coins, the symbols against the currencies of the account's capital."""
    held = {row.symbol for row in rows if isinstance(row, PositionReport) and row.quantity}
    coins = {row.currency for row in rows if isinstance(row, Balance) and row.total}
    if coins:
        quotes = set(subject.account.strategy_accounts.values_list("capital_currency", flat=True))
        markets = Market.objects.of(subject.account.exchange, subject.market_type).symbols()
        held |= {f"{coin}/{quote}" for coin in coins for quote in quotes} & markets
    return held


def _traded_symbols(subjects: Sequence[Subject], now: datetime) -> dict[tuple[int, str], set[str]]:
    """The symbols that the strategies of each account traded lately, in any of their accounts of the exchange."""
    found: dict[tuple[int, str], set[str]] = defaultdict(set)
    accounts = {subject.account.pk: subject.account for subject in subjects}
    parts = StrategyAccount.objects.filter(account__in=accounts).values_list("account_id", "strategy_id")
    by_strategy: dict[int, set[int]] = defaultdict(set)
    for account, strategy in parts:
        by_strategy[strategy].add(account)
    rows = Order.objects.filter(strategy__in=by_strategy, created_at__gt=now - _TRADED_WITHIN).order_by()
    columns = ("strategy_id", "account__exchange", "market_type", "symbol")
    for strategy, exchange, kind, symbol in rows.values_list(*columns).distinct():
        for account in by_strategy[strategy]:
            if accounts[account].exchange == exchange:
                found[account, kind].add(symbol)
    return found
