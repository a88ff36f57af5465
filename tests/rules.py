"""What always holds (SPEC section 7), asserted after every test that trades."""

from collections import Counter
from decimal import Decimal

from exchanges.enums import Side
from exchanges.paper.testing import PaperControl
from orders.domain.enums import OrderStatus
from orders.domain.lifecycle import replay_events
from orders.models import Adjustment, Order, Position, Trade
from tests.desk import order_posts

UNSENT = (OrderStatus.INITIALIZED, OrderStatus.QUEUED, OrderStatus.DENIED)


def assert_rules_hold(paper: PaperControl) -> None:
    orders = list(Order.objects.prefetch_related("trades", "events"))
    assert_totals(orders)
    assert_positions()
    assert_events(orders)
    assert_one_post_per_row(orders, paper)


def assert_totals(orders: list[Order]) -> None:
    for order in orders:
        booked = sum((trade.quantity for trade in order.trades.all()), Decimal(0))
        assert booked == order.filled, f"{order}: trades of {booked}, filled {order.filled}"
        assert order.filled <= (order.quantity or 0), f"{order}: more filled than ordered"
    names = Counter(Trade.objects.values_list("account", "market_type", "symbol", "trade_id"))
    assert all(count == 1 for count in names.values()), "a trade counted twice"


def assert_positions() -> None:
    sums: Counter[tuple[int, str]] = Counter()
    for trade in Trade.objects.all():
        moved = Side(trade.side).sign * trade.quantity - trade.base_fee
        sums[trade.strategy_account_id, trade.symbol] += moved
    for adjustment in Adjustment.objects.all():
        sums[adjustment.strategy_account_id, adjustment.symbol] += adjustment.quantity
    held = {(row.strategy_account_id, row.symbol): row.quantity for row in Position.objects.all()}
    assert {place: amount for place, amount in held.items() if amount} == {
        place: amount for place, amount in sums.items() if amount
    }


def assert_events(orders: list[Order]) -> None:
    for order in orders:
        events = [(OrderStatus(e.from_status), OrderStatus(e.to_status)) for e in order.events.all()]
        assert replay_events(events) == order.status, f"{order}: events do not lead to {order.status}"


def assert_one_post_per_row(orders: list[Order], paper: PaperControl) -> None:
    # What a test places by hand has another name.
    named = (row["clientOrderId"] for row in order_posts(paper))
    posts = Counter(name for name in named if name.startswith("th"))
    sent = {order.client_order_id for order in orders if order.status not in UNSENT}
    assert all(count == 1 for count in posts.values()), f"sent more than once: {posts}"
    assert set(posts) <= sent, "sent without a row that says so"
    for account in paper.state()["accounts"].values():
        names = Counter(row["clientOrderId"] for row in account["orders"])
        ours = {name: count for name, count in names.items() if name.startswith("th")}
        assert all(count == 1 for count in ours.values()), f"more than once at the exchange: {ours}"
        assert set(ours) <= set(posts), "at the exchange without a request"
