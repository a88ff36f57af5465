"""Orders that the account's owner places by hand at the exchange's own app."""

from decimal import Decimal

import pytest

BTC, LTC = "BTC/USDT:USDT", "LTC/USDT"
KEY = "alice-key"


def test_a_hand_order_is_an_order_of_the_account_and_no_request_of_ours(futures, paper):
    before = len(paper.requests())

    made = paper.hand(KEY, "futures", "BTCUSDT", "BUY", "0.5")

    assert paper.requests(since=before) == []
    (order,), (trade,), (held,) = (
        futures.fetch_orders(BTC),
        futures.fetch_my_trades(BTC),
        futures.fetch_positions([BTC]),
    )
    assert (order["id"], order["clientOrderId"], order["status"]) == (
        str(made["orderId"]),
        made["clientOrderId"],
        "closed",
    )
    assert made["clientOrderId"].startswith("web_")
    assert (trade["order"], trade["amount"], held["contracts"]) == (order["id"], "0.5", "0.5")


def test_a_hand_order_with_a_price_rests_and_fills_later(futures, paper):
    made = paper.hand(KEY, "futures", "BTCUSDT", "BUY", "0.5", price="90000", app="ios")
    assert [order["clientOrderId"] for order in futures.fetch_open_orders(BTC)] == [made["clientOrderId"]]

    paper.set_prices({"BTCUSDT": "90000"})

    assert made["clientOrderId"].startswith("ios_")
    assert futures.fetch_order(made["orderId"], BTC)["status"] == "closed"


def test_a_hand_order_on_spot_moves_the_balances(spot, paper):
    paper.hand(KEY, "spot", "LTCUSDT", "BUY", "1")
    paper.hand(KEY, "spot", "LTCUSDT", "SELL", "0.5", price="110")

    balance = spot.fetch_balance()["LTC"]

    assert (Decimal(balance["free"]), Decimal(balance["used"])) == (Decimal("0.499"), Decimal("0.5"))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NOPE"}, "-1121"),
        ({"side": "UP"}, "-1117"),
        ({"quantity": "0"}, "-4003"),
        ({"market": "x"}, "-1104"),
    ],
)
def test_a_bad_hand_order_is_refused_by_code(paper, changes, code):
    order = {"market": "futures", "symbol": "BTCUSDT", "side": "BUY", "quantity": "1"} | changes

    with pytest.raises(ValueError, match=code):
        paper.hand(KEY, **order)


def test_a_conditional_order_by_hand_fires_under_its_own_name(futures, paper):
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "0.5")
    made = paper.hand(KEY, "futures", "BTCUSDT", "SELL", "0.5", triggerPrice="90000", reduceOnly=True)
    (waiting,) = futures.fetch_open_orders(BTC, params={"trigger": True})

    paper.set_prices({"BTCUSDT": "90000"})

    assert waiting["clientOrderId"] == made["clientAlgoId"]
    assert futures.fetch_my_trades(BTC)[-1]["side"] == "sell"
    assert futures.fetch_positions([BTC]) == []


def test_an_owner_cancels_by_hand_what_we_placed(futures, paper):
    stop = {"triggerPrice": "90000", "reduceOnly": True, "clientOrderId": "stop"}
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "0.5")
    futures.create_order(BTC, "market", "sell", "0.5", None, stop)
    futures.create_order(
        BTC, "limit", "sell", "0.5", "97000", {"reduceOnly": True, "clientOrderId": "profit"}
    )
    futures.create_order(BTC, "limit", "buy", "0.5", "80000", {"clientOrderId": "entry"})
    before = len(paper.requests())

    assert paper.cancel_by_hand(KEY, client_order_id="profit") == ["profit"]
    assert sorted(paper.cancel_by_hand(KEY, symbol="BTCUSDT")) == ["entry", "stop"]

    assert len(paper.requests()) == before
    statuses = {row["clientOrderId"]: row["status"] for row in paper.account(KEY)["orders"]}
    assert [statuses[name] for name in ("profit", "entry", "stop")] == ["CANCELED"] * 3
