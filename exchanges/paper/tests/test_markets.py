"""Markets whose rules, bands and status change while they are traded."""

import ccxt
import pytest

from exchanges.paper.testing import running_paper_exchange
from exchanges.paper.tests.conftest import KEY

BTC = "BTC/USDT:USDT"
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
LIMIT = {"type": "LIMIT", "timeInForce": "GTC"}


def listed(client, symbol="BTCUSDT"):
    return next((row for row in client["symbols"] if row["symbol"] == symbol), None)


def futures_market(futures):
    return listed(futures.fapiPublicGetExchangeInfo())


def filters(market):
    return {row["filterType"]: row for row in market["filters"]}


def change(paper, **rules):
    paper.set_markets({"BTCUSDT": {"futures": rules}})


def test_the_list_of_markets_shows_changed_rules_until_they_are_reset(futures, paper):
    change(paper, step="0.01", tick="1", max_qty="500", market_max_qty="50", min_notional="200")

    rules = filters(futures_market(futures))

    assert (rules["LOT_SIZE"]["stepSize"], rules["LOT_SIZE"]["minQty"]) == ("0.01", "0.01")
    assert (rules["LOT_SIZE"]["maxQty"], rules["MARKET_LOT_SIZE"]["maxQty"]) == ("500", "50")
    assert (rules["PRICE_FILTER"]["tickSize"], rules["MIN_NOTIONAL"]["notional"]) == ("1", "200")
    paper.set_markets({"BTCUSDT": None})
    assert filters(futures_market(futures))["LOT_SIZE"]["stepSize"] == "0.001"


@pytest.mark.parametrize(
    ("rules", "order", "code"),
    [
        ({"step": "0.01"}, {"quantity": "1.001"}, -1111),
        ({"tick": "1"}, LIMIT | {"price": "90000.1"}, -1111),
        ({"min_qty": "2"}, {}, -4004),
        ({"max_qty": "0.5"}, LIMIT | {"price": "90000"}, -4005),
        ({"market_max_qty": "0.5"}, {}, -4005),
        ({"min_notional": "100000"}, {}, -4164),
        ({"price_floor": "0.999"}, LIMIT | {"side": "SELL", "price": "94000"}, -4024),
        ({"price_ceiling": "1.001"}, LIMIT | {"price": "96000"}, -4016),
        ({"status": "BREAK"}, {}, -4141),
        ({"status": "SETTLING"}, {}, -4141),
        ({"status": "PRE_SETTLE"}, {}, -4140),
        ({"status": "DELISTED"}, {}, -1121),
    ],
)
def test_futures_orders_are_checked_by_changed_rules(futures, paper, rules, order, code):
    change(paper, **rules)

    with pytest.raises(ccxt.BaseError, match=f'"code":{code}'):
        futures.fapiPrivatePostOrder(ORDER | order)

    assert paper.account(KEY)["orders"] == []


@pytest.mark.parametrize(
    ("rules", "order", "message"),
    [
        ({"step": "0.1"}, {"quantity": "1.01"}, "LOT_SIZE"),
        ({"market_max_qty": "0.5"}, {}, "MARKET_LOT_SIZE"),
        ({"min_notional": "100000"}, {}, "NOTIONAL"),
        ({"status": "BREAK"}, {}, "Market is closed"),
    ],
)
def test_spot_orders_are_checked_by_changed_rules(spot, paper, rules, order, message):
    paper.set_markets({"BTCUSDT": {"spot": rules}})

    with pytest.raises(ccxt.BaseError, match=message):
        spot.privatePostOrder(ORDER | order)


def test_a_market_before_its_settlement_takes_closing_orders(futures, paper):
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
    change(paper, status="PRE_SETTLE")

    futures.fapiPrivatePostOrder(ORDER | {"side": "SELL", "reduceOnly": "true"})

    assert paper.account(KEY)["positions"][0]["positionAmt"] == "0"


def test_a_delisted_market_is_absent_and_its_trades_can_still_be_read(futures, paper):
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")

    change(paper, status="DELISTED")

    assert futures_market(futures) is None
    assert len(futures.fapiPrivateGetUserTrades({"symbol": "BTCUSDT"})) == 1


def test_a_closed_band_refuses_market_orders_of_one_side(futures, paper):
    paper.hand(KEY, "futures", "BTCUSDT", "BUY", "1")
    paper.set_bands({"BTCUSDT": "110000"})
    closing = ORDER | {"side": "SELL", "reduceOnly": "true"}

    with pytest.raises(ccxt.BaseError, match="-4131"):
        futures.fapiPrivatePostOrder(closing)

    paper.set_bands({"BTCUSDT": None})
    futures.fapiPrivatePostOrder(closing)
    assert paper.account(KEY)["positions"][0]["positionAmt"] == "0"


@pytest.mark.parametrize(
    ("middle", "order", "code"),
    [
        ("80000", {"side": "BUY", "price": "90000"}, -4016),
        ("110000", {"side": "SELL", "price": "100000"}, -4024),
    ],
)
def test_limit_prices_are_judged_by_the_moved_band(futures, paper, middle, order, code):
    paper.set_bands({"BTCUSDT": middle})

    with pytest.raises(ccxt.BaseError, match=str(code)):
        futures.fapiPrivatePostOrder(ORDER | LIMIT | order)


def test_spot_prices_are_judged_by_the_moved_average(spot, paper):
    paper.set_bands({"BTCUSDT": "10000"})

    with pytest.raises(ccxt.BaseError, match="PERCENT_PRICE_BY_SIDE"):
        spot.privatePostOrder(ORDER | LIMIT | {"price": "90000"})


@pytest.mark.parametrize(
    "rules",
    [
        {"NOPE": {"futures": {"step": "1"}}},
        {"SHIBUSDT": {"futures": {"step": "1"}}},
        {"BTCUSDT": {"futures": {"stride": "1"}}},
        {"BTCUSDT": {"futures": {"step": "0"}}},
        {"BTCUSDT": {"futures": {"status": "ASLEEP"}}},
    ],
)
def test_rules_that_make_no_sense_are_refused(paper, rules):
    with pytest.raises(ValueError, match="code"):
        paper.set_markets(rules)

    assert paper._call_object("GET", "markets") == {}


def test_changed_rules_and_bands_survive_a_restart(tmp_path):
    with running_paper_exchange(state=tmp_path / "state") as paper:
        change(paper, step="0.01", status="BREAK")
        paper.set_bands({"BTCUSDT": "110000"})

    with running_paper_exchange(state=tmp_path / "state") as paper:
        rules, middles = paper.set_markets({}), paper.set_bands({})

    assert rules == {"BTCUSDT": {"futures": {"step": "0.01", "status": "BREAK"}}}
    assert middles == {"BTCUSDT": "110000"}
