"""Stores, counts and resolves the differences between our books and the holdings at exchanges."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from orders.domain.keys import HoldingKey
from orders.models import PositionDifference
from orders.models.position_difference import FREEZES_AFTER_LOOKS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """What books and exchange say about a holding. `looks` is the number of reads that found the difference."""

    key: HoldingKey
    ours: Decimal
    theirs: Decimal
    looks: int = 1


def note_differences(
    findings: Iterable[Finding], known: dict[HoldingKey, PositionDifference], *, now: datetime
) -> None:
    """Stores new differences and counts known differences. `known` are the rows as the caller has read them."""
    for finding in findings:
        row = known.get(finding.key) or _new_row(finding, now)
        if row is None:
            continue
        if row.resolved_at is not None:
            row.resolved_at, row.first_seen_at, row.looks = None, now, 0
        row.ours, row.theirs, row.last_seen_at = finding.ours, finding.theirs, now
        row.looks += finding.looks
        row.save(update_fields=["ours", "theirs", "last_seen_at", "looks", "resolved_at", "first_seen_at"])
        if row.looks - finding.looks < FREEZES_AFTER_LOOKS <= row.looks:
            logger.error("position differs account=%s symbol=%s", finding.key.account_id, finding.key.symbol)


def _new_row(finding: Finding, now: datetime) -> PositionDifference | None:
    """Returns the new row; None where another tracker stored the difference at the same moment, and counts the look."""
    row, is_ours = PositionDifference.objects.get_or_create(
        **finding.key._asdict(),
        defaults={
            "first_seen_at": now,
            "last_seen_at": now,
            "looks": 0,
            "ours": finding.ours,
            "theirs": finding.theirs,
        },
    )
    return row if is_ours else None


def resolve_differences(
    findings: Iterable[Finding], known: dict[HoldingKey, PositionDifference], *, now: datetime
) -> None:
    """Resolves the known differences of holdings about which books and exchange agree."""
    resolved = []
    for finding in findings:
        row = known.get(finding.key)
        if row is not None and row.resolved_at is None:
            row.ours, row.theirs, row.last_seen_at = finding.ours, finding.theirs, now
            row.resolved_at, row.looks = now, 0
            resolved.append(row)
    if resolved:
        PositionDifference.objects.bulk_update(
            resolved, ["ours", "theirs", "last_seen_at", "resolved_at", "looks"]
        )
