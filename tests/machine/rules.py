"""What holds after every single step (SPEC section 7), and what must hold once everything is settled."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from exchanges.enums import TradingState
from exchanges.gateway import gateway
from exchanges.models import Account
from exchanges.paper.testing import PaperControl
from exchanges.vault import credentials_of
from orders.controls.trading_state import Level
from orders.domain.enums import GoalState, OrderStatus
from orders.models import (
    Batch,
    Cancellation,
    ExitGoal,
    Order,
    OrderEvent,
    Position,
    PositionDifference,
    Trade,
)
from orders.reconciliation.audit import audit_books
from orders.reconciliation.book_rules import check_orders
from orders.reconciliation.paper_audit import OUR_PREFIX
from orders.reconciliation.position_sums import check_positions
from strategies.models import Strategy, StrategyAccount
from tests.desk import order_posts
from tests.rules import UNSENT

Json = dict[str, Any]
Place = tuple[int, str]
ENDS = {
    OrderStatus.FILLED: {"FILLED"},
    OrderStatus.CANCELED: {"CANCELED", "unknown"},
    OrderStatus.EXPIRED: {"FILLED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"},
    OrderStatus.REJECTED: {"REJECTED", "unknown"},
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A level's trading state, and the last event that was written when it began to hold."""

    level: Level
    state: TradingState
    after: int


def mark(level: Level) -> Mark:
    last = OrderEvent.objects.aggregate(last=Max("pk"))["last"] or 0
    return Mark(level, TradingState(level.trading_state), last)


def doubts() -> dict[Place, int]:
    """Places with an order of unknown outcome, and that order."""
    rows = Order.objects.of_unknown_outcome().values_list("account_id", "symbol", "pk")
    return {(account, symbol): pk for account, symbol, pk in rows}


def check(paper: PaperControl, marks: Iterable[Mark], doubted: dict[Place, int]) -> None:
    # Runs may go on behind us: what is there now must have a row, and what a row says must be true later.
    before, posts = paper.state()["accounts"], order_posts(paper)
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        orders = {order.client_order_id: order for order in Order.objects.all()}
        found = [*check_orders(order.pk for order in orders.values()), *check_positions()]
        problems = [finding.text for finding in found]
        problems += _sent_while_stopped(marks)
        problems += _sent_in_doubt(orders.values(), doubted)
        trades = list(Trade.objects.select_related("order"))
        asked = set(_asked_to_cancel())
        keys = {account.pk: credentials_of(account).api_key for account in Account.objects.all()}
    after = paper.state()["accounts"]
    problems += _rows_of(before, orders, keys)
    problems += _posts(posts, orders)
    problems += _canceled(before, asked)
    problems += _ends(after, orders)
    problems += _trades(after, trades)
    assert not problems, "\n".join(problems)


def _rows_of(accounts: Json, orders: dict[str, Order], keys: dict[int, str]) -> Iterator[str]:
    for key, account in accounts.items():
        names = Counter(order["clientOrderId"] for order in account["orders"])
        for name, count in names.items():
            if not name.startswith(OUR_PREFIX):
                continue
            if name not in orders:
                yield f"{name} is at the exchange without a row"
            elif keys[orders[name].account_id] != key:
                yield f"{name} was sent with another account's key"
            if count > 1:
                yield f"{name} is at the exchange {count} times"


def _posts(posts: Iterable[Json], orders: dict[str, Order]) -> Iterator[str]:
    for name, count in Counter(row["clientOrderId"] for row in posts).items():
        if count > 1:
            yield f"{name} was sent {count} times"
        if name in orders and orders[name].status in UNSENT:
            yield f"{name} was sent and is {orders[name].status}"


def _canceled(accounts: Json, asked: set[str]) -> Iterator[str]:
    """A cancel is committed before it is sent: what was canceled there before our rows were read was asked for."""
    for account in accounts.values():
        for order in account["orders"]:
            name = order["clientOrderId"]
            if order["status"] == "CANCELED" and name.startswith(OUR_PREFIX) and name not in asked:
                yield f"{name} was canceled and nobody asked for it"


def _ends(accounts: Json, orders: dict[str, Order]) -> Iterator[str]:
    """What is over here is over there, in the same way; what was refused is not there."""
    theirs = {order["clientOrderId"]: order for account in accounts.values() for order in account["orders"]}
    for name, order in orders.items():
        found = theirs[name]["status"] if name in theirs else "unknown"
        if order.submitted_at is not None and not _agree(OrderStatus(order.status), found):
            yield f"{name} is {found} there and {order.status} here"


def _agree(ours: OrderStatus, theirs: str) -> bool:
    return ours not in ENDS or theirs in ENDS[ours]


def _trades(accounts: Json, trades: Iterable[Trade]) -> Iterator[str]:
    theirs = {
        (fill["clientOrderId"], str(fill["id"])): fill
        for account in accounts.values()
        for fill in account["trades"]
    }
    for trade in trades:
        fill = theirs.get((trade.order.client_order_id, trade.trade_id))
        if fill is None:
            yield f"trade {trade.trade_id} of {trade.order} is not the exchange's"
        elif (trade.quantity, trade.price, trade.fee) != _numbers(fill, trade):
            yield f"trade {trade.trade_id} of {trade.order} has other numbers there: {fill}"


def _numbers(fill: Json, trade: Trade) -> tuple[Any, ...]:
    kind = type(trade.quantity)
    return kind(fill["qty"]), kind(fill["price"]), kind(fill["commission"])


def _asked_to_cancel() -> Iterable[str]:
    events = OrderEvent.objects.filter(to_status=OrderStatus.PENDING_CANCEL)
    return events.values_list("order__client_order_id", flat=True)


def _sent_while_stopped(marks: Iterable[Mark]) -> Iterator[str]:
    for stopped in marks:
        if stopped.state == TradingState.ACTIVE:
            continue
        sent = OrderEvent.objects.filter(pk__gt=stopped.after, to_status=OrderStatus.SUBMITTED)
        for event in sent.filter(**_under(stopped.level)).select_related("order"):
            if stopped.state == TradingState.HALTED or not event.order.is_closing:
                yield f"{event.order} was sent while {stopped.level} was {stopped.state}"


def _under(level: Level) -> dict[str, Any]:
    match level:
        case Strategy():
            return {"order__strategy": level.pk}
        case Account():
            return {"order__account": level.pk}
        case StrategyAccount():
            return {"order__strategy_account": level.pk}
        case _:
            return {}


def _sent_in_doubt(orders: Iterable[Order], doubted: dict[Place, int]) -> Iterator[str]:
    """`doubted` is from before the step: what is still in doubt was so all the time."""
    listed = list(orders)
    still = {order.pk: order for order in listed if order.unknown_since is not None}
    for order in listed:
        if order.is_closing or order.submitted_at is None:
            continue
        earlier = still.get(doubted.get((order.account_id, order.symbol), 0))
        if earlier is not None and order.pk != earlier.pk and order.submitted_at > earlier.unknown_since:
            yield f"{order} was sent while {earlier} was in doubt"
        for other in still.values():
            same = (order.batch_id, order.account_id, order.symbol) == (
                other.batch_id,
                other.account_id,
                other.symbol,
            )
            if same and order.pk != other.pk and order.submitted_at > other.unknown_since:
                yield f"{order} was sent while {other} of its delivery was in doubt"


# Once everything is settled


def check_end(paper: PaperControl, now: datetime) -> None:
    result = audit_books(now=now)
    problems = [*result.problems, *result.notes, *_behind(paper.state()["accounts"])]
    assert not problems, "\n".join(problems)
    assert not Order.objects.unreleased().exists(), "a turn that never ended"
    assert list(PositionDifference.objects.unresolved()) == []
    assert not ExitGoal.objects.filter(state=GoalState.WORKING).exists(), "an exit that is still pursued"
    problems = [*_exceeding_exits(), *_unfinished_goals()]
    assert not problems, "\n".join(problems)


def _exceeding_exits() -> Iterator[str]:
    """The resting take profits, and the resting stops, of a strategy account never exceed what it holds."""
    held = {(row.strategy_account_id, row.symbol): row.quantity for row in Position.objects.all()}
    resting: Counter[tuple[int, str, bool]] = Counter()
    for order in Order.objects.working().filter(goal__isnull=False):
        is_stop = order.order_type.startswith("STOP")
        resting[order.strategy_account_id, order.symbol, is_stop] += order.quantity - order.filled
    for (strategy_account, symbol, is_stop), quantity in resting.items():
        if quantity > abs(held.get((strategy_account, symbol), 0)):
            yield f"{quantity} rest (stops: {is_stop}) of {symbol} of {strategy_account}, more than is held"


def _unfinished_goals() -> Iterator[str]:
    """A reached full exit left nothing behind at that time; what rests has an order that rests."""
    for goal in ExitGoal.objects.filter(state=GoalState.RESTING):
        if not goal.attempts.filter(status__in=["accepted", "partially_filled"]).exists():
            yield f"{goal} of {goal.strategy_account_id} rests without an order"


def _behind(accounts: Json) -> Iterator[str]:
    """With nothing in flight open orders have here what they have there."""
    rows = {order.client_order_id: order for order in Order.objects.open()}
    for account in accounts.values():
        for order in account["orders"]:
            row = rows.get(order["clientOrderId"])
            if row is not None and Decimal(order["executedQty"]) != row.filled:
                yield f"{row} filled {order['executedQty']} there and {row.filled} here"
            if row is not None and order["status"] not in ("NEW", "PARTIALLY_FILLED"):
                yield f"{row} is {order['status']} there and {row.status} here"


def written() -> tuple[int, int, list[Any]]:
    rows = Order.objects.order_by("pk").values_list("status", "filled", "closed_at", "unknown_since")
    return OrderEvent.objects.count(), Trade.objects.count(), list(rows)


def situation(now: datetime) -> str:
    """For whoever has to find out why nothing moves."""
    batches = Batch.objects.unfinished().order_by("pk")
    parts = [f"now {now}"]
    parts += [f"batch {b.pk} of {b.claimed_by!r} until {b.claimed_until}" for b in batches]
    parts += [f"exchange wants a pause of {left_s:.0f} s" for left_s in gateway.pauses().values()]
    orders = Order.objects.unreleased() | Order.objects.open()
    for order in orders.order_by("pk").prefetch_related("events"):
        moves = [f"{e.at:%H:%M:%S} {e.to_status} by {e.actor}" for e in order.events.order_by("pk")]
        times = f"settled {order.released_at} checked {order.checked_at} answered {order.answered_at}"
        times += f" unknown {order.unknown_since} by {order.account} of {order.strategy_account_id}"
        fields = f"{order.order_type} {order.status} {times}"
        parts.append(f"order {order} of batch {order.batch_id}: {fields}; {moves}")
    parts += [f"cancellation {c.pk} of batch {c.batch_id}" for c in Cancellation.objects.unreleased()]
    return "\n".join(parts)
