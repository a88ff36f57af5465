"""What the exchange remembers of orders and trades, and in which pages and spans it tells."""

import time

import ccxt
import pytest

from exchanges.paper.testing import running_paper_exchange
from exchanges.paper.tests.conftest import KEY

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
DAY_MS = 86_400_000


def rest(futures, name, price="90000", **params):
    return futures.create_order(BTC, "limit", "buy", "0.1", price, {"clientOrderId": name} | params)


def names(paper):
    return [row["clientOrderId"] for row in paper.account(KEY)["orders"]]


def test_an_accepted_order_can_be_forgotten_completely(futures, paper):
    rest(futures, "one")
    rest(futures, "two")

    assert paper.forget(api_key=KEY, client_order_id="one") == ["one"]

    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        futures.fetch_order(None, BTC, {"clientOrderId": "one"})
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        futures.cancel_order(None, BTC, {"clientOrderId": "one"})
    assert [row["clientOrderId"] for row in futures.fetch_open_orders(BTC)] == ["two"]
    assert [row["clientOrderId"] for row in futures.fetch_orders(BTC)] == ["two"]
    paper.set_prices({"BTCUSDT": "89000"})
    assert paper.account(KEY)["positions"][0]["positionAmt"] == "0.1"


def test_a_forgotten_order_holds_no_funds(spot, paper):
    spot.create_order("BTC/USDT", "limit", "buy", "1", "90000", {"clientOrderId": "one"})

    paper.forget(client_order_id="one")

    balance = paper.account(KEY)["balances"]["spot"]["USDT"]
    assert balance == {"free": "50000000", "locked": "0"}


def test_a_conditional_order_can_be_forgotten(futures, paper):
    futures.create_order(
        BTC, "market", "buy", "0.1", None, {"triggerPrice": "96000", "clientOrderId": "stop"}
    )

    assert paper.forget(client_order_id="stop") == ["stop"]

    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        futures.fetch_order(None, BTC, {"clientOrderId": "stop", "trigger": True})
    paper.set_prices({"BTCUSDT": "97000"})
    assert paper.account(KEY)["trades"] == []


def test_ended_orders_are_forgotten_after_a_horizon_and_their_trades_stay(futures, paper):
    rest(futures, "filled", "95000")
    rest(futures, "canceled")
    futures.cancel_order(None, BTC, {"clientOrderId": "canceled"})
    rest(futures, "rests")

    assert paper.forget(older_than_s=60) == []
    assert paper.forget(symbol="ETHUSDT") == []
    assert paper.forget(unfilled=True) == ["canceled"]
    assert paper.forget(symbol="BTCUSDT") == ["filled"]

    assert names(paper) == ["rests"]
    assert len(futures.fetch_my_trades(BTC)) == 1


def test_an_older_order_of_a_reused_client_id_is_found_again(futures, paper):
    first, second = (rest(futures, "again", "95000") for _ in range(2))

    paper.forget(orderId=second["id"])

    assert futures.fetch_order(None, BTC, {"clientOrderId": "again"})["id"] == first["id"]


def test_forgotten_orders_stay_forgotten_after_a_restart(tmp_path):
    with running_paper_exchange(state=tmp_path / "state") as paper:
        made = paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
        kept = paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
        paper.forget(client_order_id=made["clientOrderId"])

    with running_paper_exchange(state=tmp_path / "state") as paper:
        assert names(paper) == [kept["clientOrderId"]]
        assert len(paper.account(KEY)["trades"]) == 2


def test_1300_fills_of_one_order_are_read_page_by_page(futures, paper):
    order = futures.create_order(ETH, "limit", "buy", "13", "3400", {"clientOrderId": "many"})

    made = paper.fill_in_parts(KEY, "ETHUSDT", 1300, market="futures", client_order_id="many")

    assert made["count"] == 1300
    assert futures.fetch_order(None, ETH, {"clientOrderId": "many"})["filled"] == "13"
    asked = {"symbol": "ETHUSDT", "orderId": order["id"]}
    first = futures.fapiPrivateGetUserTrades(asked | {"limit": 1000, "fromId": 0})
    rest = futures.fapiPrivateGetUserTrades(asked | {"limit": 1000, "fromId": int(first[-1]["id"]) + 1})
    assert (len(first), len(rest)) == (1000, 300)
    assert {row["qty"] for row in first + rest} == {"0.01"}
    assert len(futures.fapiPrivateGetUserTrades(asked)) == 500
    ids = [int(row["id"]) for row in first + rest]
    assert ids == sorted(set(ids))


def test_a_spot_order_is_filled_in_parts_with_a_remainder_in_the_last(spot, paper):
    spot.create_order("LTC/USDT", "limit", "buy", "1", "100", {"clientOrderId": "many"})

    paper.fill_in_parts(KEY, "LTCUSDT", 3, client_order_id="many")

    trades = spot.fetch_my_trades("LTC/USDT")
    assert [trade["amount"] for trade in trades] == ["0.33300000", "0.33300000", "0.33400000"]
    assert paper.account(KEY)["orders"][0]["status"] == "FILLED"


def test_a_resting_order_is_filled_in_part(futures, paper):
    rest(futures, "one")

    paper.fill_in_parts(KEY, "BTCUSDT", 2, client_order_id="one", quantity="0.04")

    order = futures.fetch_order(None, BTC, {"clientOrderId": "one"})
    assert (order["status"], order["filled"], order["remaining"]) == ("open", "0.04", "0.06")
    assert [trade["amount"] for trade in futures.fetch_my_trades(BTC)] == ["0.02", "0.02"]


def test_a_reduce_only_order_is_never_filled_beyond_the_position(futures, paper):
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
    futures.create_order(BTC, "limit", "sell", "1", "97000", {"reduceOnly": True, "clientOrderId": "profit"})
    paper.hand(KEY, "futures", "BTCUSDT", "SELL", "0.6")

    with pytest.raises(ValueError, match="-2022"):
        paper.fill_in_parts(KEY, "BTCUSDT", 1, client_order_id="profit")


def test_an_order_has_no_more_parts_than_steps(futures, paper):
    rest(futures, "one")

    for wanted in ({"count": 101, "client_order_id": "one"}, {"count": 1, "client_order_id": "two"}):
        with pytest.raises(ValueError, match="code"):
            paper.fill_in_parts(KEY, "BTCUSDT", **wanted)

    assert paper.account(KEY)["trades"] == []


@pytest.mark.parametrize("ask", ["fapiPrivateGetUserTrades", "fapiPrivateGetAllOrders"])
def test_futures_tell_seven_days_at_a_time(futures, paper, ask):
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
    read, now = getattr(futures, ask), int(time.time() * 1000)

    def rows(**span):
        return len(read({"symbol": "BTCUSDT"} | span))

    assert rows() == 1
    assert rows(startTime=now - 7 * DAY_MS + 60_000) == 1
    assert rows(startTime=now - 8 * DAY_MS) == 0
    assert rows(endTime=now - DAY_MS) == 0
    with pytest.raises(ccxt.BaseError, match="-4165"):
        rows(startTime=now - 8 * DAY_MS, endTime=now)


@pytest.mark.parametrize("ask", ["privateGetMyTrades", "privateGetAllOrders"])
def test_spot_tells_a_day_at_a_time(spot, paper, ask):
    paper.hand(KEY, "spot", "BTCUSDT", "BUY", "1")
    read, now = getattr(spot, ask), int(time.time() * 1000)

    def rows(**span):
        return len(read({"symbol": "BTCUSDT"} | span))

    assert rows() == 1
    assert rows(startTime=now - DAY_MS + 60_000) == 1
    assert rows(startTime=now - 2 * DAY_MS) == 0
    assert rows(endTime=now + 60_000) == 1
    with pytest.raises(ccxt.BaseError, match="-1127"):
        rows(startTime=now - 2 * DAY_MS, endTime=now)


def test_a_book_of_a_total_is_used_up_until_it_is_filled_again(futures, spot, paper):
    paper.set_liquidity({"BTCUSDT": {"total": "3"}})

    first = futures.create_order(BTC, "market", "buy", "2")
    second = futures.create_order(BTC, "market", "buy", "2")
    third = spot.create_order("BTC/USDT", "market", "buy", "1")

    assert (first["status"], second["status"], second["filled"]) == ("closed", "expired", "1")
    assert (third["status"], third["filled"]) == ("expired", "0.00000000")
    assert third["info"]["expiryReason"] == "INSUFFICIENT_LIQUIDITY"
    assert paper.set_liquidity({}) == {"BTCUSDT": {"total": "0", "each": None}}
    paper.set_liquidity({"BTCUSDT": {"total": "1", "each": "0.5"}})
    assert spot.create_order("BTC/USDT", "market", "buy", "1")["filled"] == "0.50000000"
    paper.set_liquidity({"BTCUSDT": None})
    assert futures.create_order(BTC, "market", "sell", "3")["status"] == "closed"


def test_a_resting_order_waits_for_a_book_that_is_used_up(futures, paper):
    paper.set_liquidity({"BTCUSDT": {"total": "0.05"}})
    rest(futures, "rests")

    for _ in range(2):
        paper.set_prices({"BTCUSDT": "90000"})

    order = futures.fetch_order(None, BTC, {"clientOrderId": "rests"})
    assert (order["status"], order["filled"]) == ("open", "0.05")
