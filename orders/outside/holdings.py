"""Compares holdings: our positions and the declared external part with what the exchange shows.

The comparison trades nothing. What the exchange's fills explain is booked or stored as an outside event. A difference
that a second read confirms freezes new risk in the symbol.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from exchanges.adapters.protocol import Balance, PositionReport
from exchanges.enums import MarketType
from exchanges.models import Account
from orders.domain.keys import HoldingKey
from orders.models import HoldingCheck, PositionDifference
from orders.outside.books import Books, holdings_in_motion, read_books
from orders.outside.differences import Finding, note_differences, resolve_differences
from orders.outside.discovery import Question, discover_fills
from orders.outside.subjects import Subject, answered_outcomes, only_ready

SECOND_READ_S = 0.3
_WANTED_FOR = timedelta(minutes=1)  # afterwards the regular comparison has to do
_LOOKS_FOR_FILLS = 20  # an old difference that no fill explains is looked up by sweeps only
_NOTHING = Decimal(0)
_SEEN = ["theirs", "free", "checked_at"]
_KEY = ["account", "market_type", "symbol"]


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a holding, begun at `at`. `theirs` and `free` are what the exchange shows, in base units.

    `covered` is the part of the expected holding that the exchange shows: on spot an owner may hold further coins.
    """

    subject: Subject
    key: HoldingKey
    at: datetime
    ours: Decimal
    expected: Decimal
    theirs: Decimal
    free: Decimal | None
    waiting: Decimal
    is_moving: bool
    row: PositionDifference | None = None
    check: HoldingCheck | None = None

    @property
    def covered(self) -> Decimal:
        return min(self.expected, self.theirs) if self.is_spot else self.theirs

    @property
    def is_spot(self) -> bool:
        return self.subject.market_type is MarketType.SPOT

    @property
    def difference(self) -> Decimal:
        return self.covered - self.expected

    @property
    def unexplained(self) -> Decimal:
        """The part of the difference that the waiting events do not explain."""
        return self.difference - self.waiting

    @property
    def is_agreed(self) -> bool:
        """Whether our books explain everything that the exchange shows."""
        return not self.unexplained or (self.is_spot and not self.difference)

    @property
    def looks_before(self) -> int:
        return self.row.looks if self.row and self.row.resolved_at is None else 0

    def finding(self, looks: int = 1) -> Finding:
        return Finding(self.key, self.ours, self.covered, looks)


@dataclass(frozen=True, slots=True)
class Reading:
    """What an exchange shows of an account and market type, by symbol on futures and by currency on spot."""

    total: dict[str, Decimal]
    free: dict[str, Decimal]


# What is wanted at once


def want_comparison(keys: Iterable[HoldingKey], *, now: datetime) -> None:
    """Asks for a comparison of the holdings at once. One statement; may be called inside a transaction."""
    rows = [HoldingCheck(**key._asdict(), wanted_at=now) for key in sorted(set(keys))]
    _store_checks(rows, ["wanted_at"])


def compare_wanted(*, clock: Callable[[], datetime], keys: Collection[HoldingKey] | None = None) -> None:
    """Makes the wanted comparisons, of `keys` only where given. Calls exchanges, and so runs outside of transactions.

    A holding whose exchange does not answer stays wanted for a minute.
    """
    rows = [
        (check, HoldingKey(check.account_id, check.market_type, check.symbol))
        for check in HoldingCheck.objects.wanted().select_related("account")
    ]
    accounts: dict[int, Account] = {}
    symbols: dict[tuple[int, str], set[str]] = defaultdict(set)
    for check, key in rows:
        if keys is None or key in keys:
            accounts[key.account_id] = check.account
            symbols[key.account_id, key.market_type].add(key.symbol)
    if not symbols:
        return
    subjects = [
        Subject(accounts[pk], MarketType(kind), frozenset(named), is_exact=True, can_wait=False)
        for (pk, kind), named in symbols.items()
    ]
    compare_holdings(only_ready(subjects, now=clock()), clock=clock)
    HoldingCheck.objects.filter(account__in=accounts, wanted_at__lt=clock() - _WANTED_FOR).update(
        wanted_at=None
    )


# The comparison


def compare_holdings(subjects: Sequence[Subject], *, clock: Callable[[], datetime]) -> set[Subject]:
    """Compares the holdings of the subjects. Returns the subjects about which the exchange answered.

    The number of statements does not depend on the number of accounts: only holdings with a difference take further
    statements and calls.
    """
    if not subjects:
        return set()
    first, answered = look_at_holdings(subjects, clock)
    looks = {look.key: look for look in first}
    differing = [look for look in looks.values() if look.difference or not look.is_agreed]
    again: dict[HoldingKey, Look] = {}
    if differing:
        began = time.monotonic()
        discover_fills([_question(look) for look in differing if _is_open_question(look)], clock=clock)
        time.sleep(max(0.0, SECOND_READ_S - (time.monotonic() - began)))
        again = {look.key: look for look in look_at_holdings(_narrowed(differing), clock)[0]}
    latest = {key: again.get(key, look) for key, look in looks.items()}
    known = {key: look.row for key, look in latest.items() if look.row is not None}
    agreed = [look.finding() for look in latest.values() if not look.difference]
    resolve_differences(agreed, known, now=clock())
    note_differences(_confirmed(differing, again), known, now=clock())
    _write_checks(list(latest.values()))
    return answered


def _is_open_question(look: Look) -> bool:
    is_thorough = look.subject.is_exact or look.subject.is_swept
    if look.looks_before >= _LOOKS_FOR_FILLS and not is_thorough:
        return False
    return look.unexplained < 0 if look.is_spot else bool(look.unexplained)


def _question(look: Look) -> Question:
    agreed_at = look.check.agreed_at if look.check else None
    return Question(look.subject, look.key.symbol, look.unexplained, agreed_at)


def _narrowed(looks: Sequence[Look]) -> list[Subject]:
    """The subjects of the looks, with exactly the symbols of the looks."""
    symbols: dict[Subject, set[str]] = defaultdict(set)
    for look in looks:
        symbols[look.subject].add(look.key.symbol)
    return [replace(subject, symbols=frozenset(named), is_exact=True) for subject, named in symbols.items()]


# One look


def look_at_holdings(
    subjects: Sequence[Subject], clock: Callable[[], datetime]
) -> tuple[list[Look], set[Subject]]:
    """Reads the exchanges, then our books. Returns the looks, and the subjects about which the exchange answered.

    A holding that moves before or after the reading counts as moving. Writes nothing.
    """
    accounts = {subject.account.pk for subject in subjects}
    at = clock()
    moving = holdings_in_motion(accounts, now=at)
    readings = _read(subjects)
    books = read_books(accounts, now=clock())
    books.moving |= moving
    named = books.symbols()
    looks = [
        _look(subject, symbol, reading, books, at)
        for subject, reading in readings.items()
        for symbol in sorted(_symbols_of(subject, reading, named))
    ]
    return looks, set(readings)


def _read(subjects: Sequence[Subject]) -> dict[Subject, Reading]:
    futures = [s.call("fetch_positions") for s in subjects if s.market_type is MarketType.FUTURES]
    spot = [s.call("fetch_balance") for s in subjects if s.market_type is MarketType.SPOT]
    return {
        outcome.call.tag: _reading_of(outcome.call.tag.market_type, outcome.value)
        for outcome in answered_outcomes([*futures, *spot])
    }


def _reading_of(kind: MarketType, rows: Sequence[Balance] | Sequence[PositionReport]) -> Reading:
    total, free = {}, {}
    for row in rows:
        if isinstance(row, Balance):
            total[row.currency], free[row.currency] = row.total, row.free
        else:
            total[row.symbol] = row.quantity
    return Reading(total, free)


def _symbols_of(
    subject: Subject, reading: Reading, named: Mapping[tuple[int, str], Collection[str]]
) -> set[str]:
    """The symbols to look at: those in use, and those with anything on either side."""
    if subject.is_exact:
        return set(subject.symbols)
    known = {*subject.symbols, *named.get((subject.account.pk, str(subject.market_type)), ())}
    if subject.market_type is not MarketType.SPOT:
        known |= {symbol for symbol, quantity in reading.total.items() if quantity}
    return known


def _look(subject: Subject, symbol: str, reading: Reading, books: Books, at: datetime) -> Look:
    key = subject.key_of(symbol)
    is_spot = subject.market_type is MarketType.SPOT
    name = symbol.partition("/")[0] if is_spot else symbol
    return Look(
        subject=subject,
        key=key,
        at=at,
        ours=books.ours.get(key, _NOTHING),
        expected=books.expected(key),
        theirs=reading.total.get(name, _NOTHING),
        free=reading.free.get(name, _NOTHING) if is_spot else None,
        waiting=books.waiting.get(key, _NOTHING),
        is_moving=key in books.moving,
        row=books.differences.get(key),
        check=books.checks.get(key),
    )


# What a look leaves


def _confirmed(first: Sequence[Look], again: Mapping[HoldingKey, Look]) -> list[Finding]:
    """The differences of holdings that do not move, with the number of reads that found the difference."""
    findings = []
    for look in first:
        second = again.get(look.key)
        latest = second or look
        if look.is_moving or latest.is_moving or not latest.difference:
            continue
        findings.append(look.finding() if second is None else second.finding(looks=2))
    return findings


def _write_checks(looks: Sequence[Look]) -> None:
    """Stores what the exchange showed. Whoever waits for a check may act now: what the look explained is booked."""
    _store_checks(
        [_check_of(look, agreed_at=look.at) for look in looks if look.is_agreed], [*_SEEN, "agreed_at"]
    )
    _store_checks([_check_of(look) for look in looks if not look.is_agreed], _SEEN)
    answered = [look for look in looks if look.check is not None and look.check.wanted_at is not None]
    if answered:
        rows = HoldingCheck.objects.filter(pk__in=[look.check.pk for look in answered if look.check])
        rows.filter(wanted_at__lte=min(look.at for look in answered)).update(wanted_at=None)


def _check_of(look: Look, agreed_at: datetime | None = None) -> HoldingCheck:
    seen = {"theirs": look.theirs, "free": look.free, "checked_at": look.at}
    return HoldingCheck(**look.key._asdict(), **seen, agreed_at=agreed_at)


def _store_checks(rows: Sequence[HoldingCheck], columns: Sequence[str]) -> None:
    if rows:
        HoldingCheck.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=_KEY, update_fields=columns
        )
