"""Compares the alerts of a strategy with the alert before: late alerts enter nothing, missed alerts are told.

The caller holds the lock on the strategy's row, so that alerts are compared in the sequence of storing.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.utils.translation import gettext_lazy as _

from exchanges.database.prepared import Among, Query, Slot
from exchanges.database.trips import Statement
from orders.domain.enums import OrderStatus
from orders.domain.reasons import Denied
from orders.domain.signals import Known, Verdict, judge, known_size
from orders.domain.terms import NO_ENTRY, Aim, PositionWord, Terms, position_text
from orders.execution.planner import deny_order
from orders.models import Batch, MissedAlert, Order, Signal
from orders.models.bulk_write import inserts_of, updates_of
from strategies.models import Strategy

logger = logging.getLogger(__name__)

FORMER_SIGNALS = Query(
    lambda: Signal.objects.filter(Among("symbol", "symbols"), strategy=Slot("strategy")).order_by()
)
_COLUMNS = [
    "signaled_at", "heard_at", "position", "size", "missed_from", "missed_to", "missed_at", "missed_before",
]  # fmt: skip

SUPERSEDED = "superseded"
_AHEAD = timedelta(seconds=5)
MISSED = _(
    "An alert for %(symbol)s before this one is missing: the position was %(known)s, and this alert says %(said)s."
)


def compare_with_former(
    orders: Sequence[Order],
    *,
    strategy: Strategy,
    batch: Batch,
    signaled_at: datetime | None,
    former: Iterable[Signal],
    now: datetime,
) -> tuple[list[str], list[Statement]]:
    """Denies what comes late among the unsaved `orders`, marks what shows a gap, and notes the alert.

    `former` has the signals of the orders' symbols (FORMER_SIGNALS). Returns a sentence per missed alert, and what the
    caller has still to write. The number of statements does not depend on the number of accounts.
    """
    signals = _by_symbol(orders, former, strategy, now)
    missed: list[MissedAlert] = []
    for (_leg, symbol), same in _by_leg_and_symbol(orders):
        signal = signals[symbol]
        aim = Terms.from_json(same[0].terms).aim
        verdict = judge(_known(signal), aim, signaled_at=signaled_at, now=now)
        if verdict is Verdict.LATE:
            _deny_late(same, aim, signal, now)
            _note_arrival(signal, aim, now)
            continue
        if verdict is Verdict.GAP and aim is not None:
            missed.append(_missed_alert(same, aim, signal, batch, strategy, now))
            signal.missed_before = signaled_at
        _take_over(signal, aim, signaled_at, now)
    warnings = [str(MISSED) % {"symbol": row.symbol, "known": row.known, "said": row.said} for row in missed]
    return warnings, _store(signals.values(), missed)


def _by_symbol(
    orders: Iterable[Order], former: Iterable[Signal], strategy: Strategy, now: datetime
) -> dict[str, Signal]:
    symbols = {order.symbol for order in orders}
    known = {row.symbol: row for row in former}
    # A strategy that was never heard holds nothing: a first alert with a position before shows a gap.
    new = {
        symbol: Signal(strategy=strategy, symbol=symbol, heard_at=now, position=PositionWord.FLAT.value)
        for symbol in symbols - known.keys()
    }
    return known | new


def _by_leg_and_symbol(orders: Iterable[Order]) -> list[tuple[tuple[int, str], list[Order]]]:
    groups: dict[tuple[int, str], list[Order]] = {}
    for order in orders:
        groups.setdefault((order.leg, order.symbol), []).append(order)
    return list(groups.items())


def _known(signal: Signal) -> Known:
    return Known(
        signaled_at=signal.signaled_at,
        position=signal.position,
        size=signal.size,
        missed_from=_end(signal.missed_from),
        missed_to=_end(signal.missed_to),
        missed_at=signal.missed_at,
        missed_before=signal.missed_before,
    )


def _end(stored: dict[str, Any]) -> tuple[str, Decimal | None] | None:
    if not stored:
        return None
    return stored["position"], Decimal(stored["size"]) if stored["size"] is not None else None


def _deny_late(orders: Iterable[Order], aim: Aim | None, signal: Signal, now: datetime) -> None:
    """A late alert enters nothing. A late exit goes out, unless the newer alert named a position to be in."""
    newer = signal.position
    for order in orders:
        closes = order.goal is not None and newer in ("", PositionWord.FLAT.value)
        if aim is not None and order.goal is None and not newer:
            # Nobody knows what the newer alert wanted: what is too much is closed, and nothing is opened.
            order.terms = {**order.terms, NO_ENTRY: {"code": SUPERSEDED, "params": {"symbol": order.symbol}}}
        elif not closes and order.status == OrderStatus.INITIALIZED and not _is_plain_exit(order, aim):
            deny_order(order, Denied(SUPERSEDED, {"symbol": order.symbol}), now)
            order.goal = None


def _is_plain_exit(order: Order, aim: Aim | None) -> bool:
    return aim is None and order.goal is not None


def _note_arrival(signal: Signal, aim: Aim | None, now: datetime) -> None:
    if signal.missed_at is not None and aim is not None and aim.position is not None:
        rows = MissedAlert.objects.filter(strategy=signal.strategy_id, strategy_account__isnull=True)
        rows = rows.filter(symbol=signal.symbol, noticed_at=signal.missed_at, arrived_at=None)
        rows.update(arrived_at=now)
        signal.missed_from, signal.missed_to, signal.missed_at, signal.missed_before = {}, {}, None, None


def _missed_alert(
    orders: Iterable[Order], aim: Aim, signal: Signal, batch: Batch, strategy: Strategy, now: datetime
) -> MissedAlert:
    assert aim.before is not None
    size = known_size(_known(signal), aim)
    for order in orders:
        order.terms = {**order.terms, "gap": True}
        if size is not None:
            order.terms["known_size"] = str(size)
    known, said = position_text(signal.position, signal.size), aim.before_text
    logger.error(
        "alert missed strategy=%s symbol=%s known=%s said=%s on_gap=%s",
        strategy.pk, signal.symbol, known, said, strategy.on_gap,
    )  # fmt: skip
    signal.missed_from = {"position": signal.position, "size": _stored(signal.size)}
    signal.missed_to = {"position": aim.before.value, "size": _stored(aim.size_before)}
    signal.missed_at = now
    return MissedAlert(
        batch=batch,
        strategy=strategy,
        symbol=signal.symbol,
        known=known,
        said=said,
        on_gap=strategy.on_gap,
        noticed_at=now,
    )


def _take_over(signal: Signal, aim: Aim | None, signaled_at: datetime | None, now: datetime) -> None:
    """The alert is the newest of the symbol from now on."""
    signal.heard_at = now
    if signaled_at is not None:
        # A clock that goes ahead must not make every later alert late.
        signal.signaled_at = min(signaled_at, now + _AHEAD)
    is_position = aim is not None and aim.position is not None
    signal.position = aim.position.value if is_position else ""  # type: ignore[union-attr]  # checked
    signal.size = aim.size if is_position else None  # type: ignore[union-attr]  # checked


def _store(signals: Iterable[Signal], missed: Sequence[MissedAlert]) -> list[Statement]:
    listed = list(signals)
    new = [row for row in listed if row.pk is None]
    known = [row for row in listed if row.pk is not None]
    if missed:
        MissedAlert.objects.bulk_create(missed)
    return [*inserts_of(new, using=DEFAULT_DB_ALIAS), *updates_of(known, _COLUMNS, using=DEFAULT_DB_ALIAS)]


def _stored(size: Decimal | None) -> str | None:
    return None if size is None else str(size)
