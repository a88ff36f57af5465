"""`manage.py adopt` shows what a restored database lacks, and mends it; `audit_books` reports it."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from orders.models import BookAudit, BooksGap, Order, Position
from orders.outside.books_gap import check_watermark, forget_watermark
from tests.desk import BTC_LIMIT, BTC_MARKET, open_desk
from tests.restore import restore_from_before

pytestmark = pytest.mark.django_db(transaction=True)

ONE = {"qty_per": None, "qty": "1"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


def adopt(**options):
    out = StringIO()
    call_command("adopt", stdout=out, **options)
    return out.getvalue()


def audit(**options):
    out, err = StringIO(), StringIO()
    try:
        call_command("audit_books", stdout=out, stderr=err, **options)
    except CommandError as error:
        err.write(str(error))
    return out.getvalue(), err.getvalue()


def test_adopt_shows_orders_fills_and_positions_and_changes_nothing(deliver, solo):
    deliver(solo.alert(BTC_LIMIT))
    deliver(solo.alert(BTC_MARKET, ONE))
    resting, filled = Order.objects.order_by("pk").values_list("client_order_id", flat=True)
    restore_from_before()

    said = adopt()

    assert f"order without a row: {resting} BTC/USDT:USDT buy LIMIT" in said
    assert f"order without a row: {filled} BTC/USDT:USDT buy MARKET 1, filled, filled 1; solo / A1" in said
    assert f"fill not booked: {filled} BTC/USDT:USDT buy 1 at 95000" in said
    assert "position of BTC/USDT:USDT: the exchange 1, the books 0" in said
    assert "--do" in said
    assert not Order.objects.exists()
    adopt(do=True)


def test_adopt_mends_the_books_once(deliver, solo):
    deliver(solo.alert(BTC_LIMIT))
    deliver(solo.alert(BTC_MARKET, ONE))
    restore_from_before()

    said = [adopt(do=True), adopt(do=True), adopt()]

    assert ["2 orders adopted." in said[0], "0 orders adopted." in said[1]] == [True, True]
    assert "without a row" not in said[2]
    assert "position of" not in said[2]
    assert str(Position.objects.get().quantity) == solo.held("A1") == "1"


def test_missing_fills_of_a_known_order_are_booked(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT, ONE, price="94000"))
    paper.set_prices({"BTCUSDT": "93900"})

    said = adopt(do=True)

    assert "fill not booked" in said
    assert str(Position.objects.get().quantity) == solo.held("A1") == "1"
    assert Order.objects.get().status == "filled"


def test_the_history_begins_with_the_newest_gap(db, paper):
    began = timezone.now() - timedelta(days=3)
    BooksGap.objects.create(began_at=began, noticed_at=timezone.now(), cause="restored")

    assert began.isoformat(timespec="seconds") in adopt()


def test_a_restored_database_is_noticed_before_adopted_orders_make_it_look_new(
    deliver, solo, tmp_path, settings
):
    settings.WATERMARK_FILE = tmp_path / "watermark"
    forget_watermark()
    check_watermark(now=timezone.now())
    deliver(solo.alert(BTC_MARKET, ONE))
    check_watermark(now=timezone.now())
    restore_from_before()
    forget_watermark()

    said = adopt(do=True)

    assert BooksGap.objects.get().began_at.isoformat(timespec="seconds") in said
    forget_watermark()


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", ""])
def test_a_bad_time_or_name_is_refused_with_a_sentence(db, since):
    with pytest.raises(CommandError, match=r"--since must be a time|no active account"):
        adopt(since=since) if since else adopt(account="nobody")


def test_an_exchange_that_does_not_answer_ends_in_an_error(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fault(path="/fapi/v1/openOrders", method="GET", action="status", value=500, times=None)

    with pytest.raises(CommandError, match="did not answer"):
        adopt()


def test_an_audit_finds_what_the_exchange_has_and_the_books_lack(deliver, solo):
    deliver(solo.alert(BTC_LIMIT))
    deliver(solo.alert(BTC_MARKET, ONE))
    agreed = audit()
    restore_from_before()

    err = audit()[1]

    assert agreed[1] == ""
    assert "account A1: order th" in err
    assert "account A1: BTC/USDT:USDT the exchange holds 1, the books 0" in err
    assert not BookAudit.objects.latest().is_clean
    adopt(do=True)


def test_an_audit_finds_an_open_order_that_the_exchange_does_not_list(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    name = Order.objects.get().client_order_id
    Order.objects.update(submitted_at=timezone.now() - timedelta(minutes=5))
    paper.forget(client_order_id=name)

    assert f"order {name} BTC/USDT:USDT is open here and not at the exchange" in audit()[1]


def test_an_audit_asks_no_exchange_where_told_so(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    before = len(paper.requests())

    audit(no_exchanges=True)

    assert len(paper.requests()) == before


def test_an_audit_says_that_an_exchange_did_not_answer(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    paper.fault(path="/fapi/v1/openOrders", method="GET", action="status", value=500, times=None)

    out, err = audit()

    assert "the exchange did not answer" in out
    assert err == ""
