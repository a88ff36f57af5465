"""Reduce-only orders that together are larger than the position."""

import ccxt
import pytest

from exchanges.paper.tests.conftest import KEY

BTC = "BTC/USDT:USDT"
CLOSE = {"reduceOnly": True}


def sell(futures, quantity, price=None, **params):
    kind = "limit" if price else "market"
    return futures.create_order(BTC, kind, "sell", quantity, price, CLOSE | params)


def held(paper):
    return paper.account(KEY)["positions"][0]["positionAmt"]


@pytest.fixture
def poor(futures, paper):
    """A poor account, long 1."""
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
    paper.open_account(KEY, poor=True)
    return futures


def test_a_poor_account_cannot_close_what_a_resting_order_closes(poor, paper):
    sell(poor, "1", "97000", clientOrderId="profit")

    with pytest.raises(ccxt.BaseError, match="-4118"):
        sell(poor, "1")

    poor.cancel_order(None, BTC, {"clientOrderId": "profit"})
    sell(poor, "1")
    assert held(paper) == "0"


def test_the_room_is_what_resting_orders_leave(poor):
    sell(poor, "0.6", "97000")

    sell(poor, "0.4", "98000")

    with pytest.raises(ccxt.BaseError, match="-4118"):
        sell(poor, "0.001", "99000")


def test_a_rich_account_closes_all_the_same(futures, paper):
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
    sell(futures, "1", "97000")

    sell(futures, "1")

    assert held(paper) == "0"


def test_free_margin_decides_without_the_switch(futures, paper):
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
    sell(futures, "1", "97000")
    paper.set_balances(KEY, "futures", {"USDT": "4800"})

    with pytest.raises(ccxt.BaseError, match="-4118"):
        sell(futures, "1")


def test_an_untriggered_stop_takes_no_room(poor, paper):
    sell(poor, "1", triggerPrice="90000")

    sell(poor, "1")

    assert held(paper) == "0"


def test_a_triggered_stop_without_room_is_rejected(poor, paper):
    sell(poor, "1", "97000")
    sell(poor, "1", triggerPrice="94000", clientOrderId="stop")

    paper.set_prices({"BTCUSDT": "94000"})

    assert poor.fetch_order(None, BTC, {"clientOrderId": "stop", "trigger": True})["status"] == "rejected"
    assert held(paper) == "1"


def test_an_order_above_the_position_is_lowered_to_the_position(futures, paper):
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")

    resting = sell(futures, "3", "97000")

    assert (resting["amount"], resting["status"]) == ("1", "open")


def test_a_resting_order_expires_with_what_it_closed(futures, paper):
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
    sell(futures, "1", "97000", clientOrderId="profit")
    paper.hand(KEY, "futures", "BTCUSDT", "SELL", "0.6")

    paper.set_prices({"BTCUSDT": "97000"})

    order = futures.fetch_order(None, BTC, {"clientOrderId": "profit"})
    assert (order["status"], order["filled"]) == ("expired", "0.4")
    assert held(paper) == "0"


def test_a_resting_order_waits_in_an_empty_book(futures, paper):
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
    sell(futures, "1", "97000", clientOrderId="profit")
    paper.set_liquidity({"BTCUSDT": "0"})

    paper.set_prices({"BTCUSDT": "97000"})

    assert futures.fetch_order(None, BTC, {"clientOrderId": "profit"})["status"] == "open"
