"""Our books against the exchange: what lasts is shown and freezes new risk; nothing is traded to make it fit."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connections
from django.utils import timezone

from exchanges.adapters.protocol import OrderRequest
from exchanges.enums import MarketType, OrderType, Side
from exchanges.gateway import Call, gateway
from exchanges.vault import credentials_of
from orders.domain.keys import HoldingKey
from orders.models import ExternalOrder, Order, PositionDifference
from orders.outside.differences import Finding, note_differences
from orders.reconciliation.comparison import compare_accounts
from orders.reconciliation.position_differences import declare_external
from orders.reconciliation.tracker import Tracker
from tests.desk import BTC, BTC_CLOSE, BTC_LIMIT, BTC_MARKET, PERSON
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


class Later:
    """Clocks that are past the settling time of fresh trades, each a look further."""

    looks = 0

    def __init__(self):
        Later.looks += 1
        self.ahead = timedelta(minutes=Later.looks)

    def __call__(self):
        return timezone.now() + self.ahead


def trade_by_hand(desk, name, kind, side=Side.BUY, price=None):
    request = OrderRequest("by-hand-1", BTC, side, kind, Decimal("0.5"), price)
    gateway.call(
        Call("paper", MarketType.FUTURES, "place_order", (request,), credentials_of(desk.accounts[name]))
    )


def test_an_order_placed_by_hand_is_recorded_and_left_alone(deliver, test1):
    deliver(test1.alert(BTC_LIMIT))
    trade_by_hand(test1, "A1", OrderType.LIMIT, price=Decimal(91000))

    compare_accounts(clock=Later())
    compare_accounts(clock=Later())

    external = ExternalOrder.objects.get()
    assert (external.account.name, external.client_order_id) == ("A1", "by-hand-1")
    assert Order.objects.count() == 2
    assert [row["status"] for row in test1.ledger_orders("A1")] == ["NEW", "NEW"]


def paths(paper, since):
    return [row["path"] for row in paper.requests()[since:]]


def test_what_is_not_in_use_is_asked_about_once_an_hour(deliver, test1, monkeypatch):
    deliver(test1.alert(BTC_LIMIT))
    now, asked, start = timezone.now(), [], gateway.start

    def note_and_start(calls, answered):
        asked[-1] += [call.args for call in calls if call.verb == "fetch_open_orders"]
        start(calls, answered)

    monkeypatch.setattr(gateway, "start", note_and_start)
    for minutes in (0, 1, 59, 61):
        asked.append([])
        compare_accounts(clock=lambda later=minutes: now + timedelta(minutes=later))

    assert asked == [[(), ()], [(BTC,), (BTC,)], [(BTC,), (BTC,)], [(), ()]]


def test_two_processes_share_the_accounts(deliver, paper, test1):
    deliver(test1.alert(BTC_LIMIT))
    before, clock = len(paper.requests()), Later()

    with ThreadPoolExecutor(2) as threads:
        for look in [threads.submit(reconcile_and_close, clock) for _ in range(2)]:
            look.result()

    assert paths(paper, before).count("/fapi/v1/openOrders") == 2


def reconcile_and_close(clock):
    try:
        compare_accounts(clock=clock)
    finally:
        connections.close_all()


def test_books_that_agree_leave_no_difference(deliver, test1):
    deliver(test1.alert(BTC_MARKET))

    compare_accounts(clock=Later())

    assert not PositionDifference.objects.exists()


def test_a_difference_that_a_second_read_confirms_freezes_new_risk_at_once(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    trade_by_hand(test1, "A1", OrderType.MARKET)
    before = deliver(test1.alert(BTC_LIMIT))

    compare_accounts(clock=Later())

    after = deliver(test1.alert(BTC_LIMIT, price="90001"))

    row = PositionDifference.objects.get()
    assert row.theirs - row.ours == Decimal("0.5")
    assert [r["error_code"] for r in before.json()["results"]] == [None, None]
    assert [r["error_code"] for r in after.json()["results"]] == ["position_differs", None]


def test_an_exit_goes_out_in_spite_of_a_difference(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    trade_by_hand(test1, "A1", OrderType.MARKET)
    for _ in range(3):
        compare_accounts(clock=Later())

    response = deliver(test1.alert(BTC_CLOSE))

    assert [r["error_code"] for r in response.json()["results"]] == [None, None]
    assert test1.held("A1") == "0.5"


def test_a_difference_that_a_person_declares_external_freezes_no_more(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    trade_by_hand(test1, "A1", OrderType.MARKET)
    for _ in range(3):
        compare_accounts(clock=Later())

    declare_external(PositionDifference.objects.get(), actor=PERSON, now=timezone.now())
    compare_accounts(clock=Later())

    response = deliver(test1.alert(BTC_LIMIT))
    assert [r["error_code"] for r in response.json()["results"]] == [None, None]


def test_a_difference_that_went_away_is_settled(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    trade_by_hand(test1, "A1", OrderType.MARKET)
    compare_accounts(clock=Later())
    request = OrderRequest("by-hand-2", BTC, Side.SELL, OrderType.MARKET, Decimal("0.5"))
    gateway.call(
        Call("paper", MarketType.FUTURES, "place_order", (request,), credentials_of(test1.accounts["A1"]))
    )

    compare_accounts(clock=Later())

    assert PositionDifference.objects.get().resolved_at is not None


def test_no_answer_is_not_taken_for_an_empty_account(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    test1.paper.fault(action="status", value=500, method="GET", times=None)

    compare_accounts(clock=Later())

    assert not PositionDifference.objects.exists()


def test_two_trackers_that_see_a_difference_at_once_note_it_once(test1):
    key, now = HoldingKey(test1.accounts["A1"].pk, "FUTURES", BTC), timezone.now()

    for _ in range(2):  # neither has seen the other's row
        note_differences([Finding(key, Decimal(0), Decimal(1))], {}, now=now)

    (row,) = PositionDifference.objects.all()
    assert (row.ours, row.theirs, row.looks) == (0, 1, 1)


def test_a_comparison_that_failed_does_not_stop_the_tracker(deliver, paper, test1, monkeypatch):
    paper.fault(path="/fapi/v1/order", method="POST", action="drop", when="after", times=2)
    deliver(test1.alert(BTC_LIMIT))
    monkeypatch.setattr("orders.reconciliation.tracker.compare_accounts", fail)
    tracker = Tracker(clock=Later())
    with pytest.raises(DatabaseError):
        eventually(lambda: tracker.step(for_s=0.2), what="the failure is met")

    def all_are_found():
        tracker.step(for_s=0.2)
        return set(Order.objects.values_list("status", flat=True)) == {"accepted"}

    eventually(all_are_found, what="the orders are looked up all the same")


def fail(**_):
    raise DatabaseError
