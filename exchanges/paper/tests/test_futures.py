"""USDT-margined futures through the real ccxt client."""

from decimal import Decimal

import ccxt
import pytest

BTC = "BTC/USDT:USDT"
ETH = "ETH/USDT:USDT"


def position(paper, symbol="BTCUSDT"):
    held = {row["symbol"]: row for row in paper.account("alice-key")["positions"]}
    return Decimal(held[symbol]["positionAmt"]) if symbol in held else Decimal(0)


def wallet(paper):
    return Decimal(paper.account("alice-key")["balances"]["futures"]["USDT"]["balance"])


def test_markets_carry_the_filters_that_binance_publishes(futures):
    market = futures.client.market(BTC)

    assert market["precision"] == {
        "amount": "0.001",
        "price": "0.10",
        "base": "0.00000001",
        "quote": "0.00000001",
    }
    assert [futures.client.market(symbol)["limits"]["cost"]["min"] for symbol in (BTC, ETH)] == ["100", "20"]


def test_a_market_order_opens_a_position_and_pays_its_fee_in_usdt(futures, paper):
    order = futures.create_order(BTC, "market", "buy", "0.1")

    (held,) = futures.fetch_positions([BTC])
    assert (order["status"], order["average"]) == ("closed", "95000.00000")
    assert (held["side"], held["contracts"], held["entryPrice"]) == ("long", "0.1", "95000")
    assert wallet(paper) == 50_000_000 - Decimal("4.75")


def test_positions_average_realize_and_flip(futures, paper):
    futures.create_order(BTC, "market", "buy", "0.1")
    paper.set_prices({"BTCUSDT": "97000"})
    futures.create_order(BTC, "market", "buy", "0.1")
    assert futures.fetch_positions([BTC])[0]["entryPrice"] == "96000"

    paper.set_prices({"BTCUSDT": "98000"})
    futures.create_order(BTC, "market", "sell", "0.3")

    trades = futures.fetch_my_trades(BTC)
    assert [trade["info"]["realizedPnl"] for trade in trades] == ["0", "0", "400"]
    assert position(paper) == Decimal("-0.1")
    assert futures.fetch_positions([BTC])[0]["entryPrice"] == "98000"


def test_a_resting_limit_is_found_filled_and_traded_as_maker(futures, paper):
    futures.create_order(BTC, "limit", "buy", "0.1", "90000", {"clientOrderId": "rests"})
    assert [order["clientOrderId"] for order in futures.fetch_open_orders(BTC)] == ["rests"]

    paper.set_prices({"BTCUSDT": "89999.9"})

    (trade,) = futures.fetch_my_trades(BTC)
    assert futures.fetch_order(None, BTC, {"clientOrderId": "rests"})["average"] == "90000.00000"
    assert (trade["takerOrMaker"], trade["fee"]) == ("maker", {"currency": "USDT", "cost": "1.8"})
    assert futures.fetch_open_orders(BTC) == []


def test_orders_are_canceled_one_by_one_and_together(futures):
    for name in ("one", "two", "three"):
        futures.create_order(BTC, "limit", "buy", "0.1", "90000", {"clientOrderId": name})

    assert futures.cancel_order(None, BTC, {"clientOrderId": "one"})["status"] == "canceled"
    futures.cancel_all_orders(BTC)

    assert [order["status"] for order in futures.fetch_orders(BTC)] == ["canceled"] * 3
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        futures.cancel_order(None, BTC, {"clientOrderId": "one"})


@pytest.mark.parametrize(
    ("kind", "limit", "price", "status"),
    [
        ("market", None, "97000", "closed"),
        ("limit", "98000", "97000", "closed"),
        ("limit", "96000", "97000", "open"),
    ],
)
def test_a_conditional_order_becomes_a_real_one_under_its_client_id(
    futures, paper, kind, limit, price, status
):
    stop = {"triggerPrice": "96000", "clientOrderId": "stop"}
    algo = futures.create_order(BTC, kind, "buy", "0.1", limit, stop)
    assert futures.fetch_order(None, BTC, {"clientOrderId": "stop", "trigger": True})["status"] == "open"
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        futures.fetch_order(None, BTC, {"clientOrderId": "stop"})

    paper.set_prices({"BTCUSDT": price})

    child = futures.fetch_order(None, BTC, {"clientOrderId": "stop"})
    parent = futures.fetch_order(algo["id"], BTC, {"trigger": True})
    assert (child["status"], child["id"] != algo["id"]) == (status, True)
    assert parent["info"]["actualOrderId"] == child["id"]
    assert parent["info"]["algoStatus"] == ("FINISHED" if status == "closed" else "TRIGGERED")
    assert futures.fetch_open_orders(BTC, params={"trigger": True}) == []


def test_a_waiting_conditional_order_is_one_order_of_the_ledger_before_and_after(futures, paper):
    futures.create_order(
        BTC, "market", "buy", "0.1", None, {"triggerPrice": "96000", "clientOrderId": "stop"}
    )
    (waiting,) = paper.account("alice-key")["orders"]
    assert (waiting["clientOrderId"], waiting["status"], waiting["stopPrice"]) == ("stop", "NEW", "96000")

    paper.set_prices({"BTCUSDT": "96000"})

    (order,) = paper.account("alice-key")["orders"]
    assert (order["clientOrderId"], order["status"], order["type"]) == ("stop", "FILLED", "MARKET")


def test_conditional_orders_are_canceled_one_by_one_and_together(futures):
    for name in ("one", "two"):
        futures.create_order(
            BTC, "market", "buy", "0.1", None, {"triggerPrice": "96000", "clientOrderId": name}
        )

    futures.cancel_order(None, BTC, {"clientOrderId": "one", "trigger": True})
    assert [o["clientOrderId"] for o in futures.fetch_open_orders(BTC, params={"trigger": True})] == ["two"]
    futures.cancel_all_orders(BTC, {"trigger": True})

    assert [o["status"] for o in futures.fetch_orders(BTC, params={"trigger": True})] == [
        "canceled",
        "canceled",
    ]


def test_a_triggered_reduce_only_order_without_a_position_is_rejected(futures, paper):
    stop = {"triggerPrice": "94000", "clientOrderId": "stop", "reduceOnly": True}
    futures.create_order(BTC, "market", "sell", "0.1", None, stop)

    paper.set_prices({"BTCUSDT": "93000"})

    assert futures.fetch_order(None, BTC, {"clientOrderId": "stop", "trigger": True})["status"] == "rejected"
    assert paper.account("alice-key")["trades"] == []


def test_a_conditional_order_that_would_trigger_at_once_is_refused(futures):
    with pytest.raises(ccxt.BaseError, match="-2021"):
        futures.create_order(BTC, "market", "buy", "0.1", None, {"triggerPrice": "94000"})


def test_a_stop_at_the_order_endpoint_is_sent_elsewhere(futures):
    order = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "STOP_MARKET",
        "quantity": "0.1",
        "stopPrice": "96000",
    }

    with pytest.raises(ccxt.BaseError, match="-4120"):
        futures.fapiPrivatePostOrder(order)


@pytest.mark.parametrize("params", [{}, {"triggerPrice": "96000"}])
def test_a_client_id_is_taken_while_its_order_is_open(futures, params):
    for _ in range(1):
        futures.create_order(
            BTC, "limit", "buy", "0.1", "96000" if params else "90000", params | {"clientOrderId": "once"}
        )

    with pytest.raises(ccxt.BaseError, match="-4116"):
        futures.create_order(BTC, "limit", "buy", "0.1", "90000", {"clientOrderId": "once"})


def test_a_client_id_may_come_again_after_its_order_has_filled(futures, paper):
    for _ in range(2):
        futures.create_order(BTC, "market", "buy", "0.1", None, {"clientOrderId": "again"})

    assert position(paper) == Decimal("0.2")


def test_reduce_only_closes_what_there_is_and_nothing_more(futures, paper):
    futures.create_order(BTC, "market", "buy", "0.1")

    order = futures.create_order(BTC, "market", "sell", "0.5", None, {"reduceOnly": True})

    assert (order["amount"], order["filled"]) == ("0.1", "0.1")
    assert position(paper) == 0


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_reduce_only_never_increases(futures, paper, side):
    if side == "buy":
        futures.create_order(BTC, "market", "buy", "0.1")

    with pytest.raises(ccxt.BaseError, match="-2022"):
        futures.create_order(BTC, "market", side, "0.1", None, {"reduceOnly": True})


def test_a_resting_reduce_only_order_expires_when_the_position_is_gone(futures, paper):
    futures.create_order(BTC, "market", "buy", "0.1")
    futures.create_order(
        BTC, "limit", "sell", "0.1", "96000", {"reduceOnly": True, "clientOrderId": "profit"}
    )
    futures.create_order(BTC, "market", "sell", "0.1")

    paper.set_prices({"BTCUSDT": "97000"})

    assert futures.fetch_order(None, BTC, {"clientOrderId": "profit"})["status"] == "expired"
    assert position(paper) == 0


def test_leverage_is_kept_per_symbol_and_shrinks_the_margin(futures, paper):
    futures.create_order(BTC, "market", "buy", "1")
    assert Decimal(futures.fetch_balance()["USDT"]["used"]) == 4750

    futures.set_leverage(50, BTC)

    settings = {row["symbol"]: row["longLeverage"] for row in futures.fetch_leverages().values()}
    assert (settings[BTC], settings[ETH]) == (50, 20)
    assert Decimal(futures.fetch_balance()["USDT"]["used"]) == 1900


def test_an_order_needs_its_initial_margin(futures, paper):
    paper.set_balances("alice-key", "futures", {"USDT": "1000"})
    futures.create_order(BTC, "limit", "buy", "0.2", "95000")

    with pytest.raises(ccxt.BaseError, match="-2019"):
        futures.create_order(BTC, "limit", "buy", "0.1", "90000")

    futures.create_order(BTC, "market", "sell", "0.2")
    assert position(paper) == 0


def test_the_rest_of_a_market_order_expires_in_a_thin_book(futures, paper):
    paper.set_liquidity({"BTCUSDT": "0.5"})

    order = futures.create_order(BTC, "market", "buy", "2")

    assert (order["status"], order["filled"]) == ("expired", "0.5")
    assert position(paper) == Decimal("0.5")


def test_a_limit_order_fills_part_by_part_in_a_thin_book(futures, paper):
    paper.set_liquidity({"BTCUSDT": "0.5"})
    futures.create_order(BTC, "limit", "buy", "0.8", "95000", {"clientOrderId": "thin"})
    assert paper.account("alice-key")["orders"][0]["status"] == "PARTIALLY_FILLED"

    paper.set_prices({"BTCUSDT": "95000"})

    assert futures.fetch_order(None, BTC, {"clientOrderId": "thin"})["status"] == "closed"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"quantity": "0.0001"}, -1111),
        ({"quantity": "0"}, -4003),
        ({"quantity": "1001"}, -4005),
        ({"quantity": "0.001"}, -4164),
        ({"price": "90000.01"}, -1111),
        ({"price": "0"}, -4001),
        ({"price": "100000"}, -4016),
        ({"side": "SELL", "price": "90000"}, -4024),
        ({"symbol": "NOPE"}, -1121),
        ({"type": "LIMIT_MAKER"}, -1116),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"newClientOrderId": "a b"}, -1100),
        ({"positionSide": "LONG"}, -4061),
        ({"timeInForce": "GTX", "price": "95000"}, -5022),
        ({"quantity": ""}, -1102),
    ],
)
def test_a_bad_order_is_refused_by_code(futures, paper, params, code):
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1"}

    if code == -4164:
        order["price"] = "50000"
    with pytest.raises(ccxt.BaseError, match=str(code)):
        futures.fapiPrivatePostOrder({"price": "90000"} | order | params)

    assert paper.account("alice-key")["orders"] == []


def test_modes_are_one_way_and_cross_until_changed(futures):
    assert futures.fetch_position_mode(BTC)["hedged"] is False
    with pytest.raises(ccxt.BaseError, match="-4059"):
        futures.set_position_mode(False, BTC)

    futures.set_margin_mode("isolated", BTC)

    assert futures.fetch_margin_modes([BTC])[BTC]["marginMode"] == "isolated"


def test_both_versions_of_account_and_positions_agree(futures):
    futures.create_order(BTC, "market", "sell", "0.1")

    for version in (False, True):
        (held,) = [
            row for row in futures.fetch_positions(None, {"useV2": version}) if row["contracts"] != "0"
        ]
        assert (held["symbol"], held["side"]) == (BTC, "short")
        assert Decimal(futures.fetch_balance({"useV2": version})["USDT"]["total"]) == Decimal("49999995.25")
