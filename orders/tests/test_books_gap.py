"""A pause of the tracker and a restored database are noticed once, before an entry could go out."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from exchanges.enums import MarketType
from orders.models import BooksGap, Order, TrackerPulse
from orders.outside import books_gap
from orders.outside.account_comparison import compare_now
from orders.outside.books_gap import check_watermark, check_watermark_once, forget_watermark, keep_pulse
from orders.outside.freshness import stale_accounts
from orders.reconciliation.tracker import Tracker
from tests.crash import later, track
from tests.desk import BTC, BTC_LIMIT, BTC_MARKET
from tests.restore import restore_from_before

pytestmark = pytest.mark.django_db(transaction=True)

NOW = timezone.now()
MINUTE = timedelta(minutes=1)


@pytest.fixture
def watermark(tmp_path, settings):
    settings.WATERMARK_FILE = tmp_path / "var" / "watermark"
    forget_watermark()
    yield settings.WATERMARK_FILE
    forget_watermark()


def causes():
    return list(BooksGap.objects.order_by("pk").values_list("cause", flat=True))


def lose_the_file(watermark):
    """The first delivery of a process left it there."""
    watermark.unlink()
    forget_watermark()


def at_once(act, times=3):
    def act_and_close():
        try:
            act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(times) as threads:
        for done in [threads.submit(act_and_close) for _ in range(times)]:
            done.result()


# The pulse


def test_a_pause_of_the_tracker_is_a_gap_from_before_its_last_turn(db):
    keep_pulse(now=NOW)
    keep_pulse(now=NOW + 9 * MINUTE)
    keep_pulse(now=NOW + 20 * MINUTE)

    gap = BooksGap.objects.get()
    assert (gap.cause, gap.noticed_at) == ("tracker_stopped", NOW + 20 * MINUTE)
    assert NOW < gap.began_at < NOW + 9 * MINUTE


def test_two_trackers_note_a_pause_once(db):
    keep_pulse(now=NOW)

    at_once(lambda: keep_pulse(now=NOW + 20 * MINUTE))

    assert causes() == ["tracker_stopped"]


def test_the_pulse_is_written_every_few_seconds_at_most(db):
    keep_pulse(now=NOW)
    keep_pulse(now=NOW + timedelta(seconds=2))

    assert TrackerPulse.objects.get().last_turn_at == NOW


def test_a_clock_that_was_set_back_is_no_pause(db):
    keep_pulse(now=NOW)
    keep_pulse(now=NOW - 20 * MINUTE)
    keep_pulse(now=NOW - 19 * MINUTE)

    assert causes() == []
    assert TrackerPulse.objects.get().last_turn_at == NOW - 19 * MINUTE


def test_each_turn_of_a_tracker_beats(test1):
    Tracker(clock=timezone.now).step(for_s=0)

    assert timezone.now() - TrackerPulse.objects.get().last_turn_at < MINUTE


# The watermark


def test_an_older_database_is_noticed_once_by_two_processes(deliver, test1, watermark):
    deliver(test1.alert(BTC_LIMIT))
    lose_the_file(watermark)
    check_watermark(now=NOW)
    assert causes() == ["restored"]  # the first look, at a database with orders and without a file
    deliver(test1.alert(BTC_LIMIT))
    check_watermark(now=NOW)
    restore_from_before(Order.objects.order_by("pk").first().batch_id)
    forget_watermark()

    at_once(lambda: check_watermark(now=NOW + MINUTE))

    assert causes() == ["restored", "restored"]
    newest = Order.objects.latest("created_at").created_at
    assert newest - 10 * MINUTE < BooksGap.objects.latest().began_at < newest
    test1.paper.reset()


def test_a_process_that_runs_on_notices_the_older_database(deliver, test1, watermark):
    check_watermark(now=NOW)
    deliver(test1.alert(BTC_LIMIT))
    check_watermark(now=NOW)
    restore_from_before()

    check_watermark(now=NOW)
    check_watermark(now=NOW)

    assert causes() == ["restored"]
    test1.paper.reset()


def test_a_new_database_without_orders_has_no_gap(db, watermark):
    check_watermark(now=NOW)

    assert causes() == []
    assert watermark.exists()


def test_a_file_of_another_database_tells_nothing_about_an_empty_one(db, watermark):
    watermark.parent.mkdir()
    watermark.write_text('{"database": "another", "order": 1000000}')

    check_watermark(now=NOW)

    assert causes() == []


@pytest.mark.parametrize("content", ["", "no json", "[]", '{"order": 1}', "null"])
def test_an_unreadable_file_counts_as_missing(deliver, test1, watermark, content):
    deliver(test1.alert(BTC_LIMIT))
    lose_the_file(watermark)
    watermark.write_text(content)

    check_watermark(now=NOW)

    assert causes() == ["restored"]


def test_a_file_that_cannot_be_written_stops_nothing(db, watermark, caplog):
    watermark.parent.write_text("in the way of the folder")

    check_watermark(now=NOW)
    check_watermark(now=NOW)

    assert [row.levelname for row in caplog.records] == ["ERROR"]


def test_without_a_file_in_the_settings_nothing_is_read(db, settings, django_assert_num_queries):
    settings.WATERMARK_FILE = None
    with django_assert_num_queries(0):
        check_watermark(now=NOW)


def test_a_delivery_reads_no_file_and_no_row_for_it(db, watermark, django_assert_num_queries):
    check_watermark_once(now=NOW)
    watermark.unlink()

    with django_assert_num_queries(0):
        check_watermark_once(now=NOW)

    assert not watermark.exists()


# What entries see


def stale(desk, name="A1", at=None):
    pk = desk.accounts[name].pk
    found = stale_accounts([pk], now=at or timezone.now())
    return found.get(pk)


def test_an_account_is_fresh_when_entered_and_stale_ten_minutes_later(test1):
    at = timezone.now()

    assert stale(test1) is None
    assert stale(test1, at=at + 11 * MINUTE).denial(at + 11 * MINUTE).params["why"] == "no_tracker"


def test_stale_accounts_are_found_in_one_statement(test1, django_assert_num_queries):
    at = timezone.now() + 11 * MINUTE
    with django_assert_num_queries(1):
        assert len(stale_accounts([a.pk for a in test1.accounts.values()], now=at)) == 2


def test_the_tracker_keeps_all_accounts_fresh_also_those_without_an_order(test1):
    track(after_s=660)

    assert stale(test1, at=timezone.now() + 12 * MINUTE) is None


def test_a_gap_makes_every_account_stale_until_it_was_compared(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    books_gap._note_gap(timezone.now() - 5 * MINUTE, "restored", timezone.now())
    keep_pulse(now=timezone.now())
    before = stale(test1)

    compared = compare_now([test1.accounts["A1"].pk], MarketType.FUTURES, [BTC], clock=timezone.now)

    assert before.denial(timezone.now()).params["why"] == "gap"
    assert compared == {test1.accounts["A1"].pk}
    assert (stale(test1), stale(test1, "A2") is None) == (None, False)


def test_an_unanswered_question_leaves_the_account_stale(deliver, paper, test1):
    deliver(test1.alert(BTC_MARKET))
    books_gap._note_gap(timezone.now() - 5 * MINUTE, "restored", timezone.now())
    paper.fault(path="/fapi/v1/allOrders", method="GET", action="status", value=500, times=None)

    compared = compare_now([test1.accounts["A1"].pk], MarketType.FUTURES, [BTC], clock=timezone.now)

    assert compared == set()
    assert stale(test1) is not None


@pytest.mark.parametrize("path", ["/fapi/v1/openOrders", "/fapi/v3/positionRisk"])
def test_a_comparison_is_complete_only_with_every_answer(deliver, paper, test1, path):
    deliver(test1.alert(BTC_MARKET))
    paper.fault(path=path, method="GET", action="status", value=500, times=None)

    assert compare_now([test1.accounts["A1"].pk], MarketType.FUTURES, [BTC], clock=later(660)) == set()


def test_a_comparison_for_two_entries_at_once_asks_once(deliver, paper, test1):
    deliver(test1.alert(BTC_MARKET))
    before = len(paper.requests())

    at_once(lambda: compare_now([test1.accounts["A1"].pk], MarketType.FUTURES, [BTC], clock=timezone.now))

    paths = [row["path"] for row in paper.requests()[before:]]
    assert paths.count("/fapi/v1/openOrders") == 1


def test_a_gap_that_is_noticed_during_a_comparison_needs_another_one(deliver, test1, monkeypatch):
    deliver(test1.alert(BTC_MARKET))
    key = [test1.accounts["A1"].pk]

    def note_and_compare(subjects, *, clock):
        books_gap._note_gap(timezone.now() - 5 * MINUTE, "restored", timezone.now() - MINUTE)
        return set(subjects)

    with monkeypatch.context() as patch:
        patch.setattr("orders.outside.account_comparison.compare_holdings", note_and_compare)
        test1.accounts["A1"].__class__.objects.update(compared_at=timezone.now() - 2 * MINUTE)
        compare_now(key, MarketType.FUTURES, [BTC], clock=timezone.now)

    assert stale(test1) is not None
