"""Our books against the paper exchange's own ledger: the one exchange whose truth can be read whole."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from exchanges.enums import MarketType
from exchanges.models import Account
from exchanges.paper.remote import PaperControl, PaperUnreachable
from exchanges.vault import CredentialsUnreadable
from orders.enums import OrderStatus
from orders.errands import credentials_of
from orders.lifecycle import IN_FLIGHT
from orders.models import Order, Position, Trade

OUR_PREFIX = "th"
_STATUSES = {
    "NEW": OrderStatus.ACCEPTED,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}


@dataclass(frozen=True, slots=True)
class Page:
    """One account's part of the ledger."""

    account: Account
    orders: list[dict[str, Any]]
    trades: list[dict[str, Any]]
    positions: list[dict[str, Any]]


def check_ledger(orders: QuerySet[Order], *, url: str) -> Iterator[str]:
    """Differences that no order in flight explains. Nothing without paper accounts or a reachable exchange."""
    accounts = [account for account in Account.objects.filter(exchange="paper") if account.sealed_credentials]
    if not accounts:
        return
    try:
        state = PaperControl(url).state()["accounts"]
    except PaperUnreachable:
        return
    for account in accounts:
        page = _page(account, state)
        if page is not None:
            yield from (f"account {account.pk}: {problem}" for problem in _check_page(page, orders))


def _page(account: Account, state: dict[str, Any]) -> Page | None:
    try:
        key = credentials_of(account).api_key
    except CredentialsUnreadable:
        return None
    found = state.get(key)
    return None if found is None else Page(account, found["orders"], found["trades"], found["positions"])


def _check_page(page: Page, orders: QuerySet[Order]) -> Iterator[str]:
    rows = {row.client_order_id: row for row in orders.filter(account=page.account)}
    yield from _check_orders(page, rows)
    yield from _check_trades(page, rows)
    if not any(row.status in IN_FLIGHT for row in rows.values()):
        yield from _check_positions(page)


def _check_orders(page: Page, rows: dict[str, Order]) -> Iterator[str]:
    names = [order["clientOrderId"] for order in page.orders]
    known = set(Order.objects.filter(client_order_id__in=names).values_list("client_order_id", flat=True))
    for order in page.orders:
        name = order["clientOrderId"]
        if name.startswith(OUR_PREFIX) and name not in known:
            yield f"the exchange has {name}, which no row of ours names"
        elif name in rows:
            yield from _check_order(order, rows[name])


def _check_order(order: dict[str, Any], row: Order) -> Iterator[str]:
    if row.status in IN_FLIGHT:
        return
    if Decimal(order["executedQty"]) != row.filled:
        yield f"{row.client_order_id} filled {order['executedQty']} there and {row.filled} here"
    theirs = _STATUSES.get(order["status"])
    if theirs is not None and theirs != row.status:
        yield f"{row.client_order_id} is {order['status']} there and {row.status} here"


def _check_trades(page: Page, rows: dict[str, Order]) -> Iterator[str]:
    ours: dict[str, set[tuple[str, Decimal, Decimal, Decimal]]] = defaultdict(set)
    for trade in Trade.objects.filter(order__in=list(rows.values())).select_related("order"):
        entry = (trade.trade_id, trade.quantity, trade.price, trade.fee)
        ours[trade.order.client_order_id].add(entry)
    theirs: dict[str, set[tuple[str, Decimal, Decimal, Decimal]]] = defaultdict(set)
    for fill in page.trades:
        numbers = (Decimal(fill["qty"]), Decimal(fill["price"]), Decimal(fill["commission"]))
        theirs[fill["clientOrderId"]].add((str(fill["id"]), *numbers))
    for name, row in rows.items():
        if row.status not in IN_FLIGHT and ours[name] != theirs[name]:
            yield f"{name} has trades {sorted(theirs[name])} there and {sorted(ours[name])} here"


def _check_positions(page: Page) -> Iterator[str]:
    ours: dict[str, Decimal] = defaultdict(Decimal)
    rows = Position.objects.filter(
        strategy_account__account=page.account, strategy_account__strategy__market_type=MarketType.FUTURES
    )
    for symbol, quantity in rows.values_list("symbol", "quantity"):
        ours[symbol.partition(":")[0].replace("/", "")] += quantity
    theirs = {row["symbol"]: Decimal(row["positionAmt"]) for row in page.positions}
    for symbol in {*ours, *theirs}:
        if ours.get(symbol, Decimal(0)) != theirs.get(symbol, Decimal(0)):
            yield f"{symbol} position is {theirs.get(symbol, 0)} there and {ours.get(symbol, 0)} here"
