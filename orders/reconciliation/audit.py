"""Audits our books: checks the rules of SPEC section 7, and compares paper accounts with the paper exchange's ledger.

The audit repairs nothing; a person decides about each problem. `audit_changes` runs every minute and reads what changed
since the audit before; `audit_books` reads everything, in portions and constant memory. A row changed by hand long
after its time is found by `audit_books` only.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Min, QuerySet

from orders.models import Adjustment, AuditProgress, BookAudit, Order, OrderEvent
from orders.reconciliation.book_rules import (
    CHUNK,
    Finding,
    broken_orders,
    check_adjustments,
    check_turns,
    chunks_of,
)
from orders.reconciliation.paper_audit import audit_paper_books
from orders.reconciliation.position_sums import (
    broken_positions,
    catch_up,
    check_remembered,
    read_new_moves,
    read_remembered,
    remember,
)
from orders.settled_rows import Keys, settled_keys
from orders.transactions import no_time_limits

BEHIND = "audit_behind"
PORTION = 50_000  # rows of each table that one audit reads
_SHOWN = 1_000  # problems that one row stores
_KEPT = 10_000  # broken orders that each audit checks again
_COMPARED = 5_000  # changed orders that an audit compares with the paper exchange
_PATIENCE_S = 3.0  # transactions take milliseconds
_AGO = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Checked:
    """The primary keys that an audit has checked."""

    orders: Sequence[int] = ()
    adjustments: Sequence[int] = ()


@dataclass(slots=True)
class Result:
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken_orders: list[int] = field(default_factory=list)
    broken_adjustments: list[int] = field(default_factory=list)

    def add_orders(self, findings: Iterable[Finding]) -> None:
        self._add(findings, self.broken_orders)

    def add_adjustments(self, findings: Iterable[Finding]) -> None:
        self._add(findings, self.broken_adjustments)

    def _add(self, findings: Iterable[Finding], rows: list[int]) -> None:
        for finding in findings:
            self.problems.append(finding.text)
            if finding.row not in rows[-1:]:
                rows.append(finding.row)

    def store(self, *, now: datetime, checked: int, is_whole: bool) -> BookAudit:
        shown = self.problems[:_SHOWN]
        if len(self.problems) > _SHOWN:
            shown.append(f"and {len(self.problems) - _SHOWN} more")
        return BookAudit.objects.create(
            at=now, is_whole=is_whole, checked_orders=checked, problems=shown, notes=self.notes
        )


# What changed


def audit_changes(*, now: datetime) -> BookAudit:
    """Checks what changed since the audit before, what was broken then, and all positions. Stores the result."""
    result = Result()
    with no_time_limits():
        settled = settled_keys(patience_s=_PATIENCE_S)
        before = read_remembered()
        progress = AuditProgress.objects.get(pk=1)
        moves = read_new_moves(before.upto, settled, portion=PORTION)
        changed, reach, is_complete = _changed_orders(before.upto, settled)
        checked = Checked(
            sorted({*changed, *moves.orders, *progress.broken_orders}),
            sorted({*moves.adjustments, *progress.broken_adjustments}),
        )
        _check_rows(checked, result)
        result.problems += check_turns()
        if moves.is_complete:
            result.problems += broken_positions(before, moves)
        if not (moves.is_complete and is_complete):
            result.notes.append(BEHIND)
        _compare_lately_with_paper(checked.orders[-_COMPARED:], result, now)
        _note_progress(progress, reach, checked, result)
        remember(before, moves)
    return result.store(now=now, checked=len(checked.orders), is_whole=False)


def _check_rows(checked: Checked, result: Result) -> None:
    for pks in chunks_of(checked.orders):
        result.add_orders(broken_orders(pks))
    for pks in chunks_of(checked.adjustments):
        result.add_adjustments(check_adjustments(pks))


def _changed_orders(after: Keys, settled: Keys | None) -> tuple[set[int], Keys, bool]:
    """Returns the new orders and the orders with new events, and how far these go.

    Beside the orders: the keys up to which a later audit need not look again, and whether there are no more.
    """
    new = list(Order.objects.filter(pk__gt=after.order).order_by("pk").values_list("pk", flat=True)[:PORTION])
    events = OrderEvent.objects.filter(pk__gt=after.event).order_by("pk").values_list("pk", "order_id")
    happened = list(events[:PORTION])
    limit = settled or after
    reach = after._replace(
        order=_reach(new, after.order, limit.order),
        event=_reach([pk for pk, _ in happened], after.event, limit.event),
    )
    is_complete = len(new) < PORTION and len(happened) < PORTION
    return {*new, *(order for _, order in happened)}, reach, is_complete


def _reach(pks: Sequence[int], after: int, limit: int) -> int:
    return max(after, min(limit, pks[-1]) if len(pks) == PORTION else limit)


@transaction.atomic
def _note_progress(before: AuditProgress, reach: Keys, checked: Checked, result: Result) -> None:
    """Moves the progress of orders and events, unless another audit did so meanwhile."""
    progress = AuditProgress.locked()
    if (progress.order_pk, progress.event_pk) == (before.order_pk, before.event_pk):
        progress.order_pk, progress.event_pk = reach.order, reach.event
    _keep_broken(progress, result, checked)


def _keep_broken(progress: AuditProgress, result: Result, checked: Checked) -> None:
    """Lists what is broken, beside what another audit listed and this audit has not checked."""
    orders = {*progress.broken_orders}.difference(checked.orders).union(result.broken_orders)
    adjustments = {*progress.broken_adjustments}.difference(checked.adjustments).union(
        result.broken_adjustments
    )
    progress.broken_orders = sorted(orders)[:_KEPT]
    progress.broken_adjustments = sorted(adjustments)[:_KEPT]
    progress.save()


# Everything


def audit_books(
    *,
    now: datetime,
    since: datetime | None = None,
    at_exchanges: Sequence[str] = (),
    notes: Sequence[str] = (),
    pace: Callable[[], None] = lambda: None,
) -> BookAudit:
    """Checks the orders created since `since`, or all orders without `since`, and all positions. Stores the result.

    `at_exchanges` are the problems that a comparison with the exchanges found (orders.reconciliation.exchange_audit).
    `pace` is called after each portion of rows, and may sleep.
    """
    result = Result(notes=list(notes))
    orders = Order.objects.all() if since is None else Order.objects.filter(created_at__gte=since)
    with no_time_limits():
        settled, checked = settled_keys(patience_s=_PATIENCE_S), 0
        for pks in _pages_of(orders, CHUNK):
            checked += len(pks)
            result.add_orders(broken_orders(pks))
            pace()
        for pks in _pages_of(Adjustment.objects.all(), CHUNK):
            result.add_adjustments(check_adjustments(pks))
            pace()
        was_new = read_remembered().upto.trade == 0
        remembered = catch_up(settled, pace=pace)
        if not was_new:
            result.problems += (finding.text for finding in check_remembered(remembered, pace=pace))
            remembered = read_remembered()
        moves = read_new_moves(remembered.upto, None, portion=PORTION)
        if moves.is_complete:
            result.problems += broken_positions(remembered, moves)
        else:
            result.notes.append(BEHIND)
        result.problems += check_turns()
        _compare_with_paper(orders, result, now)
        result.problems += at_exchanges
        _note_whole(settled if since is None else None, result)
    return result.store(now=now, checked=checked, is_whole=since is None)


def _pages_of(rows: "QuerySet[Order] | QuerySet[Adjustment]", size: int) -> Iterator[list[int]]:
    last = 0
    while page := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:size]):
        yield page
        last = page[-1]


@transaction.atomic
def _note_whole(settled: Keys | None, result: Result) -> None:
    """Tells the next audits what is broken, and what they need not read any more."""
    progress = AuditProgress.locked()
    if settled is not None:
        progress.order_pk = max(progress.order_pk, settled.order)
        progress.event_pk = max(progress.event_pk, settled.event)
    _keep_broken(progress, result, Checked())


# The paper exchange


def _compare_lately_with_paper(pks: Sequence[int], result: Result, now: datetime) -> None:
    """Compares the orders with the part of the ledger since their creation."""
    orders = Order.objects.filter(pk__in=pks)
    first = orders.aggregate(first=Min("created_at"))["first"]
    _compare_with_paper(orders, result, now, since=(first or now) - _AGO)


def _compare_with_paper(
    orders: QuerySet[Order], result: Result, now: datetime, *, since: datetime | None = None
) -> None:
    paper = audit_paper_books(orders, url=settings.PAPER_EXCHANGE_URL, now=now, since=since)
    result.problems += paper.problems
    result.notes += paper.notes
