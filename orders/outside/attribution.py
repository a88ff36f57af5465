"""Stores outside events, and books the events that belong to a position beyond doubt (SPEC section 7a).

A fill that reduces the position of the only holder is booked at once. A forced close of everything is booked to every
position. All other events wait for a person.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import transaction

from audit.actor import Actor
from exchanges.adapters.protocol import Fill
from exchanges.amounts import exact
from exchanges.enums import OutsideKind, Side
from orders.domain.keys import HoldingKey
from orders.domain.outside import part_of, share_of_holder, shares_of_close
from orders.fills.trade_booking import quote_of
from orders.models import Adjustment, OutsideEvent, Position, PositionDifference, Trade
from orders.outside.booking import Booking, book_adjustments, record_adjustments
from orders.outside.books import remaining_quantities

logger = logging.getLogger(__name__)

RULE = "rule"  # the actor of what is booked at once
FORCED = (OutsideKind.LIQUIDATION, OutsideKind.ADL, OutsideKind.DELIVERY)
_EXTERNAL = 0  # the holder of what is held outside of the strategies; no strategy account has this key
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class OutsideFill:
    """A fill of somebody else's order in one of our accounts."""

    fill: Fill
    kind: OutsideKind
    client_order_id: str = ""

    @property
    def moved(self) -> Decimal:
        quantity: Decimal = self.fill.quantity
        return Side(self.fill.side).sign * quantity


class EventShare(NamedTuple):
    """A part of an event's quantity for a strategy account."""

    event: OutsideEvent
    strategy_account_id: int
    quantity: Decimal


@transaction.atomic
def record_fills(holding: HoldingKey, fills: Sequence[OutsideFill], *, now: datetime) -> None:
    """Stores the fills as events, and books what belongs to a position beyond doubt. Two callers at once book once."""
    OutsideEvent.objects.bulk_create(
        [_event_of(holding, outside, now) for outside in fills], ignore_conflicts=True
    )
    waiting = lock_waiting(holding)
    left = remaining_quantities(waiting)
    positions = lock_holders(holding)
    external = _external_of(holding)
    shares = _shares_of_forced_close(waiting, left, positions, external)
    if shares is None:
        new = {outside.fill.trade_id for outside in fills}
        fresh = [event for event in waiting if event.evidence_id in new]
        beside = external + sum((left[e.pk] for e in waiting if e.evidence_id not in new), _NOTHING)
        shares = _shares_of_only_holder(fresh, left, positions, beside)
    elif external:
        PositionDifference.objects.filter(**holding._asdict()).update(external=0)
    booked = book_shares(holding, shares, actor=RULE, now=now)
    given = _given(shares)
    settled = [event for event in waiting if not left[event.pk] - given.get(event.pk, _NOTHING)]
    settle_events(settled, by=RULE, now=now)
    logger.warning(
        "outside fills account=%s symbol=%s fills=%s booked=%s",
        holding.account_id, holding.symbol, len(fills), len(shares),
    )  # fmt: skip
    record_adjustments(booked, actor=Actor.of_service(RULE), now=now)


def _event_of(holding: HoldingKey, outside: OutsideFill, now: datetime) -> OutsideEvent:
    fill = outside.fill
    return OutsideEvent(
        kind=outside.kind,
        **holding._asdict(),
        evidence_id=fill.trade_id,
        exchange_order_id=fill.order_id,
        client_order_id=outside.client_order_id[:80],
        quantity=outside.moved,
        price=fill.price,
        fee=fill.fee,
        fee_currency=fill.fee_currency,
        executed_at=fill.executed_at,
        recorded_at=now,
    )


def lock_waiting(holding: HoldingKey) -> list[OutsideEvent]:
    """Returns the waiting events of the holding, oldest first, locked until the transaction ends."""
    rows = OutsideEvent.objects.waiting().select_for_update(no_key=True).filter(**holding._asdict())
    return list(rows.exclude(quantity=0).order_by("executed_at", "pk"))


def lock_holders(holding: HoldingKey) -> list[Position]:
    """Returns the positions of the holding that are not zero, locked until the transaction ends."""
    rows = Position.objects.held().filter(
        strategy_account__account=holding.account_id,
        strategy_account__strategy__market_type=holding.market_type,
        symbol=holding.symbol,
    )
    return list(rows.select_for_update(of=("self",), no_key=True).order_by("pk"))


def _external_of(holding: HoldingKey) -> Decimal:
    row = PositionDifference.objects.filter(**holding._asdict()).first()
    return row.external if row else _NOTHING


@exact
def _shares_of_only_holder(
    events: Sequence[OutsideEvent],
    left: dict[int, Decimal],
    positions: Sequence[Position],
    beside: Decimal,
) -> list[EventShare]:
    """Shares for the only position that somebody can trade; dust beside the position is no second holder.

    A fill from before the position was opened has taken nothing from the position.
    """
    holders = [position for position in positions if not position.is_dust] or list(positions)
    if len(holders) != 1:
        return []
    held: Decimal = holders[0].quantity
    opened_at = _opened_at(holders[0])
    shares = []
    for event in events:
        if opened_at is not None and event.executed_at < opened_at:
            beside += left[event.pk]
            continue
        share = share_of_holder(left[event.pk], held, beside)
        held, beside = held + share, beside + left[event.pk] - share
        if share:
            shares.append(EventShare(event, holders[0].strategy_account_id, share))
    return shares


def _opened_at(position: Position) -> datetime | None:
    """The exchange's time of the trade or adjustment that opened the position, the last one from zero."""
    same = {"strategy_account": position.strategy_account_id, "symbol": position.symbol}
    moves = [(trade.executed_at, trade.signed_quantity) for trade in Trade.objects.filter(**same)]
    moves += Adjustment.objects.filter(**same).exclude(quantity=0).values_list("executed_at", "quantity")
    held, opened_at = _NOTHING, None
    for executed_at, moved in sorted(moves):
        opened_at = executed_at if not held else opened_at
        held += moved
    return opened_at


def _shares_of_forced_close(
    waiting: Sequence[OutsideEvent],
    left: dict[int, Decimal],
    positions: Sequence[Position],
    external: Decimal,
) -> list[EventShare] | None:
    """Shares of a liquidation, ADL or delivery that closed everything; None where something else happened too."""
    if any(event.kind not in FORCED for event in waiting):
        return None
    held: dict[int, Decimal] = {row.strategy_account_id: row.quantity for row in positions}
    if external:
        held[_EXTERNAL] = external
    shares = shares_of_close([left[event.pk] for event in waiting], held)
    if shares is None:
        return None
    return [
        EventShare(event, holder, quantity)
        for event, part in zip(waiting, shares, strict=True)
        for holder, quantity in part.items()
        if quantity
    ]


def book_shares(
    holding: HoldingKey, shares: Collection[EventShare], *, actor: str, now: datetime, reason: str = ""
) -> list[Adjustment]:
    """Books the shares of events, each with its part of the fee. The caller has locked the events."""
    bookings = [booking_of(holding, share) for share in shares if share.strategy_account_id != _EXTERNAL]
    return book_adjustments(bookings, actor=actor, now=now, reason=reason)


def booking_of(holding: HoldingKey, share: EventShare) -> Booking:
    event = share.event
    has_quote_fee = event.fee_currency == quote_of(event.symbol)
    return Booking(
        strategy_account_id=share.strategy_account_id,
        holding=holding,
        kind=OutsideKind(event.kind),
        executed_at=event.executed_at,
        quantity=share.quantity,
        price=event.price,
        fee=part_of(event.fee, abs(share.quantity), abs(event.quantity)) if has_quote_fee else _NOTHING,
        event=event,
    )


def settle_events(events: Collection[OutsideEvent], *, by: str, now: datetime) -> None:
    OutsideEvent.objects.waiting().filter(pk__in=[event.pk for event in events]).update(
        settled_at=now, settled_by=by
    )


@exact
def _given(shares: Collection[EventShare]) -> dict[int, Decimal]:
    given: dict[int, Decimal] = {}
    for share in shares:
        given[share.event.pk] = given.get(share.event.pk, _NOTHING) + share.quantity
    return given
