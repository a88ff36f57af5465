"""CANCEL_ALL_ORDER with a list of symbols: it cancels these, and neither everything nor nothing."""

import pytest

from orders.models import Cancellation, Order
from tests.desk import BTC, BTC_LIMIT, CANCEL_ALL, ETH, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ETH_LIMIT = BTC_LIMIT | {"symbol": "ETH/USDT", "price": "3000"}
SOL_LIMIT = BTC_LIMIT | {"symbol": "SOL/USDT", "price": "100"}
SOL = "SOL/USDT:USDT"


@pytest.fixture
def desk(deliver, paper, alice):
    desk = open_desk(paper, "A1", "A2", owner=alice)
    deliver(desk.alert(orders=[BTC_LIMIT | {"tag": "grid"}, ETH_LIMIT, SOL_LIMIT]))
    return desk


def working():
    rows = Order.objects.filter(status="accepted").values_list("account__name", "symbol")
    return {name: {symbol for account, symbol in rows if account == name} for name in ("A1", "A2")}


@pytest.mark.parametrize("name", ["symbol", "symbols"])
def test_a_list_of_symbols_cancels_these_and_leaves_the_others_working(deliver, desk, name):
    answer = deliver(desk.alert(CANCEL_ALL, {name: ["BTCUSDT", "ETHUSDT.P", "BTC/USDT"]})).json()

    assert working() == {"A1": {SOL}, "A2": {SOL}}
    assert {row["symbol"] for row in answer["results"]} == {BTC, ETH}
    assert (answer["action"], answer["summary"]["successful_cancels"]) == ("cancel_all_orders", 4)
    assert Cancellation.objects.count() == 4  # one for each account and market, however often it is named


@pytest.mark.parametrize(
    ("symbols", "code"),
    [
        (["BTCUSDT", "BTCUDST"], "invalid_symbol"),
        (["BTCUSDT", ""], "invalid_symbol"),
        (["BTCUSDT", None], "invalid_symbol"),
        (["BTCUSDT", ["ETHUSDT"]], "invalid_symbol"),
        ([], "invalid_symbol"),
        ([""], "invalid_symbol"),
        (["{{ticker}}"], "placeholder_not_filled"),
        (["BTCUSDT"] * 31, "batch_too_large"),
    ],
)
def test_a_list_with_a_symbol_that_nobody_knows_says_so_and_cancels_nothing(deliver, desk, symbols, code):
    refused = deliver(desk.alert(CANCEL_ALL, symbol=symbols))

    assert (refused.status_code, refused.json()["code"]) == (400, code)
    assert working() == {"A1": {BTC, ETH, SOL}, "A2": {BTC, ETH, SOL}}
    assert not Cancellation.objects.exists()


def test_the_unknown_symbol_of_a_list_is_named_with_what_it_may_mean(deliver, desk):
    legs = [{**CANCEL_ALL, "symbol": "SOLUSDT"}, {**CANCEL_ALL, "symbol": ["ETHUSDT", "BTCUDST"]}]

    error = deliver(desk.alert(orders=legs)).json()["error"]

    assert "BTCUDST" in error
    assert BTC in error
    assert "orders[1]" in error


def test_a_list_with_a_tag_and_a_side_cancels_what_has_both(deliver, desk):
    deliver(desk.alert(CANCEL_ALL, symbol=["BTCUSDT", "ETHUSDT"], tag="grid", side="buy"))
    deliver(desk.alert(CANCEL_ALL, symbol=["SOLUSDT"], side="sell"))

    assert working() == {"A1": {ETH, SOL}, "A2": {ETH, SOL}}


def test_legs_share_the_list_of_the_top_and_a_legs_own_symbol_wins(deliver, desk):
    deliver(desk.alert(symbol=["BTCUSDT", "ETHUSDT"], orders=[CANCEL_ALL, {**SOL_LIMIT, "price": "99"}]))

    assert working() == {"A1": {SOL}, "A2": {SOL}}
    assert Order.objects.filter(symbol=SOL, status="accepted").count() == 4


@pytest.mark.parametrize("order", [BTC_LIMIT, {"order_type": "CANCEL", "tag": "grid"}])
def test_a_list_on_any_other_order_is_refused_with_what_to_do(deliver, desk, order):
    refused = deliver(desk.alert(order, symbol=["BTCUSDT", "ETHUSDT"]), HTTP_ACCEPT_LANGUAGE="en").json()

    assert refused["code"] == "invalid_symbol"
    assert "Send an entry of orders for each symbol." in refused["error"]
    assert Order.objects.count() == 6
