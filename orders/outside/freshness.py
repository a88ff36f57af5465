"""Reads which accounts need a comparison with their exchange before an entry goes out."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import F, Q, Subquery

from exchanges.models import Account
from orders.domain.freshness import COMPARED_WITHIN, Comparison
from orders.models import BooksGap, TrackerPulse


def stale_accounts(account_ids: Collection[int], *, now: datetime) -> dict[int, Comparison]:
    """Returns the accounts whose last comparison is too old for an entry, or older than a gap of the books.

    One statement, however many accounts. `Comparison.denial` is the reason to deny an entry.
    """
    noticed = BooksGap.objects.order_by("-noticed_at").values("noticed_at")[:1]
    pulse = TrackerPulse.objects.filter(pk=1).values("last_turn_at")
    rows = Account.objects.filter(pk__in=account_ids).annotate(
        gap_noticed_at=Subquery(noticed), tracker_seen_at=Subquery(pulse)
    )
    old = Q(compared_at__isnull=True) | Q(compared_at__lt=now - COMPARED_WITHIN)
    stale = rows.filter(old | Q(compared_at__lt=F("gap_noticed_at"))).order_by()
    return {
        pk: Comparison(*times)
        for pk, *times in stale.values_list("pk", "compared_at", "gap_noticed_at", "tracker_seen_at")
    }
