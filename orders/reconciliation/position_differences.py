"""A person's word about a holding: what the exchange shows beyond our books belongs to no strategy."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from orders.domain.keys import HoldingKey
from orders.models import OutsideEvent, PositionDifference
from orders.outside.attribution import lock_waiting, settle_events
from orders.outside.books import remaining_quantities


@transaction.atomic
def declare_external(row: PositionDifference, *, actor: Actor, now: datetime) -> None:
    """Resolves a difference on a person's word: the account holds the difference outside of our strategies.

    The waiting events of the holding are settled, because the difference contains the events. Later comparisons expect
    the external part.
    """
    holding = HoldingKey(row.account_id, row.market_type, row.symbol)
    settle_events(lock_waiting(holding), by=actor.name, now=now)
    before = row.external
    row.external = row.theirs - row.ours
    row.resolved_at, row.looks = now, 0
    row.save(update_fields=["external", "resolved_at", "looks"])
    old, new = {"external": before}, {"external": row.external}
    record(Action.DECLARED_EXTERNAL, row, actor=actor, now=now, before=old, after=new)


@transaction.atomic
def declare_events_external(
    events: Collection[OutsideEvent], *, actor: Actor, now: datetime
) -> list[OutsideEvent]:
    """Settles waiting events on a person's word: the remaining quantities belong to no strategy.

    The remaining quantities are added to the external part of the holdings. Returns the settled events; an event that
    was settled meanwhile stays as it is.
    """
    wanted = {event.pk: HoldingKey(event.account_id, event.market_type, event.symbol) for event in events}
    settled = []
    for holding in sorted(set(wanted.values())):
        waiting = [event for event in lock_waiting(holding) if event.pk in wanted]
        _add_external(holding, waiting, now)
        settle_events(waiting, by=actor.name, now=now)
        settled += waiting
    for event in settled:
        record(Action.DECLARED_EXTERNAL, event, actor=actor, now=now, after={"quantity": event.quantity})
    return settled


def _add_external(holding: HoldingKey, events: Collection[OutsideEvent], now: datetime) -> None:
    times = {"first_seen_at": now, "last_seen_at": now, "resolved_at": now, "looks": 0}
    PositionDifference.objects.bulk_create(
        [PositionDifference(**holding._asdict(), ours=0, theirs=0, **times)], ignore_conflicts=True
    )
    row = PositionDifference.objects.select_for_update().get(**holding._asdict())
    row.external += sum(remaining_quantities(events).values())
    row.save(update_fields=["external"])
