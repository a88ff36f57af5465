"""Prices relative to the market: counted once, at the leg's turn, from the last price of the account's own exchange."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from django.core.cache import cache
from django.utils import timezone

from exchanges.enums import MarketType
from exchanges.market_data import prices
from exchanges.registry import EXCHANGES
from orders.execution import batch_run, batches
from orders.execution.client import ExecutionClient
from orders.models import ExitGoal, Order
from orders.models.order import OrderQuerySet
from strategies.models import Strategy
from strategies.models.strategy import PassedStop
from tests.crash import abandon_all, dying_at, never_run, track
from tests.desk import BTC, BTC_CLOSE, BTC_LIMIT, BTC_MARKET, open_desk
from tests.factories import AccountFactory
from tests.waiting import LONG_S, eventually

pytestmark = pytest.mark.django_db(transaction=True)

ENTRY = BTC_LIMIT | {"qty_per": None, "qty": "1", "price": "-1%"}
OPEN = BTC_MARKET | {"qty_per": None, "qty": "1"}
TAKE_PROFIT = BTC_CLOSE | {"order_type": "LIMIT", "price": "+1%"}
STOP = BTC_CLOSE | {"order_type": "STOP_MARKET", "stop_price": "-2%"}
POST = {"path": "/fapi/v1/order", "method": "POST"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


def move(paper, price, symbol="BTCUSDT"):
    paper.set_prices({symbol: price})
    cache.clear()  # as after PRICE_MAX_AGE_S


def working(desk, name="A1"):
    """Price and trigger of what rests at the exchange."""
    return [(o["price"], o["stopPrice"]) for o in desk.ledger_orders(name) if o["status"] == "NEW"]


@pytest.mark.parametrize(
    ("price", "at_exchange"),
    [
        ("-1%", "94050"),
        ("-0.333%", "94683.6"),  # 94683.65: a buy is never rounded to a worse price
        ("-10 ticks", "94999"),
        ("-1 tick", "94999.9"),
        ("-100d", "94900"),
        ("-.05d", "94999.9"),
    ],
)
def test_a_limit_entry_counts_from_the_last_price(deliver, solo, price, at_exchange):
    (row,) = deliver(solo.alert(ENTRY, price=price)).json()["results"]

    assert (row["status"], row["price"]) == ("success", at_exchange)
    assert working(solo)[0][0] == at_exchange
    assert Order.objects.get().price == Decimal(at_exchange)


def test_a_sell_is_rounded_up(deliver, solo):
    (row,) = deliver(solo.alert(ENTRY, side="sell", price="+0.333%")).json()["results"]

    assert row["price"] == "95316.4"


def test_the_size_counts_at_the_price_of_the_turn(deliver, solo):
    (row,) = deliver(solo.alert(BTC_LIMIT, price="-10%", qty_per=5)).json()["results"]

    assert (row["price"], row["quantity"]) == ("85500", "11.695")  # 1,000,000 / 85,500


def test_a_moved_market_moves_the_price(deliver, paper, solo):
    deliver(solo.alert(ENTRY))
    move(paper, "100000")

    (row,) = deliver(solo.alert(ENTRY)).json()["results"]

    assert row["price"] == "99000"


def test_both_prices_of_a_stop_limit_may_be_relative(deliver, solo):
    alert = solo.alert(ENTRY, order_type="STOP_LIMIT", price="+1.5%", stop_price="+10000 ticks")

    (row,) = deliver(alert).json()["results"]

    assert (row["price"], row["stop_price"]) == ("96425", "96000")


def test_spot_counts_from_the_spot_price(deliver, paper):
    desk = open_desk(paper, "A1", market_type=MarketType.SPOT)

    (row,) = deliver(desk.alert(ENTRY, qty="0.1", price="-100.005d")).json()["results"]

    assert (row["price"], row["status"]) == ("94899.99", "success")


def test_each_account_counts_from_the_price_of_its_own_exchange(deliver, paper, solo, monkeypatch):
    monkeypatch.setitem(EXCHANGES, "other", replace(EXCHANGES["paper"], name="other", label="Other"))
    solo.add(AccountFactory(owner=solo.strategy.owner, name="B1", exchange="other"))
    key = ("other", MarketType.FUTURES, BTC)
    prices.remember_prices({key: Decimal(90000)}, now=timezone.now())

    rows = deliver(solo.alert(ENTRY)).json()["results"]

    assert {row["account_name"]: row["price"] for row in rows} == {"A1": "94050", "B1": "89100"}


def test_a_market_leg_drops_a_relative_price_with_a_warning(deliver, solo):
    answer = deliver(solo.alert(OPEN, price="-1%"), HTTP_ACCEPT_LANGUAGE="en").json()

    assert answer["warnings"] == ["MARKET does not use price: it was ignored."]
    assert answer["results"][0]["order_status"] == "filled"
    assert Order.objects.get().terms == {}


@pytest.mark.parametrize("alert", [ENTRY, TAKE_PROFIT], ids=["entry", "exit"])
def test_a_dry_run_shows_the_price(deliver, solo, alert):
    deliver(solo.alert(OPEN))

    (row,) = deliver(solo.alert(alert, dry_run=True)).json()["results"]

    assert row["price"] == ("94050" if alert is ENTRY else "95950")


@pytest.mark.parametrize("price", ["-95000d", "-950001 ticks", "+99999999999999999999d"])
def test_what_is_no_price_is_denied_with_what_to_do(deliver, solo, price):
    (row,) = deliver(solo.alert(ENTRY, price=price), HTTP_ACCEPT_LANGUAGE="en").json()["results"]

    assert (row["status"], row["error_code"]) == ("failed", "relative_price_unusable")
    assert price in row["error"]
    assert "Send a smaller distance, or a number." in row["error"]
    assert solo.ledger_orders("A1") == []


def test_without_a_price_nothing_is_sent(deliver, paper, solo):
    deliver(solo.alert(ENTRY, price="90000", dry_run=True))  # the markets are known
    cache.clear()
    paper.fault(path="/fapi/v2/ticker/price", method="GET", action="status", value=500, times=10)
    paper.fault(path="/fapi/v1/ticker/price", method="GET", action="status", value=500, times=10)

    (row,) = deliver(solo.alert(ENTRY)).json()["results"]

    assert (row["status"], row["error_code"]) == ("failed", "price_unavailable")
    assert solo.ledger_orders("A1") == []


def test_a_limit_of_the_distance_counts_for_a_relative_price_too(deliver, solo):
    solo.strategy.strategy_accounts.update(max_price_distance_percent=5)

    (row,) = deliver(solo.alert(ENTRY, price="-6%")).json()["results"]

    assert row["error_code"] == "max_price_distance"


def test_a_limit_of_the_distance_takes_one_turn_where_the_price_is_known(deliver, solo, monkeypatch):
    """Nobody tells a run of a price that is cached: the order waited for the run's next look."""
    solo.strategy.strategy_accounts.update(max_price_distance_percent=50)
    deliver(solo.alert(ENTRY, price="-6%"))
    turns = []
    submit = batch_run.submit_orders
    monkeypatch.setattr(
        batch_run, "submit_orders", lambda *args, **kwargs: turns.append(1) or submit(*args, **kwargs)
    )

    (row,) = deliver(solo.alert(ENTRY, price="90000")).json()["results"]

    assert row["status"] == "success"
    assert turns == [1]


def test_a_target_is_counted_by_the_relative_price(deliver, solo):
    leg = {"symbol": "BTC/USDT", "order_type": "LIMIT", "price": "-10%", "target_quote": "855000"}

    (row,) = deliver(solo.alert(leg)).json()["results"]

    assert (row["quantity"], row["price"]) == ("10", "85500")


def test_a_target_at_what_is_no_price_is_denied(deliver, solo):
    leg = {"symbol": "BTC/USDT", "order_type": "LIMIT", "price": "-95000d", "target_quote": "855000"}

    (row,) = deliver(solo.alert(leg)).json()["results"]

    assert row["error_code"] == "relative_price_unusable"


def test_the_entry_of_a_reversal_counts_at_its_own_turn(deliver, paper, solo):
    deliver(solo.alert(OPEN, side="sell"))
    leg = {"symbol": "BTC/USDT", "order_type": "LIMIT", "price": "-1%", "market_position": "long", "qty": "1"}
    move(paper, "100000")

    deliver(solo.alert(leg))
    track()

    assert [price for price, _ in working(solo)] == ["99000"]
    assert solo.held("A1") == "0"


# Crashes


def test_after_a_crash_before_the_turn_the_market_of_the_turn_counts(deliver, paper, solo, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batches, "start_run", never_run)
        deliver(solo.alert(ENTRY))
    abandon_all()
    move(paper, "100000")

    track()

    eventually(lambda: [price for price, _ in working(solo)] == ["99000"], what="the order of the turn")


def test_a_price_that_was_rolled_back_counts_for_nothing(deliver, paper, solo):
    with dying_at(OrderQuerySet, "transition", after=True):
        deliver(solo.alert(ENTRY))
    abandon_all()
    move(paper, "100000")
    uncommitted = Order.objects.get().price

    track()

    assert uncommitted is None
    eventually(lambda: [price for price, _ in working(solo)] == ["99000"], what="the order of the turn")


def test_a_price_is_stored_before_it_is_sent_and_an_entry_is_not_sent_again(deliver, paper, solo):
    deliver(solo.alert(ENTRY, dry_run=True))  # the price is known, and the first turn sends
    with dying_at(ExecutionClient, "place"):
        deliver(solo.alert(ENTRY))
    abandon_all()
    stored = Order.objects.get()
    move(paper, "100000")

    for after_s in (0, 12, 24, 36, 90):
        track(after_s=after_s)

    assert (stored.status, stored.price) == ("submitted", Decimal(94050))
    assert Order.objects.get().status == "rejected"
    assert solo.ledger_orders("A1") == []


def test_an_exit_that_a_crash_held_back_keeps_its_price(deliver, paper, solo):
    deliver(solo.alert(OPEN))
    deliver(solo.alert(STOP, dry_run=True))  # the price is known, and the first turn sends
    with dying_at(ExecutionClient, "place"):
        deliver(solo.alert(STOP))
    abandon_all()
    move(paper, "94000")

    for after_s in (0, 12, 24, 36, 90, 100, 110):
        track(after_s=after_s)

    assert [trigger for _, trigger in working(solo)] == ["93100"]
    assert ExitGoal.objects.get().stop_price == 93100


# Exits


@pytest.mark.parametrize(
    ("leg", "level"), [(TAKE_PROFIT, ("95950", "0")), (STOP, ("0", "93100"))], ids=["LIMIT", "STOP_MARKET"]
)
def test_a_resting_exit_counts_from_the_last_price(deliver, solo, leg, level):
    deliver(solo.alert(OPEN))

    (row,) = deliver(solo.alert(leg)).json()["results"]

    assert row["status"] == "success"
    assert [tuple(Decimal(number) for number in found) for found in working(solo)] == [
        tuple(Decimal(number) for number in level)
    ]


def test_a_further_attempt_of_an_exit_keeps_the_price_of_the_first(deliver, paper, solo):
    deliver(solo.alert(OPEN))
    paper.fault(**POST, action="code", value=-1111)
    deliver(solo.alert(TAKE_PROFIT))
    move(paper, "95500")

    track(after_s=5)

    first, second = ExitGoal.objects.get().attempts.order_by("attempt")
    assert (first.price, second.price) == (95950, 95950)
    assert [price for price, _ in working(solo)] == ["95950"]


def test_an_exit_that_was_denied_before_its_price_was_known_keeps_its_distance(deliver, paper, solo):
    deliver(solo.alert(OPEN))
    Strategy.objects.update(trading_state="halted", state_reason="test")
    deliver(solo.alert(STOP))
    Strategy.objects.update(trading_state="active", state_reason="")
    goal = ExitGoal.objects.get()
    move(paper, "94000")

    track(after_s=40)

    assert goal.stop_price is None
    assert [trigger for _, trigger in working(solo)] == ["92120"]
    assert ExitGoal.objects.get().stop_price == 92120


def test_an_exit_without_a_price_of_the_market_goes_on_when_the_price_is_back(deliver, paper, solo):
    deliver(solo.alert(OPEN))
    cache.clear()
    for version in ("v1", "v2"):
        paper.fault(path=f"/fapi/{version}/ticker/price", method="GET", action="status", value=500, times=99)
    deliver(solo.alert(TAKE_PROFIT))
    denied = Order.objects.latest("pk")
    paper.clear_faults()

    track(after_s=40)

    assert (denied.status, denied.reason) == ("denied", "price_unavailable")
    assert [price for price, _ in working(solo)] == ["95950"]


@pytest.mark.parametrize(
    ("leg", "code"),
    [
        (STOP | {"stop_price": "+2%"}, "stop_wrong_side"),
        (STOP | {"stop_price": "-95000d"}, "relative_price_unusable"),
    ],
)
def test_an_exit_that_cannot_be_meant_is_put_before_a_person_and_closes_nothing(deliver, solo, leg, code):
    Strategy.objects.update(passed_stop=PassedStop.MARKET)
    deliver(solo.alert(OPEN))

    (row,) = deliver(solo.alert(leg, side=None)).json()["results"]
    for after_s in (100, 101, 200, 201):
        track(after_s=after_s)

    assert (row["status"], row["error_code"]) == ("failed", code)
    assert solo.held("A1") == "1"
    assert solo.ledger_orders("A1")[1:] == []
    goal = ExitGoal.objects.get()
    assert (goal.state, goal.reason, goal.attempts.count() > 1) == ("needs_person", code, True)


def test_a_stop_that_gave_way_to_what_cannot_be_meant_comes_back(deliver, solo):
    deliver(solo.alert(OPEN))
    deliver(solo.alert(STOP))
    before = working(solo)

    deliver(solo.alert(STOP, stop_price="+2%", side=None))
    for after_s in (2, 5, 10):
        track(after_s=after_s)

    assert working(solo) == before == [("0", "93100")]


@pytest.mark.parametrize(("position", "stop_price"), [("long", "-1%"), ("short", "+1%")])
def test_a_stop_entry_with_the_wrong_sign_is_denied(deliver, solo, position, stop_price):
    alert = solo.alert(ENTRY, order_type="STOP_MARKET", market_position=position, stop_price=stop_price)
    alert |= {"side": None}

    (row,) = deliver(alert).json()["results"]

    assert (row["error_code"], solo.ledger_orders("A1")) == ("stop_wrong_side", [])


def test_a_size_by_risk_counts_from_the_relative_price(deliver, solo):
    alert = solo.alert(ENTRY, qty=None, risk_per=1, stop_loss={"percent": 2}, dry_run=True)

    (row,) = deliver(alert).json()["results"]

    assert (row["price"], row["quantity"]) == ("94050", "106.326")  # 200,000 / (2 % of 94,050)


def test_a_shrinking_position_takes_its_part_at_a_relative_price(deliver, solo):
    deliver(solo.alert(OPEN, qty="2"))
    leg = {
        "symbol": "BTC/USDT", "order_type": "LIMIT", "price": "+1%", "market_position": "long",
        "prev_market_position": "long", "market_position_size": "1", "prev_market_position_size": "2",
    }  # fmt: skip

    deliver(solo.alert(leg))

    assert [
        (o["price"], o["origQty"], o["side"]) for o in solo.ledger_orders("A1") if o["status"] == "NEW"
    ] == [("95950", "1", "SELL")]


def test_a_reduce_only_amount_of_money_is_counted_by_the_relative_price(deliver, solo):
    deliver(solo.alert(OPEN, qty="2"))
    leg = TAKE_PROFIT | {"qty_per": None, "quote_qty": "95950", "reduce_only": True}

    deliver(solo.alert(leg))

    assert [o["origQty"] for o in solo.ledger_orders("A1") if o["status"] == "NEW"] == ["1"]


# An entry that a pause overtook


def test_an_entry_that_a_pause_overtook_keeps_the_price_that_was_decided(
    deliver, paper, solo, runs, edge, settings
):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100
    deliver(solo.alert(ENTRY, price="90000", dry_run=True))
    place = ExecutionClient.place

    def pause_and_place(self, orders):
        if [order.attempt for order in orders] == [1]:
            edge.pause()
        place(self, orders)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExecutionClient, "place", pause_and_place)
        deliver(solo.alert(ENTRY))
        eventually(lambda: Order.objects.count() == 2, what="the next attempt")
        move(paper, "100000")
        edge.end_pauses()
        assert runs[-1].finished.wait(LONG_S)

    first, second = Order.objects.order_by("attempt")
    assert (first.price, second.price) == (94050, 94050)
    assert [price for price, _ in working(solo)] == ["94050"]
    assert "relative" in first.terms
    assert "relative" not in second.terms


# OctoBot and 3Commas


def test_a_message_of_octobot_places_its_relative_price(deliver, solo):
    body = (
        f"GROUP_NAME=solo\nTOKEN={solo.token}\nEXCHANGE=paper\nSYMBOL=BTC/USDT\nSIGNAL=BUY\n"
        "ORDER_TYPE=LIMIT\nPRICE=-100d\nVOLUME=1"
    )

    deliver(body, content_type="text/plain")

    assert [price for price, _ in working(solo)] == ["94900"]


def test_a_signal_of_3commas_places_its_relative_price(deliver, solo):
    order = {"amount": 1, "currency_type": "base", "order_type": "limit", "price_percent": -1}
    body = {
        "group_name": "solo",
        "token": solo.token,
        "secret": "s",
        "bot_uuid": "b",
        "tv_exchange": "BINANCE",
    }
    body |= {"tv_instrument": "BTCUSDT.P", "action": "enter_long", "order": order}

    deliver(json.dumps(body))

    assert [price for price, _ in working(solo)] == ["94050"]
