"""Reads the income of futures accounts, and books the funding of held positions. Income never blocks anything.

https://developers.binance.com/docs/derivatives/usds-margined-futures/account/rest-api/Get-Income-History
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q

from audit.actor import Actor
from exchanges.adapters.protocol import Income
from exchanges.enums import MarketType, OutsideKind
from exchanges.gateway import gateway
from exchanges.models import Account
from orders.domain.keys import HoldingKey
from orders.domain.outside import shares_of_payment
from orders.fills.trade_booking import quote_of
from orders.models import Adjustment, HoldingCheck, Order, OutsideEvent, Position, PositionDifference, Trade
from orders.outside.attribution import RULE, settle_events
from orders.outside.booking import Booking, book_adjustments, record_adjustments
from orders.outside.subjects import Subject, answered_outcomes, only_ready

READ_EVERY = timedelta(minutes=10)
_LATE = timedelta(hours=1)  # an exchange may list an income late
_LONGEST = timedelta(days=90)
_NO_SYMBOL = (
    ""  # the check without a symbol belongs to the wallet of the account, and tells how far income was read
)
_WALLET = {"market_type": MarketType.FUTURES, "symbol": _NO_SYMBOL}
_PAID = (OutsideKind.FUNDING, OutsideKind.LIQUIDATION)  # the kinds that a position pays or receives
_NOTHING = Decimal(0)


def collect_income(
    *,
    clock: Callable[[], datetime],
    everything: bool = False,
    has_room: Callable[[Account], bool] = lambda account: True,
) -> bool:
    """Reads the income of every account with futures orders at most every 10 minutes. With `everything`, all are due.

    Two processes at the same time divide the accounts between them. An account for which the exchange `has_room` no
    request weight stays due. Returns whether no account stayed due.
    """
    now = clock()
    since, left = _claim_wallets(now, everything, has_room)
    accounts = Account.objects.in_bulk(since)
    subjects = [Subject(account, MarketType.FUTURES) for account in accounts.values()]
    calls = [
        subject.call("fetch_income", max(since[subject.account.pk], now - _LONGEST))
        for subject in only_ready(subjects, now=now)
    ]
    read = []
    for outcome in answered_outcomes(calls):
        account = outcome.call.tag.account
        if outcome.value:
            _record_income(account.pk, outcome.value, now=clock())
        read.append(account.pk)
    HoldingCheck.objects.filter(account__in=read, **_WALLET).update(agreed_at=now)
    return not left


def _claim_wallets(
    now: datetime, everything: bool, has_room: Callable[[Account], bool]
) -> tuple[dict[int, datetime], set[int]]:
    """Claims the accounts whose income is due. Returns the time from which to read, and the accounts left due."""
    in_use = _accounts_in_use()
    first = _first_orders_of_unread(in_use)
    HoldingCheck.objects.bulk_create(
        [HoldingCheck(account_id=pk, **_WALLET) for pk in sorted(first)], ignore_conflicts=True
    )
    due: dict[int, datetime] = {}
    left: set[int] = set()
    accounts = Account.objects.in_bulk(in_use)
    with transaction.atomic():
        rows = HoldingCheck.objects.filter(account__in=in_use, **_WALLET)
        rows = rows.order_by(F("checked_at").asc(nulls_first=True), "pk")
        for row in rows.select_for_update(skip_locked=True, no_key=True):
            since = row.agreed_at or first.get(row.account_id)
            is_due = everything or row.checked_at is None or now - row.checked_at >= READ_EVERY
            if since is None or not is_due:
                continue
            if everything or has_room(accounts[row.account_id]):
                due[row.account_id] = since - _LATE
            else:
                left.add(row.account_id)
        HoldingCheck.objects.filter(account__in=due, **_WALLET).update(checked_at=now)
    return due, left


def _accounts_in_use() -> list[int]:
    """Returns the accounts with income whose futures orders went out, and that are active or hold something."""
    orders = Order.objects.filter(
        account=OuterRef("pk"), market_type=MarketType.FUTURES, submitted_at__isnull=False
    )
    held = Position.objects.held().filter(strategy_account__account=OuterRef("pk"))
    rows = Account.objects.filter(Q(is_active=True) | Exists(held), Exists(orders))
    return [
        pk
        for pk, exchange in rows.values_list("pk", "exchange")
        if gateway.capabilities(exchange, MarketType.FUTURES).has_income
    ]


def _first_orders_of_unread(accounts: Collection[int]) -> dict[int, datetime]:
    """Returns the times of the first orders of the accounts whose income was never read."""
    read = HoldingCheck.objects.filter(**_WALLET, account__in=accounts, agreed_at__isnull=False)
    unread = set(accounts) - set(read.values_list("account_id", flat=True))
    orders = Order.objects.filter(
        account__in=unread, market_type=MarketType.FUTURES, submitted_at__isnull=False
    )
    return dict(orders.order_by().values_list("account_id").annotate(first=Min("submitted_at")))


@transaction.atomic
def _record_income(account: int, rows: Sequence[Income], *, now: datetime) -> None:
    """Stores each income once as a settled event, and books what positions paid or received."""
    OutsideEvent.objects.bulk_create([_event_of(account, row, now) for row in rows], ignore_conflicts=True)
    new = OutsideEvent.objects.waiting().filter(account=account, quantity=0)
    events = list(new.select_for_update(no_key=True).order_by("executed_at", "pk"))
    booked = book_adjustments(_bookings_of(account, events), actor=RULE, now=now)
    settle_events(events, by=RULE, now=now)
    record_adjustments(booked, actor=Actor.of_service(RULE), now=now)


def _event_of(account: int, row: Income, now: datetime) -> OutsideEvent:
    return OutsideEvent(
        kind=row.kind,
        account_id=account,
        market_type=MarketType.FUTURES,
        symbol=row.symbol[:80],
        evidence_id=row.income_id,
        amount=row.amount,
        currency=row.currency,
        executed_at=row.at,
        recorded_at=now,
    )


def _bookings_of(account: int, events: Collection[OutsideEvent]) -> list[Booking]:
    paid = [e for e in events if e.kind in _PAID and e.symbol and e.currency == quote_of(e.symbol)]
    if not paid:
        return []
    holdings = _Holdings(account, paid)
    return [
        Booking(
            strategy_account_id=strategy_account,
            holding=HoldingKey(account, MarketType.FUTURES, event.symbol),
            kind=OutsideKind(event.kind),
            executed_at=event.executed_at,
            amount=share,
            event=event,
        )
        for event in paid
        for strategy_account, share in holdings.shares(event).items()
    ]


class _Holdings:
    """The positions of an account at the times of payments: the positions now, less what came after the payment."""

    def __init__(self, account: int, events: Iterable[OutsideEvent]) -> None:
        symbols = {event.symbol for event in events}
        rows = Position.objects.filter(
            strategy_account__account=account,
            strategy_account__strategy__market_type=MarketType.FUTURES,
            symbol__in=symbols,
        )
        self._now: dict[str, dict[int, Decimal]] = defaultdict(dict)
        for symbol, holder, quantity in rows.values_list("symbol", "strategy_account_id", "quantity"):
            self._now[symbol][holder] = quantity
        places = {"account": account, "market_type": MarketType.FUTURES, "symbol__in": symbols}
        places["executed_at__gte"] = min(event.executed_at for event in events)
        self._moves = [
            (row.symbol, row.strategy_account_id, row.executed_at, moved)
            for rows in (Trade.objects.filter(**places), Adjustment.objects.filter(**places))
            for row in rows
            if (moved := row.signed_quantity if isinstance(row, Trade) else row.quantity)
        ]
        self._external: dict[str, Decimal] = dict(
            PositionDifference.objects.filter(
                account=account, market_type=MarketType.FUTURES, symbol__in=symbols
            ).values_list("symbol", "external")
        )

    def shares(self, event: OutsideEvent) -> dict[int, Decimal]:
        """The payment's shares of the positions just before the payment: a liquidated position pays its insurance."""
        held = dict(self._now[event.symbol])
        for symbol, holder, at, moved in self._moves:
            if symbol == event.symbol and at >= event.executed_at:
                held[holder] = held.get(holder, _NOTHING) - moved
        return shares_of_payment(event.amount, held, self._external.get(event.symbol, _NOTHING))
