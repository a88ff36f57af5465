"""Reads which accounts need a comparison with their exchange before an entry goes out."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.db.models import F, Q, QuerySet, Subquery

from exchanges.database.prepared import Among, Query, Slot
from exchanges.models import Account
from orders.domain.freshness import COMPARED_WITHIN, Comparison
from orders.models import BooksGap, TrackerPulse


def stale_accounts(account_ids: Collection[int], *, now: datetime) -> dict[int, Comparison]:
    """Returns the accounts whose last comparison is too old for an entry, or older than a gap of the books.

    One statement, however many accounts. `Comparison.denial` is the reason to deny an entry.
    """
    return comparisons_of(STALE_ACCOUNTS.rows(accounts=account_ids, oldest=oldest_comparison(now=now)))


def oldest_comparison(*, now: datetime) -> datetime:
    """The value of the slot `oldest` of STALE_ACCOUNTS."""
    return now - COMPARED_WITHIN


def comparisons_of(rows: Iterable[tuple[Any, ...]]) -> dict[int, Comparison]:
    return {pk: Comparison(*times) for pk, *times in rows}


def _stale_accounts() -> QuerySet[Account, tuple[Any, ...]]:
    noticed = BooksGap.objects.order_by("-noticed_at").values("noticed_at")[:1]
    pulse = TrackerPulse.objects.filter(pk=1).values("last_turn_at")
    rows = Account.objects.filter(Among("pk", "accounts")).annotate(
        gap_noticed_at=Subquery(noticed), tracker_seen_at=Subquery(pulse)
    )
    old = Q(compared_at__isnull=True) | Q(compared_at__lt=Slot("oldest"))
    stale = rows.filter(old | Q(compared_at__lt=F("gap_noticed_at"))).order_by()
    return stale.values_list("pk", "compared_at", "gap_noticed_at", "tracker_seen_at")


STALE_ACCOUNTS = Query(_stale_accounts)
