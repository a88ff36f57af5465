"""Our books against the paper exchange's own ledger: the one exchange whose truth can be read whole.

Trade goes on meanwhile, and the tracker asks about open orders only now and then. Our rows are read before the ledger:
what is over in them is over there in the same way, and of what is open there may be more by now, never less.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import QuerySet

from exchanges.enums import MarketType
from exchanges.models import Account
from exchanges.paper.remote import PaperControl, PaperUnreachable
from exchanges.vault import CredentialsUnreadable, credentials_of
from orders.domain.enums import OrderStatus
from orders.domain.lifecycle import FINAL
from orders.models import Order, Position, PositionDifference, Trade

OUR_PREFIX = "th"
LEDGER_UNREAD, CREDENTIALS_UNREADABLE = "ledger_unread", "credentials_unreadable"
_SETTLED_AFTER = timedelta(seconds=5)  # a position is compared when its last trade is older
_ENDS = {
    OrderStatus.FILLED: {"FILLED"},
    OrderStatus.CANCELED: {"CANCELED"},
    OrderStatus.EXPIRED: {"EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"},
    OrderStatus.REJECTED: {"REJECTED"},
    OrderStatus.DENIED: set(),
}
# The exchange has said that it has these.
_SEEN = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED, OrderStatus.EXPIRED)

Json = dict[str, Any]


class LedgerKey(NamedTuple):
    """An entry of the paper exchange's ledger: an account by its API key, and in it an order or a symbol by name."""

    api_key: str
    name: str


Differences = dict[LedgerKey, str]
Entry = tuple[str, Decimal, Decimal, Decimal]  # trade id, quantity, price, fee
_NOTHING: Json = {"orders": [], "trades": [], "positions": []}


@dataclass(frozen=True, slots=True)
class PaperAudit:
    """`notes` are codes of what could not be compared (`BookAudit.note_texts`)."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Books:
    """What our rows say of the accounts that share one key."""

    key: str
    accounts: list[Account]
    orders: dict[str, Order]  # by client order id
    trades: dict[str, set[Entry]]
    positions: dict[str, Decimal]  # by the exchange's symbol, with what is declared external


def audit_paper_books(orders: QuerySet[Order], *, url: str, now: datetime) -> PaperAudit:
    """What differs in two looks, one after the other."""
    keys, notes = _keys()
    if not keys:
        return PaperAudit(notes=notes)
    try:
        found = _look(keys, orders, url, now)
        again = _look(keys, orders, url, now) if found else {}
    except (PaperUnreachable, ValueError):
        return PaperAudit(notes=[*notes, LEDGER_UNREAD])
    return PaperAudit([text for key, text in again.items() if key in found], notes)


def _keys() -> tuple[dict[str, list[Account]], list[str]]:
    found: dict[str, list[Account]] = defaultdict(list)
    notes: list[str] = []
    for account in Account.objects.sealed().filter(exchange="paper"):
        try:
            found[credentials_of(account).api_key].append(account)
        except CredentialsUnreadable:
            notes = [CREDENTIALS_UNREADABLE]
    return found, notes


def _look(keys: dict[str, list[Account]], orders: QuerySet[Order], url: str, now: datetime) -> Differences:
    ours = [_books(key, accounts, orders) for key, accounts in keys.items()]
    moving = _moving(now)
    ledger = PaperControl(url).state()["accounts"]
    moving |= _moving(now)
    found: Differences = {}
    for books in ours:
        names = "/".join(str(account.pk) for account in books.accounts)
        for subject, text in _compare(books, ledger.get(books.key, _NOTHING), moving):
            key = LedgerKey(books.key, subject)
            found[key] = f"{found[key]}; {text}" if key in found else f"account {names}: {subject} {text}"
    return found


# Our rows


def _books(key: str, accounts: list[Account], orders: QuerySet[Order]) -> Books:
    rows = orders.filter(account__in=accounts)
    named = {row.client_order_id: row for row in rows}
    trades: dict[str, set[Entry]] = defaultdict(set)
    for name, *entry in Trade.objects.filter(order__in=rows).values_list(
        "order__client_order_id", "trade_id", "quantity", "price", "fee"
    ):
        trades[name].add(tuple(entry))
    return Books(key, accounts, named, trades, _positions(accounts))


def _positions(accounts: Sequence[Account]) -> dict[str, Decimal]:
    """Futures only: what a person holds on spot is mixed with their own coins."""
    held: dict[str, Decimal] = defaultdict(Decimal)
    ours = Position.objects.filter(
        strategy_account__account__in=accounts, strategy_account__strategy__market_type=MarketType.FUTURES
    ).values_list("symbol", "quantity")
    external = PositionDifference.objects.filter(
        account__in=accounts, market_type=MarketType.FUTURES
    ).values_list("symbol", "external")
    for symbol, quantity in (*ours, *external):
        held[_exchange_symbol(symbol)] += quantity
    return held


def _moving(now: datetime) -> set[tuple[int, str]]:
    """Accounts and the exchange's symbols where a difference could be one of timing."""
    columns = ("account", "symbol")
    working = Order.objects.open().values_list(*columns)
    fresh = Trade.objects.filter(recorded_at__gt=now - _SETTLED_AFTER).values_list(*columns)
    return {(account, _exchange_symbol(symbol)) for account, symbol in (*working, *fresh)}


def _exchange_symbol(symbol: str) -> str:
    return symbol.partition(":")[0].replace("/", "")


# Side by side: pairs of an order's name or a symbol, and what differs


def _compare(books: Books, page: Json, moving: set[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    yield from _compare_orders(books, page["orders"])
    yield from _compare_trades(books, page["trades"])
    still = {symbol for account in books.accounts for pk, symbol in moving if pk == account.pk}
    yield from _compare_positions(books, page["positions"], still)


def _compare_orders(books: Books, theirs: Sequence[Json]) -> Iterator[tuple[str, str]]:
    yield from _compare_owners(books, theirs)
    for order in theirs:
        name = order["clientOrderId"]
        if name in books.orders:
            yield from ((name, text) for text in _compare_order(order, books.orders[name]))
    times = Counter(order["clientOrderId"] for order in theirs)
    for name, row in books.orders.items():
        if times[name] > 1:
            yield name, f"is at the exchange {times[name]} times"
        if not times[name] and row.status in _SEEN:
            yield name, f"is {row.status} here and unknown there"


def _compare_owners(books: Books, theirs: Sequence[Json]) -> Iterator[tuple[str, str]]:
    """Reads after the ledger: a row is committed before its order is sent."""
    names = [order["clientOrderId"] for order in theirs]
    known = Order.objects.only("client_order_id", "account").in_bulk(names, field_name="client_order_id")
    ours = {account.pk for account in books.accounts}
    for name in names:
        if name not in known and name.startswith(OUR_PREFIX):
            yield name, "is at the exchange, which no row of ours names"
        if name in known and known[name].account_id not in ours:
            yield name, "is at the exchange and in our books another account's"


def _compare_order(order: Json, row: Order) -> Iterator[str]:
    asked, filled = Decimal(order["origQty"]), Decimal(order["executedQty"])
    is_cut = order["reduceOnly"] and row.quantity is not None and asked < row.quantity
    if row.quantity not in (None, asked) and not is_cut:
        yield f"asks for {asked} there and {row.quantity} here"
    if filled < row.filled or (row.status in FINAL and filled != row.filled):
        yield f"filled {filled} there and {row.filled} here"
    if row.status in FINAL and not _ends_alike(order["status"], OrderStatus(row.status), is_cut):
        yield f"is {order['status']} there and {row.status} here"


def _ends_alike(theirs: str, ours: OrderStatus, is_cut: bool) -> bool:
    """What was cut down to the position is done there and has less than we asked for."""
    if is_cut and theirs == "FILLED":
        return ours == OrderStatus.EXPIRED
    return theirs in _ENDS[ours]


def _compare_trades(books: Books, theirs: Iterable[Json]) -> Iterator[tuple[str, str]]:
    there: dict[str, set[Entry]] = defaultdict(set)
    for fill in theirs:
        numbers = (Decimal(fill["qty"]), Decimal(fill["price"]), Decimal(fill["commission"]))
        there[fill["clientOrderId"]].add((str(fill["id"]), *numbers))
    for name, row in books.orders.items():
        ours = books.trades[name]
        if not ours <= there[name] or (row.status in FINAL and ours != there[name]):
            yield name, f"has trades {_listed(there[name])} there and {_listed(ours)} here"


def _listed(entries: set[Entry]) -> str:
    return ", ".join("/".join(map(str, entry)) for entry in sorted(entries)) or "none"


def _compare_positions(books: Books, theirs: Iterable[Json], moving: set[str]) -> Iterator[tuple[str, str]]:
    there = {row["symbol"]: Decimal(row["positionAmt"]) for row in theirs}
    for symbol in sorted({*books.positions, *there} - moving):
        ours, held = books.positions.get(symbol, Decimal(0)), there.get(symbol, Decimal(0))
        if ours != held:
            yield symbol, f"position is {held} there and {ours} here"
