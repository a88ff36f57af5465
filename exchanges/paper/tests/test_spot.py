"""Spot through the real ccxt client."""

import time
from decimal import Decimal

import ccxt
import pytest

BTC = "BTC/USDT"


def spot_balances(paper):
    held = paper.account("alice-key")["balances"]["spot"]
    return {asset: (Decimal(row["free"]), Decimal(row["locked"])) for asset, row in held.items()}


def test_markets_carry_the_filters_that_binance_publishes(spot):
    market = spot.client.market(BTC)

    assert market["precision"]["price"] == "0.01000000"
    assert market["limits"]["amount"]["min"] == "0.00001000"
    assert market["limits"]["cost"]["min"] == "5.00000000"


def test_a_limit_order_below_the_market_rests_and_is_found_by_its_client_id(spot, paper):
    made = spot.create_order(BTC, "limit", "buy", "0.1", "90000", {"clientOrderId": "rests"})

    found = spot.fetch_order(None, BTC, {"clientOrderId": "rests"})

    assert (found["id"], found["status"], found["filled"]) == (made["id"], "open", "0.00000000")
    assert [order["id"] for order in spot.fetch_open_orders(BTC)] == [made["id"]]
    assert spot_balances(paper)["USDT"] == (Decimal(49_991_000), Decimal(9_000))


def test_a_market_order_fills_at_once_and_pays_its_fee_in_what_it_receives(spot, paper):
    order = spot.create_order(BTC, "market", "buy", "0.1")

    assert (order["status"], order["average"]) == ("closed", "95000")
    assert order["fee"] == {"currency": "BTC", "cost": "0.00010000"}
    assert spot_balances(paper) == {"BTC": (Decimal("0.0999"), 0), "USDT": (Decimal(49_990_500), 0)}


def test_a_market_order_by_cost_buys_whole_lots_for_at_most_that_money(spot):
    order = spot.create_market_buy_order_with_cost(BTC, "1000")

    assert Decimal(order["filled"]) == Decimal("0.01052")


def test_a_crossing_limit_fills_at_the_market_price(spot, paper):
    order = spot.create_order(BTC, "limit", "buy", "0.1", "96000")

    assert (order["status"], order["average"]) == ("closed", "95000")
    assert spot_balances(paper)["USDT"] == (Decimal(49_990_500), 0)


def test_a_resting_limit_fills_at_its_own_price_when_the_market_passes(spot, paper):
    spot.create_order(BTC, "limit", "buy", "0.1", "90000", {"clientOrderId": "rests"})

    paper.set_prices({"BTCUSDT": "89000"})

    order = spot.fetch_order(None, BTC, {"clientOrderId": "rests"})
    (trade,) = spot.fetch_my_trades(BTC)
    assert (order["status"], order["average"]) == ("closed", "90000")
    assert (trade["order"], trade["takerOrMaker"], trade["price"]) == (order["id"], "maker", "90000.00000000")
    assert spot_balances(paper)["USDT"] == (Decimal(49_991_000), 0)


def test_a_canceled_order_gives_back_what_it_kept(spot, paper):
    spot.create_order(BTC, "limit", "buy", "0.1", "90000", {"clientOrderId": "rests"})

    canceled = spot.cancel_order(None, BTC, {"clientOrderId": "rests"})

    assert canceled["status"] == "canceled"
    assert canceled["info"]["origClientOrderId"] == "rests"
    assert spot_balances(paper)["USDT"] == (Decimal(50_000_000), 0)


def test_all_open_orders_of_a_symbol_are_canceled_together(spot):
    for price in ("90000", "91000"):
        spot.create_order(BTC, "limit", "buy", "0.1", price)

    canceled = spot.cancel_all_orders(BTC)

    assert [order["status"] for order in canceled] == ["canceled", "canceled"]
    assert spot.fetch_open_orders(BTC) == []


@pytest.mark.parametrize(
    ("side", "kind", "trigger", "limit", "price", "status", "average"),
    [
        ("buy", "market", "96000", None, "97000", "closed", "97000"),
        ("buy", "limit", "96000", "98000", "97000", "closed", "97000"),
        ("buy", "limit", "96000", "96500", "97000", "open", None),
        ("sell", "market", "94000", None, "93000", "closed", "93000"),
        ("sell", "limit", "94000", "92000", "93000", "closed", "93000"),
    ],
)
def test_a_stop_waits_for_its_trigger(spot, paper, side, kind, trigger, limit, price, status, average):
    paper.set_balances("alice-key", "spot", {"BTC": "1"})
    stop = {"triggerPrice": trigger, "clientOrderId": "stop"}
    assert spot.create_order(BTC, kind, side, "0.1", limit, stop)["status"] == "open"

    paper.set_prices({"BTCUSDT": price})

    order = spot.fetch_order(None, BTC, {"clientOrderId": "stop"})
    assert (order["status"], order["average"]) == (status, average)


def test_a_triggered_stop_without_the_money_expires(spot, paper):
    paper.set_balances("alice-key", "spot", {"USDT": "9600"})
    spot.create_order(BTC, "market", "buy", "0.1", None, {"triggerPrice": "96000", "clientOrderId": "poor"})

    paper.set_prices({"BTCUSDT": "97000"})

    assert spot.fetch_order(None, BTC, {"clientOrderId": "poor"})["status"] == "expired"
    assert spot_balances(paper)["USDT"] == (Decimal(9600), 0)


def test_a_stop_that_would_trigger_at_once_is_refused(spot):
    with pytest.raises(ccxt.BaseError, match="Stop price would trigger immediately"):
        spot.create_order(BTC, "market", "buy", "0.1", None, {"triggerPrice": "94000"})


def test_a_client_id_is_taken_while_its_order_is_open(spot):
    spot.create_order(BTC, "limit", "buy", "0.1", "90000", {"clientOrderId": "once"})

    with pytest.raises(ccxt.InvalidOrder, match="Duplicate order sent"):
        spot.create_order(BTC, "limit", "buy", "0.1", "90000", {"clientOrderId": "once"})


def test_a_client_id_may_come_again_after_its_order_has_filled(spot, paper):
    first = spot.create_order(BTC, "market", "buy", "0.1", None, {"clientOrderId": "again"})

    second = spot.create_order(BTC, "market", "buy", "0.1", None, {"clientOrderId": "again"})

    assert second["id"] != first["id"]
    assert spot.fetch_order(None, BTC, {"clientOrderId": "again"})["id"] == second["id"]
    assert len(paper.account("alice-key")["orders"]) == 2


def test_the_rest_of_a_market_order_expires_in_a_thin_book(spot, paper):
    paper.set_liquidity({"BTCUSDT": "0.5"})

    order = spot.create_order(BTC, "market", "buy", "2")

    assert (order["status"], Decimal(order["filled"])) == ("expired", Decimal("0.5"))


def test_a_limit_order_fills_part_by_part_in_a_thin_book(spot, paper):
    paper.set_liquidity({"BTCUSDT": "0.5"})
    made = spot.create_order(BTC, "limit", "buy", "1.2", "95000", {"clientOrderId": "thin"})

    paper.set_prices({"BTCUSDT": "94000"})
    paper.set_prices({"BTCUSDT": "94000"})

    trades = spot.fetch_my_trades(BTC)
    assert (made["info"]["status"], Decimal(made["filled"])) == ("PARTIALLY_FILLED", Decimal("0.5"))
    assert [Decimal(trade["amount"]) for trade in trades] == [Decimal("0.5"), Decimal("0.5"), Decimal("0.2")]
    assert spot.fetch_order(None, BTC, {"clientOrderId": "thin"})["status"] == "closed"


@pytest.mark.parametrize(("in_force", "filled"), [("IOC", "0.5"), ("FOK", "0")])
def test_an_order_for_now_does_not_rest(spot, paper, in_force, filled):
    paper.set_liquidity({"BTCUSDT": "0.5"})

    order = spot.create_order(BTC, "limit", "buy", "1", "95000", {"timeInForce": in_force})

    assert (order["status"], Decimal(order["filled"])) == ("expired", Decimal(filled))


def test_a_post_only_order_never_takes(spot):
    with pytest.raises(ccxt.BaseError, match="Order would immediately match and take"):
        spot.create_order(BTC, "limit", "buy", "0.1", "95000", {"postOnly": True})


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0"}, -1013, "Filter failure: LOT_SIZE"),
        ({"price": "90000.001"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "900000"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "0.00005"}, -1013, "Filter failure: NOTIONAL"),
        ({"quantity": "90"}, -2010, "Account has insufficient balance for requested action."),
        ({"symbol": "NOPE"}, -1121, "Invalid symbol."),
        ({"side": "LONG"}, -1117, "Invalid side."),
        ({"type": "STOP"}, -1116, "Invalid orderType."),
        ({"timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
        ({"quantity": "1e3"}, -1100, "quantity"),
        ({"quantity": ""}, -1102, "quantity"),
        ({"newClientOrderId": "too long " * 9}, -1100, "newClientOrderId"),
    ],
)
def test_a_bad_order_is_refused_by_name(spot, paper, params, code, message):
    paper.set_balances("alice-key", "spot", {"USDT": "20000"})
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1"}

    with pytest.raises(ccxt.BaseError) as refusal:
        spot.privatePostOrder(order | {"price": "90000"} | params)

    assert message in str(refusal.value)
    assert paper.requests()[-1]["outcome"] == f"refused {code}"
    assert paper.account("alice-key")["orders"] == []


def test_what_does_not_exist_is_not_found_and_not_canceled(spot):
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        spot.fetch_order(None, BTC, {"clientOrderId": "nobody"})
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        spot.cancel_order(None, BTC, {"clientOrderId": "nobody"})


def test_trades_are_paged_by_id_order_and_time(spot):
    orders = []
    for _ in range(3):
        orders.append(spot.create_order(BTC, "market", "buy", "0.1"))
        time.sleep(0.002)  # ccxt sorts by milliseconds
    trades = spot.fetch_my_trades(BTC)

    assert spot.fetch_my_trades(BTC, None, None, {"orderId": orders[1]["id"]}) == [trades[1]]
    assert spot.fetch_my_trades(BTC, None, None, {"fromId": trades[1]["id"]}) == trades[1:]
    assert spot.fetch_my_trades(BTC, None, 1) == trades[2:]
    assert spot.fetch_my_trades(BTC, trades[0]["timestamp"]) == trades


def test_balances_and_prices_are_strings(spot):
    assert spot.fetch_balance()["USDT"]["free"] == "50000000.00000000"
    assert spot.fetch_ticker(BTC)["last"] == "95000.00000000"
    assert spot.fetch_tickers([BTC, "ETH/USDT"])["ETH/USDT"]["last"] == "3500.00000000"


def test_a_key_may_trade_and_not_withdraw(spot, paper):
    assert spot.sapiGetAccountApiRestrictions()["enableWithdrawals"] is False

    paper.open_account("alice-key", can_withdraw=True)

    assert spot.sapiGetAccountApiRestrictions()["enableWithdrawals"] is True
