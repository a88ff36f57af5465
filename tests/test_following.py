"""Working orders are followed by lists, and what moved is looked up and booked."""

from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.utils import timezone

from exchanges.enums import OrderType
from orders.models import LiveTracker, Order, Trade
from orders.reconciliation import following
from orders.reconciliation.following import Answered, Following, ListCall, Place
from orders.reconciliation.open_order_lists import Listing, OpenOrders
from orders.reconciliation.sharing import is_any_alive
from orders.reconciliation.tracker import Tracker
from orders.tasks import track_orders
from tests.crash import later, track
from tests.desk import BTC_LIMIT, CANCEL_ALL, open_desk
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db(transaction=True)

PRICES = ("90000", "89000", "88000")
STOP = {"symbol": "BTC/USDT", "side": "buy", "order_type": "STOP_MARKET", "stop_price": "99000"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


def rest(deliver, desk, prices=PRICES):
    """Limit orders that rest at these prices, one of each."""
    legs = [{**BTC_LIMIT, "qty_per": None, "qty": "1", "price": price} for price in prices]
    deliver(desk.alert(orders=legs))


def asked(paper, desk, *names, since=0):
    """The tracker's questions about orders: lists and look-ups, in order."""
    keys = {desk.key(name) for name in names or desk.accounts}
    questions = ("/fapi/v1/openOrders", "/fapi/v1/openAlgoOrders", "/fapi/v1/order", "/fapi/v1/algoOrder")
    return [
        row["path"].rpartition("/")[2]
        for row in paper.requests(since=since)
        if row["api_key"] in keys and row["method"] == "GET" and row["path"] in questions
    ]


def follow(clock=timezone.now):
    """One round of following, without the tracker's other work."""
    tracker = Tracker(clock=clock)
    tracker._follow(everything=True)
    tracker._wait_for_calls()


def test_one_list_answers_for_all_orders_of_an_account(deliver, paper, solo):
    rest(deliver, solo)
    before, since = timezone.now(), len(paper.requests())

    follow()

    assert asked(paper, solo, since=since) == ["openOrders"]
    orders = Order.objects.all()
    assert all(order.checked_at >= before and order.answered_at >= before for order in orders)
    assert {order.status for order in orders} == {"accepted"}


def test_a_fill_is_booked_at_once_and_the_others_are_not_asked_about(deliver, paper, solo):
    rest(deliver, solo)
    paper.set_prices({"BTCUSDT": "89500"})
    since = len(paper.requests())

    follow()

    assert asked(paper, solo, since=since) == ["openOrders", "order"]
    assert sorted(Order.objects.values_list("price", "status")) == [
        (88000, "accepted"),
        (89000, "accepted"),
        (90000, "filled"),
    ]
    assert Trade.objects.get().price == 90000


def test_a_partial_fill_is_booked(deliver, paper, solo):
    paper.set_liquidity({"BTCUSDT": "0.4"})
    rest(deliver, solo)
    paper.set_prices({"BTCUSDT": "89999"})

    follow()

    assert Order.objects.get(price=90000).filled == Trade.objects.get().quantity > 0


def test_an_order_canceled_by_hand_is_looked_up_and_closed(deliver, paper, solo):
    rest(deliver, solo)
    gone = Order.objects.get(price=89000)
    paper.cancel_by_hand(solo.key("A1"), client_order_id=gone.client_order_id)

    follow()

    assert Order.objects.get(pk=gone.pk).status == "canceled"
    assert Order.objects.filter(status="accepted").count() == 2


def test_stop_orders_are_followed_in_their_own_list(deliver, paper, solo):
    deliver(solo.alert(orders=[{**STOP, "qty": "1"}, {**STOP, "qty": "2"}]))
    since = len(paper.requests())

    follow()
    assert asked(paper, solo, since=since) == ["openAlgoOrders"]
    paper.set_prices({"BTCUSDT": "99500"})
    follow()

    assert set(Order.objects.values_list("status", flat=True)) == {"filled"}


def test_a_list_without_an_answer_says_nothing_and_the_orders_are_looked_up_next(deliver, paper, solo):
    rest(deliver, solo)
    paper.fault(path="/fapi/v1/openOrders", method="GET", action="status", value=500)
    before, since = timezone.now(), len(paper.requests())
    tracker = Tracker(clock=timezone.now)

    tracker._follow(everything=True)
    tracker._wait_for_calls()
    unanswered = list(Order.objects.values_list("checked_at", "answered_at"))
    tracker._follow(everything=True)
    tracker._wait_for_calls()

    assert all(moment is None or moment < before for row in unanswered for moment in row)
    assert asked(paper, solo, since=since) == ["openOrders", "order", "order", "order"]
    assert all(order.checked_at > before for order in Order.objects.all())


def test_a_look_up_without_an_answer_leaves_the_order_unchecked(deliver, paper, solo):
    rest(deliver, solo, ["90000"])
    paper.fault(path="/fapi/v1/order", method="GET", action="status", value=500)

    follow()

    order = Order.objects.get()
    assert order.checked_at is None
    assert order.asked_at is not None


def test_an_order_that_is_younger_than_the_list_is_not_missing(deliver, paper, solo):
    rest(deliver, solo)
    order = Order.objects.earliest("pk")
    place = Place(order.account_id, order.market_type)
    listing = Listing("", frozenset(OrderType))

    def missing(asked_at):
        return following._read_answers([Answered(ListCall(place, listing, asked_at), OpenOrders([]))])

    assert missing(order.submitted_at - timedelta(seconds=1)) == []
    assert missing(timezone.now()) == list(Order.objects.order_by("pk"))


def test_an_order_with_doubts_is_looked_up_though_it_is_listed(deliver, paper, solo):
    rest(deliver, solo)
    doubtful = Order.objects.get(price=90000)
    Order.objects.filter(pk=doubtful.pk).update(absent_reads=2, absent_read_at=timezone.now())
    since = len(paper.requests())

    follow()

    assert asked(paper, solo, since=since) == ["openOrders", "order"]
    assert Order.objects.get(pk=doubtful.pk).absent_reads == 0


def test_an_order_seen_lately_is_not_due(deliver, paper, solo):
    rest(deliver, solo)
    Order.objects.update(checked_at=timezone.now() - timedelta(seconds=3))
    followed = Following(timezone.now)

    followed.start(is_ours=lambda account: True)
    assert not followed.under_way
    Order.objects.update(checked_at=timezone.now() - timedelta(seconds=6))
    followed.start(is_ours=lambda account: True)

    assert followed.under_way == 1


def test_a_hung_account_is_not_asked_twice_and_delays_nobody(deliver, paper, test1, settings):
    settings.EXCHANGE_TIMEOUT_S = 20
    rest(deliver, test1)
    paper.fault(
        path="/fapi/v1/openOrders",
        method="GET",
        api_key=test1.key("A1"),
        action="delay",
        value=3,
        when="before",
    )
    tracker = Tracker(clock=later(10))

    for _ in range(2):
        tracker._follow()
        tracker._collect(timeout_s=1)

    quick = Order.objects.filter(account=test1.accounts["A2"])
    assert all(order.checked_at is not None for order in quick)
    assert tracker._following.under_way == 1
    tracker._wait_for_calls()


# The request weight


def test_scarce_weight_goes_by_turns_of_owners(deliver, paper, solo, monkeypatch):
    """alice has three accounts and bob one: he does not wait for all of hers."""
    other = open_desk(paper, "B1", owner=UserFactory(username="bob"), group_name="other")
    alices = open_desk(paper, "A2", "A3", owner=solo.strategy.owner, group_name="more")
    for desk in (solo, alices, other):
        rest(deliver, desk)
    monkeypatch.setattr(following, "PART_OF_WEIGHT", 0.005)  # room for two lists
    followed = Following(later(10))

    followed.start(is_ours=lambda account: True)
    while followed.under_way:
        followed.wait(1)

    seen = Order.objects.filter(checked_at__isnull=False).values_list("account__owner__username", flat=True)
    assert sorted(set(seen)) == ["alice", "bob"]
    assert len(seen) == 6


# Two trackers


def test_two_trackers_share_the_accounts_and_one_takes_over_all(deliver, paper, alice):
    names = [f"A{number}" for number in range(8)]
    desk = open_desk(paper, *names, owner=alice, group_name="shared", capital=1_000_000)
    deliver(desk.alert(orders=[{**BTC_LIMIT, "qty_per": None, "qty": "1", "price": p} for p in PRICES]))
    clock = later(10)
    trackers = [Tracker(clock=clock), Tracker(clock=clock)]
    for tracker in trackers:
        tracker._sharing.note_turn(now=clock())
    since = len(paper.requests())

    for tracker in trackers:
        tracker._sharing.note_turn(now=clock())
        tracker._follow()
        tracker._wait_for_calls()

    lists = [row for row in paper.requests(since=since) if row["path"] == "/fapi/v1/openOrders"]
    assert len(lists) == len(names)
    assert all(any(t._sharing.has(desk.accounts[name].pk) for t in trackers) for name in names)

    LiveTracker.objects.filter(name=trackers[0]._sharing._name).update(
        seen_at=clock() - timedelta(seconds=11)  # killed
    )
    trackers[1]._sharing.note_turn(now=clock())
    assert all(trackers[1]._sharing.has(desk.accounts[name].pk) for name in names)


def test_a_tracker_that_ends_hands_its_accounts_over_at_once(db):
    now = timezone.now()
    first, second = Tracker(clock=timezone.now), Tracker(clock=timezone.now)
    for tracker in (first, second, first):
        tracker._sharing.note_turn(now=now)
    assert first._sharing.trackers == 2

    second.leave()
    first._sharing.note_turn(now=now)

    assert first._sharing.trackers == 1


def test_the_worker_leaves_following_to_a_live_tracker(deliver, paper, solo):
    rest(deliver, solo)
    Order.objects.update(checked_at=timezone.now() - timedelta(minutes=1))
    row = LiveTracker.objects.create(name="tracker:elsewhere:1:ab", seen_at=timezone.now())
    before = set(Order.objects.values_list("checked_at", flat=True))

    track_orders()
    assert set(Order.objects.values_list("checked_at", flat=True)) == before

    row.delete()
    track_orders()
    assert set(Order.objects.values_list("checked_at", flat=True)).isdisjoint(before)


def test_a_cancel_is_not_taken_for_an_answer(deliver, paper, solo):
    rest(deliver, solo, ["90000"])
    paper.fault(path="/fapi/v1/order", method="DELETE", action="status", value=503, when="before")

    deliver(solo.alert(CANCEL_ALL))

    order = Order.objects.get()
    assert order.asked_at is not None
    assert order.checked_at is None


def test_nothing_is_followed_that_is_in_flight(deliver, paper, solo):
    rest(deliver, solo, ["90000"])
    paper.fault(path="/fapi/v1/order", method="DELETE", action="status", value=503, when="before")
    deliver(solo.alert(CANCEL_ALL))
    since = len(paper.requests())

    follow()

    assert Order.objects.get().status == "pending_cancel"
    assert asked(paper, solo, since=since) == []
    track(after_s=60)


def test_a_tracker_whose_turn_breaks_off_does_not_pass_for_alive(paper, monkeypatch):
    def break_off(**_):
        raise DatabaseError

    tracker = Tracker(clock=timezone.now)
    monkeypatch.setattr(tracker, "_follow", break_off)
    with pytest.raises(DatabaseError):
        tracker.step(for_s=0)
    assert not is_any_alive(now=timezone.now())

    monkeypatch.undo()
    tracker = Tracker(clock=timezone.now)
    tracker.step(for_s=0)
    assert is_any_alive(now=timezone.now())


def test_look_ups_of_moved_orders_leave_weight_to_orders(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    order, tracker, now = Order.objects.get(), Tracker(clock=timezone.now), timezone.now()

    at_once = sum(tracker._has_room_for_urgent(order, now) for _ in range(1000))

    assert 5 <= at_once <= 20  # of six each, in a quarter of a minute's tenth of 2,400
