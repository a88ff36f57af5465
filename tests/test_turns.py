"""Whose turn it is: order within a batch, between batches, and between accounts."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from exchanges.enums import MarketType
from exchanges.market_data import catalog
from exchanges.models import Account, Market
from orders.models import Order, Position
from tests.crash import track
from tests.desk import BTC, BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, ETH_MARKET, open_desk, order_posts
from tests.factories import AccountFactory, SubscriptionFactory
from tests.waiting import LONG_S, done_within, eventually

pytestmark = pytest.mark.django_db(transaction=True)

POST = {"path": "/fapi/v1/order", "method": "POST"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


def all_end(runs):
    return all(run.finished.wait(LONG_S) for run in runs)


def test_a_second_delivery_of_the_same_symbol_waits_for_the_first(deliver, solo, settings, runs, edge):
    slow = edge.hold("place_order", times=1)
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100
    deliver(solo.alert(BTC_MARKET, qty_per=None, qty="1"))
    slow.wait_for()

    deliver(solo.alert(BTC_CLOSE))

    assert len(solo.posts("A1")) == 1
    slow.release()
    assert all_end(runs)
    assert [order.status for order in Order.objects.order_by("pk")] == ["filled", "filled"]
    assert (solo.held("A1"), Position.objects.get().quantity) == ("0", 0)


def test_a_second_delivery_of_another_symbol_does_not_wait(deliver, solo, settings, runs, edge):
    slow = edge.hold("place_order", times=1)
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100
    deliver(solo.alert(BTC_LIMIT))
    slow.wait_for()
    settings.WEBHOOK_ANSWER_BUDGET_MS = 30_000

    (row,) = deliver(solo.alert(ETH_MARKET)).json()["results"]

    assert row["order_status"] == "filled"
    assert not runs[0].finished.is_set()


def test_a_slow_account_does_not_hold_up_another(deliver, test1, settings, edge):
    edge.hold("place_order", api_key=test1.key("A1"))
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100
    alert = test1.alert(orders=[BTC_LIMIT, BTC_LIMIT | {"price": "89000"}], id="a")
    deliver(alert)
    of_the_other = Order.objects.filter(account__name="A2", status="accepted")
    eventually(lambda: of_the_other.count() == 2, what="the other account's orders")

    results = deliver(alert).json()["results"]

    statuses = [(row["account_name"], row["status"]) for row in results]
    assert statuses.count(("A2", "success")) == 2
    assert statuses.count(("A1", "pending")) == 2


def test_a_cancel_waits_for_the_orders_before_it(deliver, solo, settings, runs, edge):
    slow = edge.hold("place_order")
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100
    deliver(solo.alert(BTC_LIMIT))
    slow.wait_for()

    deliver(solo.alert(CANCEL_ALL))

    assert [row["status"] for row in solo.ledger_orders("A1")] == ["NEW"]
    slow.release()
    assert all_end(runs)
    assert [row["status"] for row in solo.ledger_orders("A1")] == ["CANCELED"]


def test_a_cancel_takes_back_what_the_leg_before_it_placed(deliver, solo):
    legs = [BTC_LIMIT | {"priority": 1}, {"order_type": "CANCEL_ALL_ORDER", "priority": 2}]

    first = deliver(solo.alert(orders=legs, id="a")).json()
    second = deliver(solo.alert(orders=legs, id="a")).json()

    assert [(row["leg"], row["order_status"]) for row in first["results"]] == [
        (0, "canceled"),
        (1, "canceled"),
    ]
    assert (first["summary"]["successful_trades"], first["summary"]["successful_cancels"]) == (1, 1)
    assert second["results"] == first["results"]
    assert [row["status"] for row in solo.ledger_orders("A1")] == ["CANCELED"]


def test_a_closing_leg_closes_what_the_leg_before_it_opened(deliver, solo):
    legs = [BTC_MARKET | {"priority": 1}, BTC_CLOSE | {"priority": 2}]

    results = deliver(solo.alert(orders=legs)).json()["results"]

    assert [(row["side"], row["order_status"], row["quantity"]) for row in results] == [
        ("buy", "filled", "10.526"),
        ("sell", "filled", "10.526"),
    ]
    assert Position.objects.get().quantity == 0


def test_legs_run_by_priority_then_cancels_and_markets_then_resting_ones(deliver, solo):
    deliver(solo.alert(BTC_LIMIT, price="88000"))
    legs = [
        BTC_LIMIT | {"price": "90001"},
        ETH_MARKET,
        {"order_type": "CANCEL_ALL_ORDER", "symbol": "BTC/USDT"},
        BTC_LIMIT | {"price": "90002", "priority": 1},
    ]

    results = deliver(solo.alert(orders=legs)).json()["results"]

    placed = [row["leg"] for row in results if row["leg"] != 2]
    assert placed == [3, 1, 0]
    canceled = {row["price"] for row in results if row["order_status"] == "canceled"}
    assert canceled == {"88000", "90002"}
    assert [row["status"] for row in solo.ledger_orders("A1")] == ["CANCELED", "CANCELED", "FILLED", "NEW"]


def test_one_more_symbol_than_allowed_is_denied(deliver, solo):
    solo.strategy.strategy_accounts.update(max_symbols=1)
    deliver(solo.alert(BTC_MARKET))

    (other,) = deliver(solo.alert(ETH_MARKET)).json()["results"]
    (same,) = deliver(solo.alert(BTC_LIMIT)).json()["results"]

    assert (other["status"], other["error_code"]) == ("failed", "max_symbols")
    assert same["status"] == "success"


def test_nothing_that_adds_risk_goes_out_while_an_outcome_is_unknown(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, qty_per=None, qty="1"))
    paper.fault(**POST, action="drop", when="after")
    deliver(solo.alert(BTC_LIMIT))

    (entry,) = deliver(solo.alert(BTC_LIMIT, price="89000")).json()["results"]
    (other,) = deliver(solo.alert(ETH_MARKET)).json()["results"]
    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    track()
    (again,) = deliver(solo.alert(BTC_LIMIT, price="89000")).json()["results"]

    assert (entry["status"], entry["error_code"]) == ("failed", "earlier_order_unknown")
    assert [other["status"], close["status"], again["status"]] == ["success"] * 3


def test_a_close_waits_while_an_entrys_outcome_is_unknown(deliver, paper, solo, settings, runs):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 1000
    paper.fault(**POST, action="drop", when="after")
    paper.fault(path="/fapi/v1/order", method="GET", action="status", value=503, times=None)
    deliver(solo.alert(BTC_MARKET))

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    paper.clear_faults()
    track()

    assert all_end(runs)
    assert (close["status"], close["order_status"]) == ("pending", "initialized")
    assert [order.status for order in Order.objects.order_by("pk")] == ["filled", "filled"]
    assert (solo.held("A1"), Position.objects.get().quantity) == ("0", 0)


def test_entries_that_come_too_late_are_refused_while_exits_and_cancels_go_out(deliver, solo):
    deliver(solo.alert(BTC_MARKET, qty_per=None, qty="1"))
    solo.strategy.max_lag_s = 60
    solo.strategy.save()
    old = (timezone.now() - timedelta(seconds=600)).isoformat()

    (entry,) = deliver(solo.alert(BTC_LIMIT, timestamp=old)).json()["results"]
    (close,) = deliver(solo.alert(BTC_CLOSE, timestamp=old)).json()["results"]
    cancel = deliver(solo.alert(CANCEL_ALL, timestamp=old))
    (young,) = deliver(solo.alert(BTC_LIMIT, timestamp=timezone.now().isoformat())).json()["results"]

    assert (entry["status"], entry["error_code"]) == ("failed", "stale_signal")
    assert (close["status"], cancel.status_code, young["status"]) == ("success", 200, "success")


def test_without_a_price_a_market_order_is_denied_and_a_close_goes_out(deliver, paper, solo):
    deliver(solo.alert(ETH_MARKET, qty_per=None, qty="1"))
    paper.fault(path="/fapi/v2/ticker/price", action="status", value=503, times=None)

    (entry,) = deliver(solo.alert(BTC_MARKET)).json()["results"]
    (close,) = deliver(solo.alert(BTC_CLOSE, symbol="ETH/USDT", side="buy")).json()["results"]

    assert (entry["status"], entry["error_code"]) == ("failed", "price_unavailable")
    assert close["order_status"] == "filled"


def test_a_symbol_that_only_one_account_lacks_fails_there_alone(deliver, paper, alice, monkeypatch):
    desk = open_desk(paper, "A1", group_name="mixed")
    stranger = AccountFactory(owner=alice, name="B1", exchange="binanceusdm")
    desk.add(stranger, capital=20_000_000)
    know_other_markets("binanceusdm", "ETH/USDT:USDT")

    results = deliver(desk.alert(BTC_LIMIT)).json()["results"]

    assert [(row["account_name"], row["status"], row["error_code"]) for row in results] == [
        ("A1", "success", None),
        ("B1", "failed", "unknown_symbol"),
    ]


def test_the_account_that_lacks_a_symbol_names_what_its_exchange_has_and_nothing_is_traded_by_the_guess(
    deliver, paper, alice
):
    desk = open_desk(paper, "A1", group_name="mixed")
    desk.add(AccountFactory(owner=alice, name="B1", exchange="binanceusdm"), capital=20_000_000)
    know_other_markets("binanceusdm", "BTC/USDT:USDT", named="BTC/USDC:USDC")

    own, other = deliver(desk.alert(BTC_LIMIT)).json()["results"]

    assert (own["status"], other["status"], other["error_code"]) == ("success", "failed", "unknown_symbol")
    assert "BTC/USDC:USDC" in other["error"]
    assert other["order_status"] == "denied"


def test_an_owner_learns_no_candidates_of_a_subscribers_account(deliver, paper, alice, bob):
    desk = open_desk(paper, "A1", owner=alice, group_name="mixed", is_public=True)
    SubscriptionFactory(strategy=desk.strategy, user=bob)
    desk.add(AccountFactory(owner=bob, name="B1", exchange="binanceusdm"), capital=20_000_000)
    know_other_markets("binanceusdm", "BTC/USDT:USDT", named="BTC/USDC:USDC")

    _own, others = deliver(desk.alert(BTC_LIMIT)).json()["results"]

    assert set(others) == {"account_name", "status", "error_code"}
    assert (others["status"], others["error_code"]) == ("not_sent", "unknown_symbol")


def know_other_markets(exchange, symbol, named=""):
    """The database knows one market of another exchange, so that nobody asks that exchange."""
    spec = catalog.open_catalog("paper", MarketType.FUTURES, now=timezone.now()).specs[symbol]
    if named:
        base, _, quote = named.partition(":")[0].partition("/")
        spec = replace(spec, symbol=named, exchange_symbol=base + quote, base=base, quote=quote)
    Market.objects.replace(exchange, [spec], now=timezone.now())


def test_credentials_of_another_account_fail_that_account_alone(deliver, test1):
    other = Account.objects.get(name="A2").sealed_credentials
    Account.objects.filter(name="A1").update(sealed_credentials=other)

    results = deliver(test1.alert(BTC_LIMIT)).json()["results"]

    assert [(row["account_name"], row["error_code"]) for row in results] == [
        ("A1", "credentials_unreadable"),
        ("A2", None),
    ]
    assert test1.posts("A1") == []


def test_an_order_below_the_minimum_says_what_would_do(deliver, solo):
    (row,) = deliver(solo.alert(BTC_LIMIT, qty_per="0.0001")).json()["results"]

    assert (row["status"], row["error_code"]) == ("failed", "below_lot")
    assert "0.002" in row["error"]


def test_leverage_multiplies_futures_only(deliver, paper, solo):
    solo.strategy.strategy_accounts.update(leverage=3)
    spot = open_desk(paper, "A1", group_name="spot", market_type="SPOT", capital=90_000)
    spot.strategy.strategy_accounts.update(leverage=3)

    (futures_row,) = deliver(solo.alert(BTC_LIMIT)).json()["results"]
    (spot_row,) = deliver(spot.alert(BTC_LIMIT)).json()["results"]

    assert (futures_row["quantity"], spot_row["quantity"]) == ("33.333", "0.05")


def test_the_answer_comes_in_time_while_work_goes_on(deliver, paper, solo, settings, runs, edge):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 2500
    slow = edge.hold("place_order")
    numbers = iter(range(89_000, 90_000))

    answer = done_within(3, lambda: deliver(solo.alert(BTC_LIMIT, price=str(next(numbers))))).json()

    assert answer["summary"]["pending_trades"] == 1
    slow.release()
    assert all_end(runs)
    assert {order.status for order in Order.objects.all()} == {"accepted"}
    assert len(order_posts(paper)) == Order.objects.count()
    assert Decimal(solo.held("A1")) == 0
    assert Position.objects.filter(symbol=BTC).count() == 0
