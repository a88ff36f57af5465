"""Shows what the exchanges have and our books lack, account after account: orders, fills, holdings. Writes nothing.

`manage.py adopt` shows and mends it, `manage.py audit_books` reports it.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.db.models import Q

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from exchanges.adapters.protocol import Fill, OrderReport
from exchanges.amounts import plain
from exchanges.enums import MarketType
from exchanges.models import Account
from orders.domain.enums import Evidence
from orders.domain.ids import is_ours
from orders.domain.keys import HoldingKey
from orders.domain.lifecycle import WORKING
from orders.fills.order_reports import Observation, record_reports
from orders.models import Order, Trade
from orders.models.transitions import atomic_statuses
from orders.outside.account_comparison import compare_subjects, read_history
from orders.outside.adoption import ADOPTION, Orphan, SeenOrder, adopt_reports, find_orphans
from orders.outside.holdings import SECOND_READ_S, Look, look_at_holdings
from orders.outside.subjects import (
    Subject,
    answered_outcomes,
    market_types_in_use,
    only_ready,
    symbols_in_use,
)

_YOUNG = timedelta(minutes=1)  # an exchange may list an order a moment later than it accepts the order


@dataclass(frozen=True, slots=True)
class MissingFill:
    """A fill of an order of ours that our books lack. `order` is None where the order has no row either."""

    name: str
    fill: Fill
    report: OrderReport
    order: Order | None


@dataclass(slots=True)
class Findings:
    """What an exchange shows of an account and market type, where it differs from our books.

    `is_answered` is false where a question stayed without an answer: the findings are then a part.
    """

    subject: Subject
    is_answered: bool = True
    orphans: list[Orphan] = field(default_factory=list)
    missing_fills: list[MissingFill] = field(default_factory=list)
    unlisted: list[Order] = field(default_factory=list)
    differing: list[Look] = field(default_factory=list)

    def problems(self) -> Iterator[str]:
        where = f"account {self.subject.account}"
        for orphan in self.orphans:
            yield f"{where}: order {orphan.seen.name} {orphan.seen.report.symbol} has no row"
        for order in self.unlisted:
            yield f"{where}: order {order.client_order_id} {order.symbol} is open here and not at the exchange"
        for look in self.differing:
            shown, expected = plain(look.covered), plain(look.expected)
            yield f"{where}: {look.key.symbol} the exchange holds {shown}, the books {expected}"


def examine_accounts(
    accounts: Iterable[Account], *, since: datetime | None, clock: Callable[[], datetime]
) -> list[Findings]:
    """Asks the exchanges about the accounts. With `since`, also about all orders and fills since that time."""
    subjects = _subjects_of(accounts)
    findings = {subject: Findings(subject) for subject in subjects}
    ready = only_ready(subjects, now=clock())
    answered = _examine_open_orders(ready, findings, clock())
    if since is not None:
        answered &= _examine_history(ready, findings, since, clock())
    answered &= _examine_holdings(ready, findings, clock)
    for subject, found in findings.items():
        found.is_answered = subject in answered
    return list(findings.values())


def mend(findings: Sequence[Findings], *, clock: Callable[[], datetime], actor: Actor) -> list[Order]:
    """Adopts the orders without a row, books the missing fills, and compares the accounts. Returns the new rows.

    What the exchange did not answer stays for the tracker.
    """
    adopted = adopt_reports((orphan.seen for f in findings for orphan in f.orphans), clock=clock, actor=actor)
    known = [missing for f in findings for missing in f.missing_fills if missing.order is not None]
    by_order: dict[int, list[MissingFill]] = defaultdict(list)
    for missing in known:
        if missing.order is not None:
            by_order[missing.order.pk].append(missing)
    observations = [
        Observation(group[0].order, group[0].report, [missing.fill for missing in group])
        for group in by_order.values()
        if group[0].order is not None
    ]
    if observations:
        _book_missing(observations, actor, clock())
    compare_subjects([f.subject for f in findings], clock=clock)
    return adopted


def _book_missing(observations: Sequence[Observation], actor: Actor, now: datetime) -> None:
    with atomic_statuses(observation.order for observation in observations):
        record_reports(observations, evidence=Evidence.QUERY, actor=ADOPTION, now=now)
        fills = {o.order.client_order_id: [fill.trade_id for fill in o.fills] for o in observations}
        record(Action.ADOPTED, None, actor=actor, now=now, after={"fills": fills})


def audit_exchanges(*, clock: Callable[[], datetime]) -> tuple[list[str], bool]:
    """Compares every active account with its exchange. Returns the problems, and whether every exchange answered."""
    findings = examine_accounts(Account.objects.active(), since=None, clock=clock)
    problems = [problem for found in findings for problem in found.problems()]
    return problems, all(found.is_answered for found in findings)


def _subjects_of(accounts: Iterable[Account]) -> list[Subject]:
    rows = {account.pk: account for account in accounts}
    used = symbols_in_use(rows)
    return [
        Subject(rows[pk], MarketType(kind), frozenset(used[pk, kind]), is_swept=True, can_wait=False)
        for pk, kind in sorted(market_types_in_use(rows))
    ]


# Open orders


def _examine_open_orders(
    subjects: Sequence[Subject], findings: dict[Subject, Findings], now: datetime
) -> set[Subject]:
    before = _resting_orders(subjects, now)
    calls = [subject.call("fetch_open_orders") for subject in subjects]
    listed = {outcome.call.tag: outcome.value for outcome in answered_outcomes(calls)}
    _note_orphans((SeenOrder(s, report) for s, reports in listed.items() for report in reports), findings)
    after = {order.pk for orders in _resting_orders(subjects, now).values() for order in orders}
    for subject, reports in listed.items():
        names = {report.client_order_id for report in reports} | {report.order_id for report in reports}
        findings[subject].unlisted = [
            order
            for order in before[subject.account.pk, str(subject.market_type)]
            if order.pk in after and not names & {order.client_order_id, order.exchange_order_id}
        ]
    return set(listed)


def _resting_orders(subjects: Sequence[Subject], now: datetime) -> dict[tuple[int, str], list[Order]]:
    rows = Order.objects.filter(status__in=WORKING, account__in={s.account.pk for s in subjects})
    found: dict[tuple[int, str], list[Order]] = defaultdict(list)
    for order in rows.filter(submitted_at__lt=now - _YOUNG):
        found[order.account_id, order.market_type].append(order)
    return found


def _note_orphans(seen: Iterable[SeenOrder], findings: dict[Subject, Findings]) -> None:
    for orphan in find_orphans(seen):
        found = findings[orphan.seen.subject]
        if orphan.seen.name not in {known.seen.name for known in found.orphans}:
            found.orphans.append(orphan)


# Orders and fills since a time


def _examine_history(
    subjects: Sequence[Subject], findings: dict[Subject, Findings], since: datetime, now: datetime
) -> set[Subject]:
    seen, unanswered = read_history(subjects, {s.account.pk: since for s in subjects}, now=now)
    _note_orphans(seen, findings)
    unanswered |= _examine_fills(seen, findings, since)
    return {subject for subject in subjects if subject.account.pk not in unanswered}


def _examine_fills(seen: Sequence[SeenOrder], findings: dict[Subject, Findings], since: datetime) -> set[int]:
    """Notes the fills of our orders that are not booked. Returns the accounts without an answer."""
    owners: dict[HoldingKey, dict[str, OrderReport]] = defaultdict(dict)
    subjects: dict[HoldingKey, Subject] = {}
    for order in seen:
        if is_ours(order.name) and (order.report.filled or order.report.working_order_id):
            key = order.subject.key_of(order.report.symbol)
            subjects[key] = order.subject
            owners[key] |= {order.report.order_id: order.report, order.report.working_order_id: order.report}
    calls = [subject.call("fetch_fills", key.symbol, since) for key, subject in subjects.items()]
    answered = set()
    for outcome in answered_outcomes(calls):
        key = outcome.call.tag.key_of(outcome.call.args[0])
        answered.add(key)
        own = [fill for fill in outcome.value if fill.order_id in owners[key]]
        findings[outcome.call.tag].missing_fills += _missing(key, own, owners[key])
    return {key.account_id for key in subjects if key not in answered}


def _missing(
    key: HoldingKey, fills: Sequence[Fill], reports: dict[str, OrderReport]
) -> Iterator[MissingFill]:
    booked = set(
        Trade.objects.filter(**key._asdict(), trade_id__in=[fill.trade_id for fill in fills]).values_list(
            "trade_id", flat=True
        )
    )
    names = {reports[fill.order_id].client_order_id for fill in fills}
    ours = Q(client_order_id__in=names)
    orders = {order.client_order_id: order for order in Order.objects.filter(ours).select_related("account")}
    for fill in fills:
        if fill.trade_id not in booked:
            report = reports[fill.order_id]
            yield MissingFill(report.client_order_id, fill, report, orders.get(report.client_order_id))


# Holdings


def _examine_holdings(
    subjects: Sequence[Subject], findings: dict[Subject, Findings], clock: Callable[[], datetime]
) -> set[Subject]:
    """Notes the differences that a second read confirms, in holdings that do not move."""
    looks, answered = look_at_holdings(subjects, clock)
    differing = {look.key: look.subject for look in looks if look.difference and not look.is_moving}
    if differing:
        time.sleep(SECOND_READ_S)
        symbols: dict[Subject, set[str]] = defaultdict(set)
        for key, subject in differing.items():
            symbols[subject].add(key.symbol)
        narrowed = [
            replace(subject, symbols=frozenset(named), is_exact=True) for subject, named in symbols.items()
        ]
        for look in look_at_holdings(narrowed, clock)[0]:
            if look.difference and not look.is_moving:
                findings[differing[look.key]].differing.append(look)
    return answered
