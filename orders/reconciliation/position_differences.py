"""Position differences between our books and an exchange: stored, counted and resolved.

Agreement of both sides or a person resolves a difference.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from exchanges.enums import MarketType
from exchanges.models import Account
from orders.models import PositionDifference

logger = logging.getLogger(__name__)


class Holder(Protocol):
    """An account and a market type."""

    @property
    def account(self) -> Account: ...

    @property
    def market_type(self) -> MarketType: ...


def note_differences(
    holder: Holder, holdings: Mapping[str, tuple[Decimal, Decimal]], *, now: datetime
) -> None:
    """Stores, counts or resolves the differences of a holder's complete `holdings`: symbol -> (ours, theirs)."""
    rows = PositionDifference.objects.filter(account=holder.account, market_type=holder.market_type)
    known = {row.symbol: row for row in rows}
    for symbol, (ours, theirs) in holdings.items():
        row = known.get(symbol)
        expected = ours + (row.external if row else Decimal(0))
        if expected != theirs:
            _note_difference(holder, symbol, ours, theirs, row, now)
        elif row is not None and row.resolved_at is None:
            _resolve_difference(row, ours, theirs, now)
    for symbol, row in known.items():
        if symbol not in holdings and row.resolved_at is None and not row.external:
            _resolve_difference(row, Decimal(0), Decimal(0), now)


def declare_external(row: PositionDifference, *, now: datetime) -> None:
    """Resolves a difference on a person's word: the account holds the difference outside of our strategies.

    Later comparisons expect the external part.
    """
    row.external = row.theirs - row.ours
    row.resolved_at, row.looks = now, 0
    row.save(update_fields=["external", "resolved_at", "looks"])


def _note_difference(
    holder: Holder, symbol: str, ours: Decimal, theirs: Decimal, row: PositionDifference | None, now: datetime
) -> None:
    if row is None:
        row, is_ours = PositionDifference.objects.get_or_create(
            account=holder.account,
            market_type=holder.market_type,
            symbol=symbol,
            defaults={
                "first_seen_at": now,
                "last_seen_at": now,
                "looks": 0,
                "ours": ours,
                "theirs": theirs,
            },
        )
        if not is_ours:
            return  # another tracker stored the difference at the same moment, and counts the look
    elif row.resolved_at is not None:
        row.resolved_at, row.first_seen_at, row.looks = None, now, 0
    row.ours, row.theirs, row.last_seen_at = ours, theirs, now
    row.looks += 1
    row.save()
    if row.freezes:
        logger.error("position differs account=%s symbol=%s looks=%s", holder.account.pk, symbol, row.looks)


def _resolve_difference(row: PositionDifference, ours: Decimal, theirs: Decimal, now: datetime) -> None:
    row.ours, row.theirs, row.resolved_at, row.looks, row.last_seen_at = ours, theirs, now, 0, now
    row.save()
