"""What our books say about holdings: positions over all strategies, declared external parts, and waiting events."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q, QuerySet

from orders.domain.keys import AccountSymbol, HoldingKey
from orders.domain.lifecycle import FINAL, IN_FLIGHT
from orders.models import Adjustment, HoldingCheck, Order, OutsideEvent, Position, PositionDifference, Trade

# An exchange may show a fill in the position earlier than as a trade, or later.
_FRESH = timedelta(seconds=10)

_NOTHING = Decimal(0)


@dataclass(slots=True)
class Books:
    """Our books of some accounts, by holding. Quantities are base units, signed.

    `waiting` is what the waiting events move, once a person distributes the events. `moving` are the holdings that an
    order in flight, an order of unknown outcome or a fresh trade may change at any moment.
    """

    ours: dict[HoldingKey, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    external: dict[HoldingKey, Decimal] = field(default_factory=dict)
    waiting: dict[HoldingKey, Decimal] = field(default_factory=dict)
    differences: dict[HoldingKey, PositionDifference] = field(default_factory=dict)
    checks: dict[HoldingKey, HoldingCheck] = field(default_factory=dict)
    moving: set[HoldingKey] = field(default_factory=set)

    def expected(self, key: HoldingKey) -> Decimal:
        """What the exchange should show: our positions and the declared external part."""
        return self.ours.get(key, _NOTHING) + self.external.get(key, _NOTHING)

    def symbols(self) -> dict[tuple[int, str], set[str]]:
        """The symbols with a position, a declared external part or an open difference, by account and market type."""
        rows = self.differences.items()
        open_rows = [key for key, row in rows if row.external or row.resolved_at is None]
        found: dict[tuple[int, str], set[str]] = defaultdict(set)
        for key in (*self.ours, *open_rows):
            found[key.account_id, key.market_type].add(key.symbol)
        return found


def read_books(accounts: Collection[int], *, now: datetime) -> Books:
    """Reads the books of the accounts. The number of statements does not depend on the number of accounts."""
    books = Books()
    held = Position.objects.held().filter(strategy_account__account__in=accounts)
    columns = ("strategy_account__account_id", "strategy_account__strategy__market_type", "symbol")
    for quantity, *key in held.values_list("quantity", *columns):
        books.ours[HoldingKey(*key)] += quantity
    for row in PositionDifference.objects.filter(account__in=accounts):
        key_of_row = HoldingKey(row.account_id, row.market_type, row.symbol)
        books.differences[key_of_row], books.external[key_of_row] = row, row.external
    for check in HoldingCheck.objects.filter(account__in=accounts):
        books.checks[HoldingKey(check.account_id, check.market_type, check.symbol)] = check
    events = list(OutsideEvent.objects.waiting().filter(account__in=accounts))
    books.waiting = waiting_quantities(events)
    books.moving = holdings_in_motion(accounts, now=now)
    return books


def holdings_in_motion(accounts: Collection[int], *, now: datetime) -> set[HoldingKey]:
    """Returns the holdings with an order in flight, an order of unknown outcome, or a fresh trade."""
    may_fill = Q(status__in=IN_FLIGHT) | Q(unknown_since__isnull=False)
    orders = Order.objects.filter(may_fill, account__in=accounts).exclude(status__in=FINAL)
    fresh = Trade.objects.filter(account__in=accounts, recorded_at__gt=now - _FRESH)
    columns = ("account_id", "market_type", "symbol")
    return {HoldingKey(*row) for row in (*orders.values_list(*columns), *fresh.values_list(*columns))}


def remaining_quantities(events: Collection[OutsideEvent]) -> dict[int, Decimal]:
    """Returns for each event, by primary key, the signed quantity that is not booked yet. One statement."""
    left = {event.pk: event.quantity for event in events}
    rows = Adjustment.objects.filter(event__in=left) if left else Adjustment.objects.none()
    for event, quantity in rows.values_list("event_id", "quantity"):
        left[event] -= quantity
    return left


def waiting_quantities(events: Collection[OutsideEvent]) -> dict[HoldingKey, Decimal]:
    """Returns the sum of the remaining quantities of the events, by holding."""
    left = remaining_quantities(events)
    waiting: dict[HoldingKey, Decimal] = defaultdict(Decimal)
    for event in events:
        waiting[HoldingKey(event.account_id, event.market_type, event.symbol)] += left[event.pk]
    return dict(waiting)


def external_holdings(symbols: Iterable[str]) -> dict[HoldingKey, Decimal]:
    """Returns what persons declared as held outside of the strategies, in the symbols. One statement."""
    rows = PositionDifference.objects.filter(symbol__in=set(symbols)).exclude(external=0)
    columns = ("account_id", "market_type", "symbol")
    return {HoldingKey(*key): external for external, *key in rows.values_list("external", *columns)}


def waiting_symbols(symbols: Iterable[str]) -> set[AccountSymbol]:
    """Returns the accounts and symbols with an event that waits for a person: no new risk there. One statement."""
    rows: QuerySet[OutsideEvent] = OutsideEvent.objects.waiting().filter(symbol__in=set(symbols))
    return {AccountSymbol(*row) for row in rows.values_list("account_id", "symbol")}
