"""The rules of SPEC section 7 for orders, trades and adjustments, checked for a few rows at a time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, Q

from orders.domain.enums import OrderStatus
from orders.domain.lifecycle import FINAL, IllegalTransition, replay_events
from orders.models import Adjustment, Cancellation, Order, OrderEvent, Trade

CHUNK = 500
Events = list[tuple[OrderStatus, OrderStatus]]


class Finding(NamedTuple):
    """A broken rule. `row` is the primary key of the order, of the adjustment or, for a position, of the holder."""

    row: int
    text: str


def chunks_of(pks: Sequence[int]) -> Iterator[Sequence[int]]:
    return (pks[start : start + CHUNK] for start in range(0, len(pks), CHUNK))


def broken_orders(pks: Iterable[int]) -> list[Finding]:
    """Returns the broken rules of at most CHUNK orders and their trades.

    Trading goes on, and the check reads in several statements: what breaks a rule is checked again with its row held.
    """
    found = sorted({finding.row for finding in check_orders(pks)})
    if not found:
        return []
    with transaction.atomic():
        list(
            Order.objects.select_for_update(no_key=True).filter(pk__in=found).order_by("pk").values_list("pk")
        )
        return list(check_orders(found))


def check_orders(pks: Iterable[int]) -> Iterator[Finding]:
    """Checks at most CHUNK orders. Four statements."""
    wanted = list(pks)
    filled: dict[int, Decimal] = defaultdict(Decimal)
    places: dict[int, list[tuple[str, tuple[int, ...]]]] = defaultdict(list)
    columns = ("order", "quantity", "trade_id", "symbol", "account", "strategy_account")
    trades = Trade.objects.filter(order__in=wanted).order_by("pk")
    for order, quantity, name, symbol, *place in trades.values_list(*columns, "strategy_account__account"):
        filled[order] += quantity
        places[order].append((f"trade {name} {symbol}", tuple(place)))
    events: dict[int, Events] = defaultdict(list)
    rows = OrderEvent.objects.filter(order__in=wanted).order_by("pk")
    for order, source, target in rows.values_list("order", "from_status", "to_status"):
        events[order].append((OrderStatus(source), OrderStatus(target)))
    orders = Order.objects.filter(pk__in=wanted).order_by("pk")
    holders = dict(orders.values_list("pk", "strategy_account__account"))
    needed = ("client_order_id", "status", "quantity", "filled", "closed_at", "account", "strategy_account")
    for row in orders.only(*needed, "archived_as"):
        for problem in _check_order(row, filled[row.pk], events[row.pk]):
            yield Finding(row.pk, f"order {row.client_order_id}: {problem}")
        yield from _check_accounts(row, holders.get(row.pk), places[row.pk])


def _check_accounts(
    row: Order, holder: int | None, trades: Iterable[tuple[str, tuple[int, ...]]]
) -> Iterator[Finding]:
    """Checks that an order and its trades have the account of their strategy account, which is `holder`."""
    if row.account_id != holder:
        yield Finding(row.pk, f"order {row.client_order_id}: its account is not its strategy account's")
    for name, place in trades:
        if place != (row.account_id, row.strategy_account_id, row.account_id):
            yield Finding(row.pk, f"{name}: its account is not its order's and its strategy account's")


def _check_order(order: Order, traded: Decimal, events: Events) -> Iterator[str]:
    if order.filled != traded:
        yield f"filled is {order.filled} but its trades sum up to {traded}"
    if order.quantity is not None and traded > order.quantity:
        yield f"trades of {traded} exceed the quantity of {order.quantity}"
    if (order.status == OrderStatus.FILLED) != (order.quantity is not None and traded == order.quantity):
        yield f"is {order.status} with {traded} of {order.quantity} traded"
    if order.status in FINAL and order.closed_at is None:
        yield f"is {order.status} without a closing time"
    yield from _check_replay(order, events)


def _check_replay(order: Order, events: Events) -> Iterator[str]:
    try:
        begin = OrderStatus(order.archived_as or OrderStatus.INITIALIZED)
        replayed = replay_events(events, begin=begin)
    except IllegalTransition as error:
        yield f"its events do not follow one another: {error}"
        return
    if replayed != order.status:
        yield f"is {order.status} but its events end with {replayed.value}"


# Rules within one statement: a single reading is consistent, and needs no second check


def check_adjustments(pks: Iterable[int]) -> Iterator[Finding]:
    """Checks that adjustments have the account of their strategy account, and concern the holding of their event."""
    rows = Adjustment.objects.filter(pk__in=list(pks)).order_by("pk")
    for row in rows.exclude(account=F("strategy_account__account")):
        yield Finding(row.pk, f"adjustment {row.pk} {row.symbol}: its account is not its strategy account's")
    same = Q(event__account=F("account"), event__symbol=F("symbol"))
    for row in rows.filter(event__isnull=False).exclude(same):
        yield Finding(row.pk, f"adjustment {row.pk} {row.symbol}: its event is of another holding")


def check_turns() -> Iterator[str]:
    """Checks finished batches: an unreleased order or cancellation would hold up the later batches."""
    left = Order.objects.unreleased().filter(batch__finished_at__isnull=False)
    for name in left.values_list("client_order_id", flat=True):
        yield f"order {name}: unreleased in a finished batch"
    for cancellation in Cancellation.objects.unreleased().filter(batch__finished_at__isnull=False):
        yield f"cancellation {cancellation.pk}: unreleased in the finished batch {cancellation.batch_id}"
