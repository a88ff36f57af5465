"""History without holes: many fills of one order, and a restored database that an alert meets before any tracker."""

from decimal import Decimal

import pytest
from django.utils import timezone

from orders.models import BooksGap, ExternalOrder, Order, Position, Trade
from orders.outside.books_gap import check_watermark, forget_watermark
from tests.crash import later, track
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, open_desk
from tests.restore import restore_from_before

pytestmark = pytest.mark.django_db(transaction=True)

ONE = {"qty_per": None, "qty": "1"}
ETH = {"symbol": "ETH/USDT", "side": "buy", "order_type": "LIMIT", "price": "3400", "qty": "13"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def watermark(tmp_path, settings):
    settings.WATERMARK_FILE = tmp_path / "watermark"
    forget_watermark()
    check_watermark(now=timezone.now())
    yield
    forget_watermark()


def restore(new_process):
    """The database of before the first order; every process starts anew."""
    check_watermark(now=timezone.now())
    restore_from_before()
    new_process()
    forget_watermark()


def test_an_order_filled_in_1300_trades_while_nothing_polled_is_booked_whole(deliver, paper, solo):
    deliver(solo.alert(ETH))
    name = Order.objects.get().client_order_id
    paper.fill_in_parts(solo.key("A1"), "ETHUSDT", 1300, client_order_id=name)

    track(after_s=10)

    order = Order.objects.get()
    assert (order.status, order.filled, order.unknown_since) == ("filled", Decimal(13), None)
    assert (Trade.objects.count(), str(Position.objects.get().quantity)) == (1300, "13")
    assert solo.held("A1", "ETHUSDT") == "13"


def test_the_first_entry_after_a_restore_waits_for_the_comparison_that_adopts(
    deliver, solo, watermark, new_process
):
    deliver(solo.alert(BTC_LIMIT, ONE))
    deliver(solo.alert(BTC_MARKET, ONE))
    restore(new_process)

    entry = deliver(solo.alert(BTC_MARKET, ONE)).json()

    assert [row["status"] for row in entry["results"]] == ["success"]
    assert BooksGap.objects.get().cause == "restored"
    assert Order.objects.order_by("created_at").first().order_type == "LIMIT"
    assert str(Position.objects.get().quantity) == solo.held("A1") == "2"
    deliver(solo.alert(CANCEL_ALL))
    deliver(solo.alert(BTC_CLOSE))
    assert (str(Position.objects.get().quantity), solo.held("A1")) == ("0", "0")
    assert {row["status"] for row in solo.ledger_orders("A1")} == {"CANCELED", "FILLED"}
    assert not ExternalOrder.objects.exists()


def test_an_entry_after_a_restore_is_denied_while_the_exchange_does_not_answer(
    deliver, paper, solo, watermark, new_process
):
    deliver(solo.alert(BTC_MARKET, ONE))
    restore(new_process)
    paper.fault(path="/fapi/v1/allOrders", method="GET", action="status", value=500, times=None)

    (result,) = deliver(solo.alert(BTC_MARKET, ONE), HTTP_ACCEPT_LANGUAGE="en").json()["results"]

    assert result["error_code"] == "not_compared"
    assert "manage.py track_orders" in result["error"]
    assert len(solo.posts("A1")) == 1
    paper.clear_faults()
    track(after_s=40)
    assert str(Position.objects.get().quantity) == "1"


def test_after_a_pause_of_the_tracker_the_next_turn_compares_with_history(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT, ONE, price="94000"))
    track()
    paper.set_prices({"BTCUSDT": "93900"})
    asked = len(paper.requests())

    track(after_s=3600)

    assert BooksGap.objects.get().cause == "tracker_stopped"
    assert "/fapi/v1/allOrders" in {row["path"] for row in paper.requests()[asked:]}
    assert str(Position.objects.get().quantity) == solo.held("A1") == "1"
    solo.accounts["A1"].refresh_from_db()
    assert solo.accounts["A1"].compared_at > later(3500)()
