"""What happens at the exchange without an order of the account's owner."""

from decimal import Decimal

import ccxt
import pytest

from exchanges.paper.testing import running_paper_exchange
from exchanges.paper.tests.conftest import KEY

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def held(paper, key=KEY):
    rows = {row["symbol"]: row["positionAmt"] for row in paper.account(key)["positions"]}
    return rows.get("BTCUSDT", "0")


def wallet(paper, key=KEY):
    return Decimal(paper.account(key)["balances"]["futures"]["USDT"]["balance"])


def income(futures, **params):
    rows = futures.fapiPrivateGetIncome(params)
    return [(row["incomeType"], Decimal(row["income"])) for row in rows]


@pytest.fixture
def long(futures, paper):
    """Long 1 BTC at 95000."""
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
    return futures


def test_a_liquidation_is_an_order_and_a_trade_without_a_request(long, paper):
    long.create_order(BTC, "limit", "sell", "1", "97000", {"reduceOnly": True, "clientOrderId": "profit"})
    before = len(paper.requests())

    made = paper.liquidate(KEY, "BTCUSDT", price="90000")

    assert len(paper.requests()) == before
    assert made["clientOrderId"].startswith("autoclose-")
    assert made["clientOrderId"].removeprefix("autoclose-").isdigit()
    assert held(paper) == "0"
    orders = {row["clientOrderId"]: row["status"] for row in long.fetch_orders(BTC)}
    assert (orders["profit"], orders[made["clientOrderId"]]) == ("expired", "closed")
    trade = long.fetch_my_trades(BTC)[-1]
    assert (trade["order"], trade["price"], trade["amount"]) == (str(made["orderId"]), "90000", "1")
    assert [row["orderId"] for row in long.fapiPrivateGetForceOrders()] == [made["orderId"]]
    assert long.fapiPrivateGetForceOrders({"autoCloseType": "ADL"}) == []


def test_a_liquidation_pays_the_insurance_fund_and_every_sum_is_income(long, paper):
    paper.liquidate(KEY, "BTCUSDT", price="90000")

    assert income(long) == [
        ("COMMISSION", Decimal("-47.5")),
        ("COMMISSION", Decimal("-45")),
        ("REALIZED_PNL", Decimal(-5000)),
        ("INSURANCE_CLEAR", Decimal(-1125)),
    ]
    assert wallet(paper) == 50_000_000 + sum(amount for _, amount in income(long))


def test_a_part_can_be_liquidated_or_closed_by_adl(long, paper):
    paper.liquidate(KEY, "BTCUSDT", quantity="0.4")
    made = paper.adl(KEY, "BTCUSDT", quantity="0.5")

    assert made["clientOrderId"] == "adl_autoclose"
    assert held(paper) == "0.1"
    adl = long.fapiPrivateGetForceOrders({"autoCloseType": "ADL"})
    assert [row["clientOrderId"] for row in adl] == ["adl_autoclose"]


def test_a_short_is_closed_by_a_purchase(futures, paper):
    paper.hand(KEY, "futures", "BTCUSDT", "SELL", "1")

    assert paper.adl(KEY, "BTCUSDT")["side"] == "BUY"
    assert held(paper) == "0"


def test_a_delivery_settles_everybody_and_closes_the_market(long, paper):
    paper.hand("bob", "futures", "BTCUSDT", "SELL", "2")
    long.create_order(BTC, "limit", "buy", "1", "90000", {"clientOrderId": "rests"})
    long.create_order(BTC, "market", "sell", "1", None, {"triggerPrice": "90000", "clientOrderId": "stop"})
    paper.set_prices({"BTCUSDT": "96000"})

    settled = paper.deliver_contract("BTCUSDT")

    assert [row["clientOrderId"].rstrip("0123456789") for row in settled] == ["settlement_autoclose-"] * 2
    assert (held(paper), held(paper, "bob")) == ("0", "0")
    assert long.fetch_my_trades(BTC)[-1]["price"] == "96000"
    assert long.fetch_order(None, BTC, {"clientOrderId": "rests"})["status"] == "expired"
    stop = long.fetch_order(None, BTC, {"clientOrderId": "stop", "trigger": True})
    assert stop["status"] == "expired"
    (market,) = [row for row in long.fapiPublicGetExchangeInfo()["symbols"] if row["symbol"] == "BTCUSDT"]
    assert market["status"] == "SETTLING"
    with pytest.raises(ccxt.BaseError, match="-4141"):
        long.create_order(BTC, "market", "buy", "1")


@pytest.mark.parametrize(("side", "paid"), [("BUY", "-9.5"), ("SELL", "9.5")])
def test_funding_is_paid_by_longs_to_shorts_without_a_trade(futures, paper, side, paid):
    paper.hand(KEY, "futures", "BTCUSDT", side, "1")
    before = wallet(paper)

    paper.fund("BTCUSDT", "0.0001")

    assert wallet(paper) - before == Decimal(paid)
    assert income(futures, incomeType="FUNDING_FEE") == [("FUNDING_FEE", Decimal(paid))]
    assert len(futures.fetch_my_trades(BTC)) == 1


def test_income_can_be_asked_for_by_symbol_time_and_page(long, paper):
    paper.hand(KEY, "futures", "ETHUSDT", "BUY", "1")
    for _ in range(3):
        paper.fund("BTCUSDT", "0.0001")
    rows = long.fapiPrivateGetIncome({"symbol": "BTCUSDT"})

    assert [row["incomeType"] for row in rows] == ["COMMISSION"] + ["FUNDING_FEE"] * 3
    assert len({row["tranId"] for row in rows}) == 4
    assert long.fapiPrivateGetIncome({"limit": 2, "symbol": "BTCUSDT"}) == rows[-2:]
    assert (
        long.fapiPrivateGetIncome({"limit": 2, "startTime": rows[0]["time"], "symbol": "BTCUSDT"}) == rows[:2]
    )
    assert long.fapiPrivateGetIncome({"limit": 3, "page": 2, "symbol": "BTCUSDT"}) == rows[3:]
    assert long.fapiPrivateGetIncome({"endTime": int(rows[0]["time"]) - 1}) == []


def test_transfers_move_money_and_are_income_on_futures(futures, spot, paper):
    paper.transfer(KEY, "futures", "USDT", "-100")
    paper.transfer(KEY, "spot", "LTC", "2.5")

    assert wallet(paper) == 50_000_000 - 100
    assert income(futures) == [("TRANSFER", Decimal(-100))]
    assert spot.fetch_balance()["LTC"]["free"] == "2.50000000"
    with pytest.raises(ValueError, match="-2010"):
        paper.transfer(KEY, "spot", "LTC", "-3")


def test_nothing_is_closed_without_a_position(paper):
    for close in (paper.liquidate, paper.adl):
        with pytest.raises(ValueError, match="no position"):
            close(KEY, "BTCUSDT")

    assert paper.deliver_contract("BTCUSDT") == []


def test_what_happened_outside_survives_a_restart(tmp_path):
    with running_paper_exchange(state=tmp_path / "state") as paper:
        paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
        paper.fund("BTCUSDT", "0.0001")
        paper.transfer(KEY, "futures", "USDT", "-100")
        paper.liquidate(KEY, "BTCUSDT", quantity="0.4")
        before = paper.state()

    with running_paper_exchange(state=tmp_path / "state") as paper:
        after, paid = paper.state(), paper.fund("BTCUSDT", "0.0001")

    assert after == before
    assert int(paid[0]["tran_id"]) > max(row["tranId"] for row in before["accounts"][KEY]["income"])
