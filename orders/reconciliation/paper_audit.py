"""The paper audit: compares our books with the paper exchange's ledger.

Only the paper exchange shows its whole ledger. Trading goes on during the audit, and the tracker looks up open orders
only now and then. The audit reads our rows before the ledger: an order in a final status here has the same end in the
ledger, and an open order here has the same fills or more fills in the ledger, never fewer.
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
from orders.domain.ids import OUR_PREFIX
from orders.domain.lifecycle import FINAL
from orders.models import Adjustment, Order, Position, PositionDifference, Trade

LEDGER_UNREAD, CREDENTIALS_UNREADABLE = "ledger_unread", "credentials_unreadable"
_COMPARED = 20_000  # the rows are in memory, as is the whole ledger on the other side
_NOBODY = "nobody"
_FRESH = timedelta(seconds=5)  # a position is compared when the position's last trade is older
_ENDS = {
    OrderStatus.FILLED: {"FILLED"},
    OrderStatus.CANCELED: {"CANCELED"},
    OrderStatus.EXPIRED: {"EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"},
    OrderStatus.REJECTED: {"REJECTED"},
    OrderStatus.DENIED: set(),
}
# In these statuses the exchange has confirmed the order.
_CONFIRMED = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED, OrderStatus.EXPIRED)

Json = dict[str, Any]


class LedgerKey(NamedTuple):
    """An entry of the paper exchange's ledger: an account by its API key, and an order or a symbol by name."""

    api_key: str
    name: str


Differences = dict[LedgerKey, str]
TradeEntry = tuple[str, Decimal, Decimal, Decimal]  # trade id, quantity, price, fee
_NOTHING: Json = {"orders": [], "trades": [], "positions": []}


@dataclass(frozen=True, slots=True)
class PaperAudit:
    """The result of a paper audit. `notes` are codes of comparisons left out (`BookAudit.note_texts`)."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Books:
    """Our rows for the accounts with the same API key."""

    key: str
    accounts: list[Account]
    orders: dict[str, Order]  # by client order id
    trades: dict[str, set[TradeEntry]]
    positions: dict[str, Decimal]  # by the exchange's symbol, with the declared external part


def audit_paper_books(
    orders: QuerySet[Order], *, url: str, now: datetime, since: datetime | None = None
) -> PaperAudit:
    """Compares twice, and reports the differences found both times: a single difference may be a matter of timing.

    The comparison takes the newest of the orders, at most _COMPARED for each key. With `since`, no order is older, and
    only what happened since then is read of the ledger.
    """
    keys, notes = _accounts_by_key()
    if not keys:
        return PaperAudit(notes=notes)
    try:
        PaperControl(url).state(_NOBODY)  # our rows are not worth reading where nobody answers
        found = _differences_now(keys, orders, PaperControl(url), now, since)
        again = _differences_now(keys, orders, PaperControl(url), now, since) if found else {}
    except (PaperUnreachable, ValueError):
        return PaperAudit(notes=[*notes, LEDGER_UNREAD])
    return PaperAudit([text for key, text in again.items() if key in found], notes)


def _accounts_by_key() -> tuple[dict[str, list[Account]], list[str]]:
    found: dict[str, list[Account]] = defaultdict(list)
    notes: list[str] = []
    for account in Account.objects.sealed().filter(exchange="paper"):
        try:
            found[credentials_of(account).api_key].append(account)
        except CredentialsUnreadable:
            notes = [CREDENTIALS_UNREADABLE]
    return found, notes


def _differences_now(
    keys: dict[str, list[Account]],
    orders: QuerySet[Order],
    paper: PaperControl,
    now: datetime,
    since: datetime | None,
) -> Differences:
    ours = [_books_of(key, accounts, orders) for key, accounts in keys.items()]
    in_motion = _symbols_in_motion(now)
    ledger = paper.state(since=since)["accounts"]
    in_motion |= _symbols_in_motion(now)
    found: Differences = {}
    for books in ours:
        names = "/".join(str(account.pk) for account in books.accounts)
        for subject, text in _compare_books(books, ledger.get(books.key, _NOTHING), in_motion):
            key = LedgerKey(books.key, subject)
            found[key] = f"{found[key]}; {text}" if key in found else f"account {names}: {subject} {text}"
    return found


# Our rows


def _books_of(key: str, accounts: list[Account], orders: QuerySet[Order]) -> Books:
    rows = orders.filter(account__in=accounts).order_by("-pk")[:_COMPARED]
    named = {row.client_order_id: row for row in rows}
    trades: dict[str, set[TradeEntry]] = defaultdict(set)
    for name, *entry in Trade.objects.filter(order__in=rows).values_list(
        "order__client_order_id", "trade_id", "quantity", "price", "fee"
    ):
        trades[name].add(tuple(entry))
    return Books(key, accounts, named, trades, _futures_positions(accounts))


def _futures_positions(accounts: Sequence[Account]) -> dict[str, Decimal]:
    """Returns our futures positions with the declared external part, by the exchange's symbol.

    SPOT positions are left out, because a SPOT balance mixes our positions with the owner's own coins.
    """
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


def _symbols_in_motion(now: datetime) -> set[tuple[int, str]]:
    """Returns accounts and the exchange's symbols with an open order, a fresh trade or a fresh adjustment.

    A difference at such a symbol may be a matter of timing.
    """
    columns = ("account", "symbol")
    working = Order.objects.open().values_list(*columns)
    fresh = Trade.objects.filter(recorded_at__gt=now - _FRESH).values_list(*columns)
    booked = Adjustment.objects.filter(recorded_at__gt=now - _FRESH).values_list(*columns)
    return {(account, _exchange_symbol(symbol)) for account, symbol in (*working, *fresh, *booked)}


def _exchange_symbol(symbol: str) -> str:
    return symbol.partition(":")[0].replace("/", "")


# Comparisons: each yields pairs of a name (client order id or symbol) and a difference


def _compare_books(books: Books, page: Json, in_motion: set[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    yield from _compare_orders(books, page["orders"])
    yield from _compare_trades(books, page["trades"])
    own_in_motion = {symbol for account in books.accounts for pk, symbol in in_motion if pk == account.pk}
    yield from _compare_positions(books, page["positions"], own_in_motion)


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
        if not times[name] and row.status in _CONFIRMED:
            yield name, f"is {row.status} here and unknown there"


def _compare_owners(books: Books, theirs: Sequence[Json]) -> Iterator[tuple[str, str]]:
    """Compares the owner of each order in the ledger with our rows.

    The rows are read after the ledger, and a row is committed before its order is sent, so every order of ours in the
    ledger has a row.
    """
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
    """Whether the end in the ledger agrees with our final status.

    A reduce-only order cut down to the position is `FILLED` there, and `expired` here with less than our quantity.
    """
    if is_cut and theirs == "FILLED":
        return ours == OrderStatus.EXPIRED
    return theirs in _ENDS[ours]


def _compare_trades(books: Books, theirs: Iterable[Json]) -> Iterator[tuple[str, str]]:
    there: dict[str, set[TradeEntry]] = defaultdict(set)
    for fill in theirs:
        numbers = (Decimal(fill["qty"]), Decimal(fill["price"]), Decimal(fill["commission"]))
        there[fill["clientOrderId"]].add((str(fill["id"]), *numbers))
    for name, row in books.orders.items():
        ours = books.trades[name]
        if not ours <= there[name] or (row.status in FINAL and ours != there[name]):
            yield name, f"has trades {_trades_text(there[name])} there and {_trades_text(ours)} here"


def _trades_text(entries: set[TradeEntry]) -> str:
    return ", ".join("/".join(map(str, entry)) for entry in sorted(entries)) or "none"


def _compare_positions(
    books: Books, theirs: Iterable[Json], in_motion: set[str]
) -> Iterator[tuple[str, str]]:
    there = {row["symbol"]: Decimal(row["positionAmt"]) for row in theirs}
    for symbol in sorted({*books.positions, *there} - in_motion):
        ours, held = books.positions.get(symbol, Decimal(0)), there.get(symbol, Decimal(0))
        if ours != held:
            yield symbol, f"position is {held} there and {ours} here"
