"""An entry whose protective exits cannot be carried out is denied before it is sent; `risk_per` sizes by the stop."""

import dataclasses

import pytest

from exchanges.adapters.binance import BinanceFutures
from exchanges.enums import MarketType, OrderType
from orders.models import Order, Protection
from tests.desk import BTC_MARKET, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ONE = {"qty_per": None, "qty": "1"}
LTC_BUY = {"symbol": "LTC/USDT", "side": "buy", "order_type": "MARKET", "qty": "1"}
LIMIT = {"order_type": "LIMIT", "price": 95000}


@pytest.fixture
def solo(paper):
    paper.set_prices({"BTCUSDT": "100000", "LTCUSDT": "100"})
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def spot(paper, solo):
    return open_desk(paper, "A1", owner=solo.strategy.owner, group_name="spot", market_type=MarketType.SPOT)


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"stop_loss": {"price": 100500}}, "protection_wrong_side"),
        ({"stop_loss": {"price": 99500}, "side": "sell"}, "protection_wrong_side"),
        ({"stop_loss": {"percent": 100}}, "protection_wrong_side"),
        ({"stop_loss": {"price": 96000}, **LIMIT}, "protection_wrong_side"),
        ({"take_profit": {"price": 99000}}, "protection_wrong_side"),
        ({"take_profit": {"offset": 100001}, "side": "sell"}, "protection_wrong_side"),
        ({"stop_loss": {"percent": 5}, "breakeven_after": {"price": 99000}}, "protection_wrong_side"),
        ({"take_profit": {"percent": 5, "portion": 1}, "qty": "0.002"}, "protection_too_small"),
    ],
)
def test_an_entry_that_cannot_be_protected_is_not_sent(deliver, solo, parts, code):
    (row,) = deliver(solo.alert(BTC_MARKET, ONE, parts)).json()["results"]

    assert (row["order_status"], row["error_code"]) == ("denied", code)
    assert solo.posts("A1") == []
    assert not Protection.objects.exists()


def test_a_limit_entry_is_checked_at_its_own_price(deliver, solo):
    (row,) = deliver(solo.alert(BTC_MARKET, ONE, LIMIT, stop_loss={"price": 94000})).json()["results"]

    assert row["order_status"] == "accepted"
    assert Protection.objects.get().state == "waiting"


def test_an_exchange_without_stops_gets_no_protected_entry(deliver, solo, monkeypatch):
    plain = dataclasses.replace(
        BinanceFutures.capabilities, order_types=frozenset({OrderType.MARKET, OrderType.LIMIT})
    )
    monkeypatch.setattr(BinanceFutures, "capabilities", plain)

    (row,) = deliver(solo.alert(BTC_MARKET, ONE, stop_loss={"percent": 5})).json()["results"]

    assert (row["order_status"], row["error_code"]) == ("denied", "protection_unsupported")
    assert solo.posts("A1") == []


def test_a_protected_entry_that_sells_coins_is_denied(deliver, spot):
    (row,) = deliver(spot.alert(LTC_BUY, side="sell", stop_loss={"percent": 5})).json()["results"]

    assert row["order_status"] == "denied"
    assert spot.posts("A1") == []


def test_a_protected_entry_below_the_minimum_at_its_stop_is_denied(deliver, spot):
    (row,) = deliver(spot.alert(LTC_BUY, qty="0.06", stop_loss={"percent": 50})).json()["results"]

    assert (row["order_status"], row["error_code"]) == ("denied", "protection_too_small")


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_the_stop_costs_what_may_be_lost(deliver, solo, side):
    fields = {"qty_per": None, "risk_per": "1", "side": side, "stop_loss": {"offset": 20000}}

    deliver(solo.alert(BTC_MARKET, fields))

    # 1 percent of 20,000,000 is lost at a distance of 20,000.
    assert Order.objects.get(goal__isnull=True).quantity == 10


def test_a_risk_without_a_stop_is_denied(deliver, solo):
    (row,) = deliver(solo.alert(BTC_MARKET, qty_per=None, risk_per="1")).json()["results"]

    assert (row["order_status"], row["error_code"]) == ("denied", "risk_needs_stop")
