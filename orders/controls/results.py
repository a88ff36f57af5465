"""The results of strategy accounts that the loss limits look at: remembered, and added up from there.

Results count in the order of their booking, in which their realized profit was computed. Booked rows never change, so
the older results of a strategy account are remembered as a few numbers (ResultMark), up to keys behind which no row can
appear any more.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from operator import attrgetter

from django.db.models import Model, Q

from exchanges.amounts import exact
from orders.models import Adjustment, ResultMark, Trade
from orders.settled_rows import Keys, settled_keys
from strategies.models import StrategyAccount

_PAGE = 5_000
_PATIENCE_S = 0.1  # the tracker's loop waits; without settled keys the next pass remembers more
_NOTHING = Decimal(0)
_UNREAD: dict[type[Model], list[str]] = {  # numbers take most of the time of reading a row
    Trade: ["quantity", "price", "base_fee", "trade_id"],
    Adjustment: ["quantity", "price", "reason"],
}
_COLUMNS = ["since", "trade_pk", "adjustment_pk", "net", "best", "day", "day_net"]


@dataclass(slots=True)
class Results:
    """Sums of results in quote currency: in all, the best so far, and since midnight (UTC) of the newest day."""

    net: Decimal = _NOTHING
    best: Decimal = _NOTHING
    day: date | None = None
    day_net: Decimal = _NOTHING

    @property
    def drawdown(self) -> Decimal:
        """The distance of the net result below the best net result so far; never negative."""
        return self.best - self.net

    def on(self, day: date) -> Decimal:
        return self.day_net if self.day is not None and self.day >= day else _NOTHING

    def add(self, net: Decimal, day: date) -> None:
        self.net += net
        self.best = max(self.best, self.net)
        if self.day is None or day > self.day:
            self.day, self.day_net = day, _NOTHING
        if day == self.day:
            self.day_net += net


@dataclass(frozen=True, slots=True)
class Booked:
    """A trade or an adjustment, with its profit and payments less fees."""

    strategy_account: int
    pk: int
    is_trade: bool
    recorded_at: datetime
    day: date
    net: Decimal

    def is_upto(self, trade_pk: int, adjustment_pk: int) -> bool:
        return self.pk <= (trade_pk if self.is_trade else adjustment_pk)


@exact
def read_results(strategy_accounts: Sequence[StrategyAccount]) -> dict[int, Results]:
    """Returns the results since the last change of the trading state, by strategy account, and remembers them.

    What is remembered takes three statements, however many strategy accounts; results that begin anew take two more
    each.
    """
    if not strategy_accounts:
        return {}
    settled = settled_keys(patience_s=_PATIENCE_S) or Keys()
    rows = ResultMark.objects.filter(strategy_account__in=[row.pk for row in strategy_accounts])
    known = {mark.strategy_account_id: mark for mark in rows}
    marks = [
        mark
        if (mark := known.get(row.pk)) and mark.since == row.state_changed_at
        else ResultMark(strategy_account_id=row.pk, since=row.state_changed_at)
        for row in strategy_accounts
    ]
    booked = _booked_after([mark for mark in marks if mark.pk])
    found = {}
    for mark in marks:
        own = booked[mark.strategy_account_id] if mark.pk else _all_booked(mark)
        found[mark.strategy_account_id] = _add_up(mark, own, settled)
    _remember(mark for mark in marks if mark.trade_pk or mark.adjustment_pk)
    return found


def _add_up(mark: ResultMark, booked: Iterable[Booked], settled: Keys) -> Results:
    """Returns all results, and moves the mark up to the settled keys."""
    found = Results(mark.net, mark.best, mark.day, mark.day_net)
    kept = Results(mark.net, mark.best, mark.day, mark.day_net)
    for row in booked:
        found.add(row.net, row.day)
        if row.is_upto(settled.trade, settled.adjustment):
            kept.add(row.net, row.day)
    mark.net, mark.best, mark.day, mark.day_net = kept.net, kept.best, kept.day, kept.day_net
    mark.trade_pk = max(mark.trade_pk, settled.trade)
    mark.adjustment_pk = max(mark.adjustment_pk, settled.adjustment)
    return found


def _remember(marks: Iterable[ResultMark]) -> None:
    rows = list(marks)
    for row in rows:
        row.pk = None
    ResultMark.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["strategy_account"], update_fields=_COLUMNS
    )


# Booked rows, in the order of their booking


def _booked_after(marks: Sequence[ResultMark]) -> Mapping[int, list[Booked]]:
    """Returns what was booked after the marks."""
    found: dict[int, list[Booked]] = defaultdict(list)
    if not marks:
        return found
    by_holder = {mark.strategy_account_id: mark for mark in marks}
    trade_pk, adjustment_pk = (
        min(getattr(mark, name) for mark in marks) for name in ("trade_pk", "adjustment_pk")
    )
    own = Q(strategy_account__in=list(by_holder))
    for row in _booked(own, trade_pk, adjustment_pk):
        mark = by_holder[row.strategy_account]
        if not row.is_upto(mark.trade_pk, mark.adjustment_pk) and _is_since(row, mark.since):
            found[row.strategy_account].append(row)
    return found


def _is_since(row: Booked, since: datetime | None) -> bool:
    return since is None or row.recorded_at > since


def _all_booked(mark: ResultMark) -> Iterator[Booked]:
    own = Q(strategy_account=mark.strategy_account_id)
    return _booked(own & Q(recorded_at__gt=mark.since) if mark.since else own, 0, 0)


def _booked(among: Q, trade_pk: int, adjustment_pk: int) -> Iterator[Booked]:
    """Yields the rows after the two keys."""
    return heapq.merge(
        _rows_of(Trade, among, trade_pk),
        _rows_of(Adjustment, among, adjustment_pk),
        key=attrgetter("recorded_at"),
    )


def _rows_of(model: type[Trade] | type[Adjustment], among: Q, after: int) -> Iterator[Booked]:
    while True:
        rows = model._default_manager.filter(among, pk__gt=after).defer(*_UNREAD[model])
        page = list(rows.order_by("pk")[:_PAGE])
        for row in page:
            yield Booked(
                row.strategy_account_id,
                row.pk,
                model is Trade,
                row.recorded_at,
                row.executed_at.date(),
                row.net_profit,
            )
        if len(page) < _PAGE:
            return
        after = page[-1].pk
