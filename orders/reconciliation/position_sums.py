"""The sums of trades and adjustments behind the positions: remembered up to settled keys, and added up from there."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from exchanges.enums import Side
from orders.domain.keys import PositionKey
from orders.models import Adjustment, AuditedPosition, AuditProgress, Position, Trade
from orders.reconciliation.book_rules import Finding
from orders.settled_rows import Keys

_PAGE = 5_000
_NOTHING = Decimal(0)
_ALL = Q()
Sums = dict[PositionKey, Decimal]


@dataclass(frozen=True, slots=True)
class Move:
    """What a trade or an adjustment adds to a position. `order` is the trade's, and 0 for an adjustment."""

    pk: int
    order: int
    key: PositionKey
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Remembered:
    """The sums of the trades and adjustments up to `upto`."""

    upto: Keys
    sums: Sums


@dataclass(slots=True)
class NewMoves:
    """What came after the remembered sums: `sums` of all, and `settled` of what may be remembered, up to `upto`.

    Where one audit cannot read all, `is_complete` is false, and `sums` lack the rest.
    """

    upto: Keys
    sums: Sums = field(default_factory=lambda: defaultdict(Decimal))
    settled: Sums = field(default_factory=lambda: defaultdict(Decimal))
    orders: set[int] = field(default_factory=set)
    adjustments: list[int] = field(default_factory=list)
    is_complete: bool = True


@transaction.atomic
def read_remembered() -> Remembered:
    """Reads the remembered sums with the keys that belong to the sums."""
    progress = AuditProgress.locked()
    upto = Keys(progress.order_pk, progress.event_pk, progress.trade_pk, progress.adjustment_pk)
    return Remembered(upto, _stored())


def read_new_moves(after: Keys, settled: Keys | None, *, portion: int) -> NewMoves:
    """Reads the moves after `after`, at most `portion` trades and as many adjustments."""
    new = NewMoves(after)
    last: dict[str, int] = {}
    for name, moves in (
        ("trade", _trades(after.trade, portion + 1)),
        ("adjustment", _adjustments(after.adjustment, portion + 1)),
    ):
        limit = getattr(settled or after, name)
        last[name] = limit
        for number, move in enumerate(moves, start=1):
            if number > portion:
                new.is_complete = False
                break
            new.sums[move.key] += move.quantity
            if move.pk <= limit:
                new.settled[move.key] += move.quantity
            if number == portion:
                last[name] = min(limit, move.pk)
            if move.order:
                new.orders.add(move.order)
            else:
                new.adjustments.append(move.pk)
    new.upto = after._replace(**{name: max(pk, getattr(after, name)) for name, pk in last.items()})
    return new


@transaction.atomic
def remember(before: Remembered, new: NewMoves) -> bool:
    """Adds the settled moves to the remembered sums. Returns false where another audit did so meanwhile."""
    progress = AuditProgress.locked()
    if (progress.trade_pk, progress.adjustment_pk) != (before.upto.trade, before.upto.adjustment):
        return False
    _store({key: before.sums.get(key, _NOTHING) + moved for key, moved in new.settled.items()})
    progress.trade_pk, progress.adjustment_pk = new.upto.trade, new.upto.adjustment
    progress.save(update_fields=["trade_pk", "adjustment_pk"])
    return True


def catch_up(settled: Keys | None, *, pace: Callable[[], None]) -> Remembered:
    """Remembers all that is settled, however much, in portions. Returns what is remembered then."""
    while True:
        before = read_remembered()
        new = read_new_moves(before.upto, settled, portion=_PAGE)
        if new.upto == before.upto:
            return before
        remember(before, new)
        pace()


def check_remembered(remembered: Remembered, *, pace: Callable[[], None]) -> Iterator[Finding]:
    """Adds up all rows behind the remembered sums again, and corrects the sums. Yields the differences.

    Only a change of an old row makes a difference: rows are added once, and never changed.
    """
    summed = _sums_upto(remembered.upto, pace)
    keys = sorted({*summed, *remembered.sums})
    shift = {key: summed.get(key, _NOTHING) - remembered.sums.get(key, _NOTHING) for key in keys}
    changed = {key: by for key, by in shift.items() if by}
    _shift_remembered(changed)
    for key in changed:
        text = f"summed up to {remembered.sums.get(key, _NOTHING)} before, and to {summed.get(key, _NOTHING)} now"
        yield Finding(key.strategy_account_id, f"{_name_of(key)}: its old trades and adjustments {text}")


def _sums_upto(upto: Keys, pace: Callable[[], None]) -> Sums:
    summed: Sums = defaultdict(Decimal)
    for moves, last in ((_trades(0), upto.trade), (_adjustments(0), upto.adjustment)):
        for number, move in enumerate(moves, start=1):
            if move.pk > last:
                break
            summed[move.key] += move.quantity
            if number % _PAGE == 0:
                pace()
    return summed


@transaction.atomic
def _shift_remembered(changed: Sums) -> None:
    """Corrects the sums where they stand now: another audit may have added newer rows."""
    if changed:
        AuditProgress.locked()
        now = _stored()
        _store({key: now.get(key, _NOTHING) + by for key, by in changed.items()})


def _stored() -> Sums:
    rows = AuditedPosition.objects.values_list("strategy_account_id", "symbol", "quantity")
    return {PositionKey(holder, symbol): quantity for holder, symbol, quantity in rows}


def _store(sums: Sums) -> None:
    AuditedPosition.objects.bulk_create(
        [
            AuditedPosition(strategy_account_id=key.strategy_account_id, symbol=key.symbol, quantity=quantity)
            for key, quantity in sorted(sums.items())
        ],
        batch_size=_PAGE,
        update_conflicts=True,
        unique_fields=["strategy_account", "symbol"],
        update_fields=["quantity"],
    )


# Positions


def broken_positions(remembered: Remembered, new: NewMoves) -> Iterator[str]:
    """Yields the positions that are not the sum of their trades and adjustments.

    Trading goes on: a position that differs is compared again, with the positions of its strategy account held.
    """
    sums = dict(remembered.sums)
    for key, moved in new.sums.items():
        sums[key] = sums.get(key, _NOTHING) + moved
    for strategy_account in sorted({finding.row for finding in compare_positions(sums)}):
        yield from (finding.text for finding in _compare_again(strategy_account, remembered))


@transaction.atomic
def _compare_again(strategy_account: int, remembered: Remembered) -> list[Finding]:
    held = Position.objects.filter(strategy_account=strategy_account)
    list(held.select_for_update(no_key=True).order_by("pk").values_list("pk"))
    own = Q(strategy_account=strategy_account)
    sums = {key: sum_ for key, sum_ in remembered.sums.items() if key.strategy_account_id == strategy_account}
    after = remembered.upto
    for move in (*_trades(after.trade, among=own), *_adjustments(after.adjustment, among=own)):
        sums[move.key] = sums.get(move.key, _NOTHING) + move.quantity
    return list(compare_positions(sums, own))


def compare_positions(sums: Sums, among: Q = _ALL) -> Iterator[Finding]:
    """Compares positions with the sums of their moves."""
    left = dict(sums)
    rows = Position.objects.filter(among).order_by("pk")
    for pk, quantity, holder, symbol in rows.values_list("pk", "quantity", "strategy_account_id", "symbol"):
        key = PositionKey(holder, symbol)
        total = left.pop(key, _NOTHING)
        if total != quantity:
            text = f"is {quantity} but its trades and adjustments sum up to {total}"
            yield Finding(key.strategy_account_id, f"position {pk} {key.symbol}: {text}")
    for key, total in left.items():
        if total:
            yield Finding(
                key.strategy_account_id,
                f"{_name_of(key)}: trades and adjustments of {total} without a position",
            )


def check_positions() -> Iterator[Finding]:
    """Compares all positions with the sums of all their trades and adjustments."""
    return compare_positions(read_new_moves(Keys(), None, portion=2**31).sums)


def _name_of(key: PositionKey) -> str:
    return f"strategy account {key.strategy_account_id} {key.symbol}"


# Moves, in the order of their keys, read in pages


def _trades(after: int, limit: int | None = None, *, among: Q = _ALL) -> Iterator[Move]:
    columns = ("pk", "order_id", "strategy_account_id", "symbol", "side", "quantity", "base_fee")
    for pk, order, *key, side, quantity, base_fee in _pages(
        Trade.objects.filter(among), after, limit, columns
    ):
        yield Move(pk, order, PositionKey(*key), Side(side).sign * quantity - base_fee)


def _adjustments(after: int, limit: int | None = None, *, among: Q = _ALL) -> Iterator[Move]:
    columns = ("pk", "strategy_account_id", "symbol", "quantity")
    for pk, *key, quantity in _pages(Adjustment.objects.filter(among), after, limit, columns):
        yield Move(pk, 0, PositionKey(*key), quantity)


def _pages(
    rows: "QuerySet[Any]", after: int, limit: int | None, columns: Iterable[str]
) -> Iterator[tuple[Any, ...]]:
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        page = list(rows.filter(pk__gt=after).order_by("pk").values_list(*columns)[:size])
        yield from page
        if len(page) < size:
            return
        after = page[-1][0]
        left = None if left is None else left - size
