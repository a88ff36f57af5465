"""A restored database: orders under our ids without a row are adopted, and then all is as if nothing had happened."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connections
from django.utils import timezone

from exchanges.adapters.protocol import OrderRequest
from exchanges.enums import MarketType, OrderType, Side
from exchanges.gateway import Call, gateway
from exchanges.market_data import catalog
from exchanges.models import Account
from exchanges.vault import credentials_of
from orders.domain.ids import new_client_order_id
from orders.models import (
    Adjustment,
    Batch,
    BooksGap,
    ExitGoal,
    ExternalOrder,
    Order,
    OrderEvent,
    OutsideEvent,
    Position,
    Trade,
)
from orders.outside.account_comparison import compare_now
from orders.outside.adoption import look_up_waiting
from orders.reconciliation.comparison import compare_accounts
from tests.crash import later, track
from tests.desk import BTC, BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, open_desk
from tests.restore import restore_from_before

pytestmark = pytest.mark.django_db(transaction=True)

STOP = {"symbol": "BTC/USDT", "side": "buy", "order_type": "STOP_MARKET", "stop_price": "96000", "qty": "1"}
ONE = {"qty_per": None, "qty": "1"}
UNSENT = {
    "submitted_at": None, "closed_at": None, "released_at": None, "quantity": None, "filled": 0, "average": None,
    "exchange_order_id": "",
}  # fmt: skip


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


def note_gap():
    """As a process does that finds an older database."""
    now = timezone.now()
    Account.objects.update(compare_claimed_at=None)
    return BooksGap.objects.create(began_at=now - timedelta(minutes=5), noticed_at=now, cause="restored")


def restore():
    """An older database, and the gap that is noticed at the start."""
    restore_from_before()
    note_gap()


def place(desk, name, *, side=Side.BUY, kind=OrderType.LIMIT, price="90000", quantity="1", **more):
    """Places an order under this client order id, past our books."""
    catalog.open_catalog("paper", MarketType.FUTURES, now=timezone.now())
    price = Decimal(price) if kind.needs_price else None
    request = OrderRequest(name, BTC, side, kind, Decimal(quantity), price, **more)
    key = credentials_of(desk.accounts["A1"])
    return gateway.call(Call("paper", MarketType.FUTURES, "place_order", (request,), key))


def held(symbol=BTC):
    return sum((row.quantity for row in Position.objects.filter(symbol=symbol)), Decimal(0))


def columns(order):
    names = ["client_order_id", "exchange_order_id", "side", "order_type", "quantity", "price", "stop_price"]
    return {name: getattr(order, name) for name in [*names, "reduce_only", "status", "filled", "average"]}


def test_a_restored_desk_goes_on_as_if_nothing_had_happened(deliver, solo):
    deliver(solo.alert(BTC_LIMIT))
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(solo.alert(STOP))
    before = {order.client_order_id: columns(order) for order in Order.objects.all()}
    assert sorted(row["status"] for row in before.values()) == ["accepted", "accepted", "filled"]
    restore_from_before()

    track(after_s=660)

    assert {order.client_order_id: columns(order) for order in Order.objects.all()} == before
    assert str(held()) == solo.held("A1") == "1"
    canceled = deliver(solo.alert(CANCEL_ALL)).json()
    closed = deliver(solo.alert(BTC_CLOSE)).json()
    assert [row["status"] for row in (*canceled["results"], *closed["results"])] == ["success"] * 3
    assert (str(held()), solo.held("A1")) == ("0", "0")
    assert {row["status"] for row in solo.ledger_orders("A1")} == {"CANCELED", "FILLED"}
    assert not ExternalOrder.objects.exists()
    assert not OutsideEvent.objects.exists()


def test_an_adopted_order_has_released_rows_and_events_that_say_who(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    restore()
    note_gap()

    compare_accounts(clock=timezone.now)

    order, batch = Order.objects.get(), Batch.objects.get()
    assert (order.attempt, order.goal, order.unknown_since, order.batch) == (1, None, None, batch)
    assert order.released_at is not None
    assert batch.finished_at is not None
    assert batch.strategy == solo.strategy
    events = OrderEvent.objects.order_by("pk").values_list("from_status", "to_status", "actor", "evidence")
    assert list(events) == [
        ("initialized", "submitted", "adoption", "query"),
        ("submitted", "filled", "adoption", "query"),
    ]


def test_a_second_comparison_adopts_nothing_more(deliver, solo):
    deliver(solo.alert(BTC_LIMIT))
    deliver(solo.alert(BTC_MARKET, ONE))
    restore()
    note_gap()

    for minutes in (0, 1, 2):
        compare_accounts(clock=later(60 * minutes), everything=True)

    assert (Order.objects.count(), Trade.objects.count(), OrderEvent.objects.count()) == (2, 1, 4)


def test_two_processes_adopt_an_order_once(deliver, solo):
    deliver(solo.alert(BTC_LIMIT))
    deliver(solo.alert(BTC_MARKET, ONE))
    restore()
    note_gap()

    with ThreadPoolExecutor(3) as threads:
        for look in [threads.submit(compare_all_and_close) for _ in range(3)]:
            look.result()

    assert (Order.objects.count(), Trade.objects.count(), str(held())) == (2, 1, "1")


def compare_all_and_close():
    try:
        compare_accounts(clock=timezone.now, everything=True)
    finally:
        connections.close_all()


def test_a_position_alone_leads_to_the_order_that_made_it(deliver, solo):
    """Nobody has noticed a gap: the order is not open any more, and only the holding tells."""
    deliver(solo.alert(BTC_LIMIT, price="94000"))
    deliver(solo.alert(BTC_MARKET, ONE))
    restore_from_before(Batch.objects.order_by("pk").first().pk)

    compare_accounts(clock=later(60))

    assert (Order.objects.count(), str(held()), Adjustment.objects.count()) == (2, "1", 0)


def test_a_resting_exit_is_adopted_as_an_order_that_only_reduces(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_CLOSE, order_type="LIMIT", price="99000", qty_per=-50))
    restore()
    note_gap()

    compare_accounts(clock=timezone.now)

    exit_order = Order.objects.get(side="sell")
    assert (exit_order.reduce_only, exit_order.goal, exit_order.status) == (True, None, "accepted")
    deliver(solo.alert(BTC_CLOSE))
    track()
    assert (str(held()), solo.held("A1")) == ("0", "0")


def test_a_stop_that_fired_meanwhile_is_adopted_with_its_fills(deliver, paper, solo):
    deliver(solo.alert(STOP))
    restore()
    note_gap()
    paper.set_prices({"BTCUSDT": "96100"})

    compare_accounts(clock=timezone.now)

    order = Order.objects.get()
    assert (order.order_type, order.status, order.filled) == ("STOP_MARKET", "filled", Decimal(1))
    assert str(held()) == solo.held("A1") == "1"


def test_fills_of_the_missing_time_of_a_known_order_are_booked(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT, price="94000", **ONE))
    paper.set_prices({"BTCUSDT": "93900"})

    track(after_s=10)

    assert [(order.status, order.filled) for order in Order.objects.all()] == [("filled", Decimal(1))]
    assert str(held()) == solo.held("A1") == "1"


def test_a_code_of_another_account_is_not_adopted(deliver, paper, solo, caplog):
    other = open_desk(paper, "A2", owner=solo.strategy.owner, group_name="other")
    code = other.strategy_account("A2").code
    place(solo, new_client_order_id(code))
    note_gap()

    compare_accounts(clock=timezone.now)
    compare_accounts(clock=later(60))

    assert (Order.objects.count(), ExternalOrder.objects.count()) == (0, 1)
    said = [row for row in caplog.records if "cannot be adopted" in row.message]
    assert [row.levelname for row in said] == ["ERROR"]
    forget_posts(solo)


def test_an_unknown_code_is_not_adopted_even_by_an_only_strategy_account(solo):
    place(solo, new_client_order_id("zzzzzzzz"))
    note_gap()

    compare_accounts(clock=timezone.now)

    assert (Order.objects.count(), ExternalOrder.objects.count()) == (0, 1)
    forget_posts(solo)


def forget_posts(desk):
    """The rule that every post has a row does not hold for what somebody else sent under our ids."""
    desk.paper.reset()


def test_an_id_without_a_code_is_adopted_by_an_only_strategy_account(solo):
    place(solo, "th" + "0af" * 10)
    note_gap()

    compare_accounts(clock=timezone.now)

    assert Order.objects.get().strategy_account == solo.strategy_account("A1")


def test_an_id_without_a_code_is_not_adopted_where_two_strategy_accounts_might_own_it(paper, solo):
    open_desk(paper, "A1", owner=solo.strategy.owner, group_name="other")
    place(solo, "th" + "0af" * 10)
    note_gap()

    compare_accounts(clock=timezone.now)

    assert (Order.objects.count(), ExternalOrder.objects.count()) == (0, 1)
    forget_posts(solo)


def test_an_order_with_1300_fills_is_adopted_with_all_of_them(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT, price="94000", **{**ONE, "qty": "1.3"}))
    name = Order.objects.get().client_order_id
    restore()
    note_gap()
    paper.fill_in_parts(solo.key("A1"), "BTCUSDT", 1300, client_order_id=name)

    compare_accounts(clock=timezone.now)

    assert (Trade.objects.count(), Order.objects.get().status) == (1300, "filled")
    assert str(held()) == solo.held("A1") == "1.3"


def test_orders_in_symbols_that_the_books_do_not_know_any_more_are_found_by_what_is_held(deliver, solo):
    deliver(solo.alert(BTC_MARKET, symbol="SOL/USDT", **{**ONE, "qty": "10"}))
    restore()
    note_gap()

    assert compare_now([solo.accounts["A1"].pk], MarketType.FUTURES, [BTC], clock=timezone.now)

    assert str(held("SOL/USDT:USDT")) == solo.held("A1", "SOLUSDT") == "10"


def test_fills_that_cannot_be_read_leave_the_order_in_doubt_until_the_tracker_reads_them(
    deliver, paper, solo
):
    deliver(solo.alert(BTC_MARKET, ONE))
    restore()
    note_gap()
    paper.fault(path="/fapi/v1/userTrades", method="GET", action="status", value=500, times=None)

    compare_accounts(clock=timezone.now)
    doubtful = Order.objects.get()
    paper.clear_faults()
    track(after_s=10)

    assert (doubtful.status, doubtful.unknown_since is None) == ("accepted", False)
    assert (Order.objects.get().status, str(held())) == ("filled", "1")


@pytest.mark.parametrize("status", ["initialized", "queued"])
def test_an_order_that_still_waits_in_the_restored_database_is_not_sent_again(deliver, solo, status):
    deliver(solo.alert(BTC_MARKET, ONE))
    wait_again(status)
    note_gap()

    compare_accounts(clock=timezone.now)
    track()

    order = Order.objects.get()
    assert (order.status, order.filled, order.quantity) == ("filled", Decimal(1), Decimal(1))
    assert len(solo.posts("A1")) == 1
    assert str(held()) == solo.held("A1") == "1"


def wait_again(status):
    """As the backup has an order that was sent a moment later."""
    OrderEvent.objects.all().delete()
    Trade.objects.all().delete()
    Position.objects.all().delete()
    Order.objects.update(**UNSENT, status=status)
    if status == "queued":
        order = Order.objects.get()
        OrderEvent.objects.create(
            order=order, at=order.created_at, from_status="initialized", to_status="queued", evidence="local"
        )
    Batch.objects.update(finished_at=None, claimed_until=None)


def test_a_tracker_looks_up_a_waiting_exit_before_it_goes_out_again(deliver, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_CLOSE))
    exit_order = wait_again_to_close()
    note_gap()

    track()

    exit_order.refresh_from_db()
    assert (exit_order.status, exit_order.goal.state) == ("filled", "reached")
    assert len(solo.posts("A1")) == 2
    assert str(held()) == solo.held("A1") == "0"


def test_a_waiting_exit_that_the_exchange_does_not_know_goes_out(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_CLOSE))
    exit_order = wait_again_to_close()
    paper.hand(solo.key("A1"), "futures", "BTCUSDT", "BUY", "1")
    paper.forget(client_order_id=exit_order.client_order_id)
    note_gap()

    track()

    assert (str(held()), solo.held("A1")) == ("0", "0")
    forget_posts(solo)


def test_a_waiting_exit_is_held_back_until_its_look_up_is_answered(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(solo.alert(BTC_CLOSE))
    exit_order = wait_again_to_close()
    note_gap()
    paper.fault(path="/fapi/v1/order", method="GET", action="status", value=500, times=None)

    look_up_waiting(clock=timezone.now)
    held_back = look_up_waiting(clock=timezone.now)
    later_on = look_up_waiting(clock=later(61))
    paper.clear_faults()
    answered = look_up_waiting(clock=timezone.now)

    assert (held_back, later_on, answered) == ({exit_order.batch_id}, set(), set())
    track()


def wait_again_to_close():
    """As the backup has the exit of a moment later, and the position before the exit."""
    order = Order.objects.latest("pk")
    OrderEvent.objects.filter(order=order).delete()
    Trade.objects.filter(order=order).delete()
    Position.objects.update(quantity=1, cost=95000, realized_profit=0)
    Order.objects.filter(pk=order.pk).update(**UNSENT, status="initialized")
    ExitGoal.objects.update(state="working", over_at=None, due_at=timezone.now())
    Batch.objects.filter(pk=order.batch_id).update(finished_at=None, claimed_until=None)
    return order


def test_an_order_that_was_denied_here_and_exists_there_is_shown_as_external(deliver, solo, caplog):
    deliver(solo.alert(BTC_LIMIT))
    wait_again("initialized")
    note_gap()
    Order.objects.update(status="denied", closed_at=timezone.now(), released_at=timezone.now())

    compare_accounts(clock=timezone.now)

    assert [row.levelname for row in caplog.records if "cannot be adopted" in row.message] == ["ERROR"]
    assert ExternalOrder.objects.count() == 1
    Order.objects.all().delete()
    forget_posts(solo)


def test_coins_lead_to_the_spot_orders_that_bought_them(deliver, paper):
    desk = open_desk(paper, "A1", group_name="spot", market_type="SPOT")
    deliver(desk.alert(BTC_MARKET, ONE))
    bought = held("BTC/USDT")
    restore_from_before()
    note_gap()
    note_gap()

    compare_accounts(clock=timezone.now)

    assert held("BTC/USDT") == bought > 0


def test_an_entry_behind_a_gap_goes_out_once_its_account_was_compared(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    restore_from_before()
    note_gap()

    (entry,) = deliver(solo.alert(BTC_MARKET, ONE)).json()["results"]

    assert entry["status"] == "success"
    assert Order.objects.count() == 2  # the adopted one was there first
    assert str(held()) == solo.held("A1") == "2"


def test_an_entry_is_denied_while_its_account_cannot_be_compared(deliver, paper, solo):
    note_gap()
    paper.fault(path="/fapi/v3/positionRisk", action="status", value=503, times=None)

    (entry,) = deliver(solo.alert(BTC_MARKET, ONE)).json()["results"]

    assert (entry["status"], entry["error_code"]) == ("failed", "not_compared")
    assert "track_orders" in entry["error"]
    assert solo.posts("A1") == []


def test_exits_need_no_comparison(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    note_gap()
    paper.fault(path="/fapi/v3/positionRisk", action="status", value=503, times=None)

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert close["status"] == "success"


def test_a_spot_exit_behind_a_gap_waits_for_the_exit_that_the_books_lack(deliver, paper):
    spot = open_desk(paper, "A1", group_name="spot", market_type=MarketType.SPOT)
    paper.set_balances(spot.key("A1"), "spot", {"BTC": "5", "USDT": "1000000"})  # coins of the owner's own
    deliver(spot.alert(BTC_MARKET, ONE))
    before = Order.objects.get().batch_id
    deliver(spot.alert(BTC_CLOSE))
    restore_from_before(before)
    Position.objects.filter(symbol="BTC/USDT").delete()
    record = Order.objects.get()
    Position.objects.create(
        strategy_account=record.strategy_account, symbol=record.symbol,
        quantity=sum(trade.signed_quantity for trade in record.trades.all()),
    )  # fmt: skip
    note_gap()

    deliver(spot.alert(BTC_CLOSE))

    assert len(spot.posts("A1")) == 2  # bought and sold once
