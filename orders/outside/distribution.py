"""A person distributes an outside event, or corrects a difference for which there is no evidence."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from exchanges.amounts import exact
from exchanges.enums import OutsideKind
from orders.domain.keys import HoldingKey, PositionKey
from orders.domain.outside import Shares
from orders.domain.position_math import PositionState, apply_adjustment
from orders.fills.trade_booking import lock_positions
from orders.models import OutsideEvent, Position, PositionDifference
from orders.outside.attribution import EventShare, book_shares, booking_of, lock_waiting, settle_events
from orders.outside.booking import Booking, book_adjustments
from orders.outside.books import remaining_quantities, waiting_quantities
from orders.outside.holdings import want_comparison
from strategies.models import StrategyAccount

_NOTHING = Decimal(0)


class NotDistributable(Exception):
    """The distribution is refused, and nothing is booked. `code` names the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Outcome:
    """The position of a strategy account before and after its share, and the profit before fees, in quote currency."""

    strategy_account: StrategyAccount
    quantity: Decimal
    before: PositionState
    after: PositionState
    profit: Decimal


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a person distributes: an event, or without evidence a difference, of which `left` is still to be booked.

    `price` is in quote currency. A correction without a price leaves each position at the average entry price.
    """

    holding: HoldingKey
    left: Decimal
    event: OutsideEvent | None = None
    difference: PositionDifference | None = None
    price: Decimal | None = None

    def booking(
        self, strategy_account: int, quantity: Decimal, state: PositionState, at: datetime
    ) -> Booking:
        """Raises NotDistributable, code "price_missing", for a correction that opens a position without a price."""
        if self.event is not None:
            return booking_of(self.holding, EventShare(self.event, strategy_account, quantity))
        price = self.price or (abs(state.cost / state.quantity) if state.quantity else None)
        if not price:
            raise NotDistributable("price_missing")
        kind = OutsideKind.CORRECTION
        return Booking(strategy_account, self.holding, kind, at, quantity=quantity, price=price)


def distribution_of_event(event: OutsideEvent) -> Distribution:
    holding = HoldingKey(event.account_id, event.market_type, event.symbol)
    left = _NOTHING if event.settled_at else remaining_quantities([event])[event.pk]
    return Distribution(holding, left, event=event)


def distribution_of_difference(row: PositionDifference, *, price: Decimal | None = None) -> Distribution:
    """The part of the difference that neither a declaration nor a waiting event explains."""
    holding = HoldingKey(row.account_id, row.market_type, row.symbol)
    events = OutsideEvent.objects.waiting().filter(**holding._asdict())
    waiting = waiting_quantities(list(events)).get(holding, _NOTHING)
    left = _NOTHING if row.resolved_at else row.theirs - row.ours - row.external - waiting
    return Distribution(holding, left, difference=row, price=price)


def candidates(holding: HoldingKey) -> list[StrategyAccount]:
    """The strategy accounts that may have a share, first those that hold the symbol."""
    rows = StrategyAccount.objects.filter(
        account=holding.account_id, strategy__market_type=holding.market_type
    ).select_related("strategy", "account")
    held = read_positions(holding)
    return sorted(rows, key=lambda row: (not held.get(row.pk, PositionState()).quantity, row.pk))


def read_positions(holding: HoldingKey) -> dict[int, PositionState]:
    """The positions of the holding by strategy account; also closed positions."""
    rows = Position.objects.filter(
        strategy_account__account=holding.account_id,
        strategy_account__strategy__market_type=holding.market_type,
        symbol=holding.symbol,
    )
    return {row.strategy_account_id: row.state for row in rows}


@exact
def preview(
    distribution: Distribution, shares: Shares, states: Mapping[int, PositionState], *, now: datetime
) -> list[Outcome]:
    """Returns what each share would do. Raises NotDistributable where the shares do not fit."""
    _require_fitting(distribution, shares)
    accounts = StrategyAccount.objects.select_related("strategy", "account").in_bulk(shares)
    outcomes = []
    for pk, quantity in shares.items():
        state = states.get(pk, PositionState())
        booking = distribution.booking(pk, quantity, state, now)
        after, profit = apply_adjustment(
            state, quantity=quantity, price=booking.price, fee=booking.fee, amount=booking.amount
        )
        outcomes.append(Outcome(accounts[pk], quantity, state, after, profit))
    return outcomes


@transaction.atomic
def distribute(
    distribution: Distribution,
    shares: Shares,
    *,
    expected: Mapping[int, Decimal | None],
    actor: Actor,
    reason: str,
    now: datetime,
) -> None:
    """Books the shares, and asks for a comparison of the holding. `expected` are the positions that the person saw.

    Raises NotDistributable: "settled" and "too_much" where somebody booked meanwhile, "positions_changed",
    "not_candidate", "price_missing".
    """
    if not shares.keys() <= {row.pk for row in candidates(distribution.holding)}:
        raise NotDistributable("not_candidate")
    current = _locked(distribution)
    _require_fitting(current, shares)
    keys = {PositionKey(pk, current.holding.symbol) for pk in shares}
    states = {key.strategy_account_id: row.state for key, row in lock_positions(keys).items()}
    if any(states[pk].quantity != expected.get(pk) for pk in shares):
        raise NotDistributable("positions_changed")
    if current.event is not None:
        parts = [EventShare(current.event, pk, quantity) for pk, quantity in shares.items()]
        book_shares(current.holding, parts, actor=actor.name, now=now, reason=reason)
        if _total(shares.values()) == current.left:
            settle_events([current.event], by=actor.name, now=now)
    else:
        bookings = [current.booking(pk, quantity, states[pk], now) for pk, quantity in shares.items()]
        book_adjustments(bookings, actor=actor.name, now=now, reason=reason)
        _count_as_ours(current, _total(shares.values()))
    want_comparison([current.holding], now=now)
    _record_shares(current, shares, states, actor=actor, reason=reason, now=now)


def _record_shares(
    distribution: Distribution,
    shares: Shares,
    states: Mapping[int, PositionState],
    *,
    actor: Actor,
    reason: str,
    now: datetime,
) -> None:
    """Tells the positions before and the booked quantities, both by strategy account."""
    before = {"left": distribution.left, "positions": {pk: states[pk].quantity for pk in shares}}
    record(
        Action.ADJUSTED,
        distribution.event or distribution.difference,
        actor=actor,
        now=now,
        before=before,
        after={"symbol": distribution.holding.symbol, "booked": shares, "price": distribution.price},
        reason=reason,
    )


def _locked(distribution: Distribution) -> Distribution:
    """The distribution as it is now, with the event or the difference locked until the transaction ends."""
    if distribution.event is not None:
        waiting = {event.pk: event for event in lock_waiting(distribution.holding)}
        event = waiting.get(distribution.event.pk)
        if event is None:
            raise NotDistributable("settled")
        return distribution_of_event(event)
    assert distribution.difference is not None
    row = PositionDifference.objects.select_for_update().get(pk=distribution.difference.pk)
    if row.resolved_at is not None:
        raise NotDistributable("settled")
    return distribution_of_difference(row, price=distribution.price)


def _require_fitting(distribution: Distribution, shares: Shares) -> None:
    """The shares together have the sign of what is left, and are no more."""
    if not any(shares.values()):
        raise NotDistributable("nothing_given")
    total, left = _total(shares.values()), distribution.left
    if total * left < 0 or abs(total) > abs(left):
        raise NotDistributable("too_much")


def _count_as_ours(distribution: Distribution, booked: Decimal) -> None:
    """Notes the correction in the difference, so that nobody corrects the same difference twice before a comparison."""
    row = distribution.difference
    assert row is not None
    row.ours += booked
    row.save(update_fields=["ours"])


@exact
def _total(quantities: Iterable[Decimal]) -> Decimal:
    return sum(quantities, _NOTHING)
