"""Exits and cancels reach whoever holds or works something; entries only who takes part (SPEC section 5)."""

from dataclasses import replace
from decimal import Decimal

import pytest
from django.utils import timezone

from exchanges.enums import MarketType
from exchanges.market_data import catalog
from exchanges.models import Account, Market
from orders.models import ExitGoal, Order, Position
from strategies.models import Subscription
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, open_desk
from tests.factories import AccountFactory, SubscriptionFactory, issue_token

pytestmark = pytest.mark.django_db(transaction=True)

ONE = {"qty_per": None, "qty": "1"}


@pytest.fixture
def follow1(paper, alice, bob):
    desk = open_desk(paper, "A1", group_name="follow1", is_public=True)
    SubscriptionFactory(user=bob, strategy=desk.strategy)
    desk.add(AccountFactory(owner=bob, name="S1"), capital=1_000_000)
    return desk


@pytest.fixture
def bobs(bob):
    return {"token": issue_token(bob)}


def end_subscription(desk):
    Subscription.objects.update(is_active=False)


def make_private(desk):
    desk.strategy.is_public = False
    desk.strategy.save()


def switch_strategy_off(desk):
    desk.strategy.is_active = False
    desk.strategy.save()


def switch_account_off(desk):
    desk.accounts["S1"].is_active = False
    desk.accounts["S1"].save()


def switch_strategy_account_off(desk):
    desk.strategy.strategy_accounts.filter(account__name="S1").update(is_active=False)


LEAVING = [
    end_subscription, make_private, switch_strategy_off, switch_account_off, switch_strategy_account_off,
]  # fmt: skip


@pytest.mark.parametrize("leave", LEAVING)
def test_an_exit_of_the_owner_reaches_who_left_and_still_holds(deliver, follow1, leave):
    deliver(follow1.alert(BTC_MARKET, ONE))
    leave(follow1)

    results = deliver(follow1.alert(BTC_CLOSE)).json()["results"]

    # Who takes part no more is named only where the holder asks: the row would tell that something is held.
    assert {(row["account_name"], row["status"]) for row in results} == {("A1", "success")}
    assert (follow1.held("A1"), follow1.held("S1")) == ("0", "0")


@pytest.mark.parametrize("leave", LEAVING)
def test_who_left_can_still_cancel_and_leave_with_their_own_token(deliver, follow1, bobs, leave):
    deliver(follow1.alert(BTC_MARKET, ONE))
    deliver(follow1.alert(BTC_LIMIT, ONE))
    leave(follow1)

    canceled = deliver(follow1.alert(CANCEL_ALL, bobs))
    closed = deliver(follow1.alert(BTC_CLOSE, bobs))

    assert [row["order_status"] for row in canceled.json()["results"]] == ["canceled"]
    assert [row["order_status"] for row in closed.json()["results"]] == ["filled"]
    assert (follow1.held("A1"), follow1.held("S1")) == ("1", "0")
    assert Order.objects.get(account__name="A1", order_type="LIMIT").status == "accepted"


@pytest.mark.parametrize("leave", [end_subscription, make_private])
def test_the_token_of_who_left_opens_nothing_once_nothing_is_left(deliver, follow1, bobs, leave):
    deliver(follow1.alert(BTC_MARKET, ONE))
    leave(follow1)
    deliver(follow1.alert(BTC_CLOSE, bobs))

    again, entry = deliver(follow1.alert(BTC_CLOSE, bobs)), deliver(follow1.alert(BTC_MARKET, bobs))

    assert (again.status_code, again.json()["code"]) == (401, "invalid_token")
    assert (entry.status_code, entry.json()["code"]) == (401, "invalid_token")


def test_an_entry_reaches_nobody_who_left(deliver, follow1, bobs):
    deliver(follow1.alert(BTC_MARKET, ONE))
    end_subscription(follow1)

    entry = deliver(follow1.alert(BTC_MARKET, bobs, ONE))
    mixed = deliver(follow1.alert({"orders": [{**BTC_CLOSE, "qty_per": -50}, {**BTC_MARKET, **ONE}]}))

    assert entry.status_code == 401
    assert [(row["account_name"], row["leg"]) for row in mixed.json()["results"]] == [("A1", 0), ("A1", 1)]
    assert (follow1.held("A1"), follow1.held("S1")) == ("1.5", "0.5")


def test_an_inactive_strategy_takes_exits_and_no_entries(deliver, follow1):
    deliver(follow1.alert(BTC_MARKET, ONE))
    switch_strategy_off(follow1)

    entry = deliver(follow1.alert(BTC_MARKET, ONE))
    close = deliver(follow1.alert(BTC_CLOSE))
    nothing_left = deliver(follow1.alert(BTC_CLOSE))

    assert (entry.status_code, entry.json()["code"]) == (404, "strategy_not_found")
    assert close.status_code == 200
    # A subscriber may still hold something: the answer is the same where nobody does.
    assert (nothing_left.status_code, nothing_left.json()["results"]) == (200, [])
    assert follow1.held("A1") == "0"


def test_who_left_is_reached_for_what_they_hold_only(deliver, follow1):
    deliver(follow1.alert(BTC_MARKET, ONE))
    end_subscription(follow1)

    results = deliver(follow1.alert(BTC_CLOSE, symbol="ETH/USDT")).json()["results"]

    assert [row["account_name"] for row in results] == ["A1"]


@pytest.mark.parametrize("who", ["bob", "charlie"])
def test_an_inactive_strategy_tells_nothing_to_a_token_that_opens_nothing(
    deliver, follow1, bob, charlie, who
):
    deliver(follow1.alert(BTC_MARKET, ONE))
    end_subscription(follow1)
    deliver(follow1.alert(BTC_CLOSE))
    deliver(follow1.alert(BTC_MARKET, ONE))
    switch_strategy_off(follow1)
    token = {"token": issue_token({"bob": bob, "charlie": charlie}[who])}

    answers = [deliver(follow1.alert(leg, token)) for leg in (BTC_CLOSE, CANCEL_ALL)]

    assert [answer.json()["code"] for answer in answers] == ["invalid_token", "invalid_token"]
    assert follow1.held("A1") == "1"


@pytest.fixture
def elsewhere(deliver, follow1):
    """S1 left, and holds BTC at another exchange, where BTCUSDT is the name of two markets."""
    deliver(follow1.alert(BTC_MARKET, ONE))
    specs = catalog.open_catalog("paper", MarketType.FUTURES, now=timezone.now()).specs
    coin = replace(specs["BTC/USDT:USDT"], symbol="BTC/USDT:BTC")
    Market.objects.replace("binanceusdm", [specs["BTC/USDT:USDT"], coin], now=timezone.now())
    Account.objects.filter(name="S1").update(exchange="binanceusdm")
    switch_strategy_account_off(follow1)
    yield follow1
    Account.objects.filter(name="S1").update(exchange="paper")


@pytest.mark.parametrize("symbol", ["ETHUSDT", "BTCUSDT"], ids=["unknown there", "ambiguous there"])
@pytest.mark.parametrize(
    "legs", [[BTC_MARKET | ONE], [BTC_CLOSE], [CANCEL_ALL], [BTC_CLOSE, BTC_MARKET | ONE]]
)
def test_an_exchange_where_nobody_takes_part_refuses_no_delivery(deliver, elsewhere, legs, symbol):
    orders = [leg | {"symbol": symbol} for leg in legs]

    answer = deliver(elsewhere.alert(orders=orders)).json()

    assert answer["success"], answer
    assert {row["account_name"] for row in answer["results"]} <= {"A1"}
    assert answer["summary"]["total_accounts"] == 1


def test_an_exit_names_who_holds_something_at_an_exchange_without_markets(deliver, follow1, bobs):
    deliver(follow1.alert(BTC_MARKET, ONE))
    Account.objects.filter(name="S1").update(exchange="closed-down")
    switch_strategy_account_off(follow1)

    mine = deliver(follow1.alert(BTC_CLOSE, bobs)).json()["results"]
    owners = deliver(follow1.alert(BTC_CLOSE)).json()["results"]

    assert [(row["account_name"], row["error_code"]) for row in mine] == [("S1", "markets_unavailable")]
    assert [(row["account_name"], row["error_code"]) for row in owners] == [("A1", None)]
    Account.objects.filter(name="S1").update(exchange="paper")


# CANCEL of what is over


def test_a_cancel_of_an_order_that_is_over_says_so(deliver, paper, alice):
    desk = open_desk(paper, "A1")
    (placed,) = deliver(desk.alert(BTC_MARKET, ONE)).json()["results"]
    cancel = {"order_type": "CANCEL", "order_id": placed["client_order_id"]}

    answer = deliver(desk.alert(cancel)).json()
    preview = deliver(desk.alert(cancel, dry_run=True)).json()

    for body in (answer, preview):
        (row,) = body["results"]
        assert (row["status"], row["error_code"], row["order_status"]) == (
            "failed",
            "order_not_open",
            "filled",
        )
        assert body["summary"]["failed_cancels"] == 1


@pytest.mark.parametrize("leg", [BTC_LIMIT, {**BTC_CLOSE, "order_type": "LIMIT", "price": "120000"}])
def test_a_second_cancel_says_that_the_order_is_over(deliver, paper, alice, leg):
    desk = open_desk(paper, "A1")
    deliver(desk.alert(BTC_MARKET, ONE))
    (placed,) = deliver(desk.alert(leg)).json()["results"]
    cancel = {"order_type": "CANCEL", "order_id": placed["client_order_id"]}

    preview, first, second = (
        deliver(desk.alert(cancel, more)).json() for more in ({"dry_run": True}, {"id": "1"}, {"id": "2"})
    )
    repeated = deliver(desk.alert(cancel, id="1")).json()

    assert [body["results"][0]["status"] for body in (preview, first, repeated)] == ["success"] * 3
    assert preview["results"][0]["order_status"] == "accepted"
    (row,) = second["results"]
    assert (row["status"], row["error_code"], row["order_status"]) == ("failed", "order_not_open", "canceled")


def test_a_cancel_of_an_attempt_ends_the_exit_between_two_attempts(deliver, paper, alice):
    desk = open_desk(paper, "A1")
    deliver(desk.alert(BTC_MARKET, ONE))
    paper.fault(path="/fapi/v1/order", method="POST", action="code", value=-2015, times=None)
    (close,) = deliver(desk.alert(BTC_CLOSE)).json()["results"]
    assert (close["status"], close["error_code"], close["remaining"]) == (
        "failed",
        "authentication_failed",
        "1",
    )

    (canceled,) = deliver(desk.alert({"order_type": "CANCEL", "order_id": close["client_order_id"]})).json()[
        "results"
    ]

    again = deliver(desk.alert({"order_type": "CANCEL", "order_id": close["client_order_id"]})).json()
    assert canceled["status"] == "success"
    assert again["results"][0]["error_code"] == "order_not_open"
    assert ExitGoal.objects.get().state == "ended"
    assert Position.objects.get().quantity == Decimal(1)
