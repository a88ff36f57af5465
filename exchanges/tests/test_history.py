"""The past of an account, whole: through the windows and pages that Binance allows."""

import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from exchanges.adapters import binance
from exchanges.adapters.binance import BinanceFutures, BinanceSpot
from exchanges.adapters.protocol import Credentials, OrderKey, OrderRequest
from exchanges.enums import MarketType, OrderType, OutsideKind, ReportStatus, Side
from exchanges.errors import ExchangeError, Unavailable
from exchanges.gateway import Call, gateway
from exchanges.market_data import catalog

pytestmark = pytest.mark.django_db(transaction=True)

FUTURES, SPOT = MarketType.FUTURES, MarketType.SPOT
SYMBOLS = {FUTURES: "BTC/USDT:USDT", SPOT: "BTC/USDT"}
ALICE = Credentials("alice-key", "alice-secret")
MARKETS = pytest.mark.parametrize("market_type", [FUTURES, SPOT])
STOP = {"order_type": OrderType.STOP_MARKET, "stop_price": Decimal("90000"), "reduce_only": True}


@pytest.fixture(autouse=True)
def books(paper):
    for kind in (FUTURES, SPOT):
        catalog.open_catalog("paper", kind, now=timezone.now())
    paper.open_account(ALICE.api_key, ALICE.secret)


def ask(market_type, verb, *args):
    return gateway.call(Call("paper", market_type, verb, args, ALICE))


def place(market_type, name, **more):
    order = {"order_type": OrderType.LIMIT, "price": Decimal("90000"), "quantity": Decimal("0.01")} | more
    if not order["order_type"].needs_price:
        del order["price"]
    side = Side.SELL if order["order_type"] is OrderType.STOP_MARKET else Side.BUY
    return ask(market_type, "place_order", OrderRequest(name, SYMBOLS[market_type], side, **order))


def ago(**span):
    return timezone.now() - timedelta(**span)


def count_requests(paper, path):
    return sum(row["path"].endswith(path) for row in paper.requests())


@MARKETS
def test_all_1300_fills_of_one_order_are_read(paper, market_type):
    report = place(market_type, "large", quantity=Decimal("1.3"))
    paper.fill_in_parts(ALICE.api_key, "BTCUSDT", 1300, client_order_id="large")

    fills = ask(market_type, "fetch_order_fills", OrderKey(SYMBOLS[market_type], "large", report.order_id))

    assert len({fill.trade_id for fill in fills}) == len(fills) == 1300
    assert sum(fill.quantity for fill in fills) == Decimal("1.3")
    assert len(ask(market_type, "fetch_fills", SYMBOLS[market_type], ago(minutes=5))) == 1300


@MARKETS
@pytest.mark.parametrize("page", [2, 3, 1000])
@pytest.mark.parametrize("span_s", [60, 86_400])
def test_every_order_is_found_in_pages_and_windows(paper, monkeypatch, market_type, page, span_s):
    adapter = BinanceFutures if market_type is FUTURES else BinanceSpot
    monkeypatch.setattr(binance, "_PAGE", page)
    monkeypatch.setattr(adapter, "longest_span", timedelta(seconds=span_s))
    names = [place(market_type, f"order-{number}").client_order_id for number in range(6)]

    found = ask(market_type, "fetch_orders", SYMBOLS[market_type], ago(minutes=5))

    assert [report.client_order_id for report in found] == names


@pytest.mark.parametrize("page", [2, 3])
@MARKETS
def test_pages_that_run_past_the_end_of_a_window_leave_no_gap_and_no_doubt(
    paper, monkeypatch, market_type, page
):
    """Pages by id know no window: the rows of the next window are known by the time it is asked for."""
    adapter = BinanceFutures if market_type is FUTURES else BinanceSpot
    monkeypatch.setattr(binance, "_PAGE", page)
    monkeypatch.setattr(adapter, "longest_span", timedelta(seconds=60))
    names = [place(market_type, f"early-{number}").client_order_id for number in range(3)]
    time.sleep(0.02)
    boundary = timezone.now()
    names += [place(market_type, f"late-{number}").client_order_id for number in range(6)]

    found = ask(market_type, "fetch_orders", SYMBOLS[market_type], boundary - timedelta(seconds=60))

    assert [report.client_order_id for report in found] == names


def test_stop_orders_are_found_in_pages_too(paper, monkeypatch):
    monkeypatch.setattr(binance, "_PAGE", 2)
    names = [place(FUTURES, f"stop-{number}", **STOP).client_order_id for number in range(5)]

    found = ask(FUTURES, "fetch_orders", SYMBOLS[FUTURES], ago(minutes=5))

    assert [report.client_order_id for report in found] == names


def test_a_down_time_of_years_is_one_request_on_spot(paper):
    place(SPOT, "old")

    found = ask(SPOT, "fetch_orders", SYMBOLS[SPOT], ago(days=2000))

    assert [report.client_order_id for report in found] == ["old"]
    assert count_requests(paper, "/allOrders") == 1


def test_futures_are_asked_week_by_week(paper):
    place(FUTURES, "old")

    found = ask(FUTURES, "fetch_orders", SYMBOLS[FUTURES], ago(days=30))

    assert [report.client_order_id for report in found] == ["old"]
    assert count_requests(paper, "/allOrders") == 5


@MARKETS
def test_a_history_beyond_the_bound_is_no_answer(paper, monkeypatch, market_type):
    monkeypatch.setattr(binance, "_PAGE", 2)
    monkeypatch.setattr(binance, "_MOST_PAGES", 2)
    for number in range(4):
        place(market_type, f"order-{number}")

    with pytest.raises(Unavailable) as caught:
        ask(market_type, "fetch_orders", SYMBOLS[market_type], ago(minutes=5))

    assert caught.value.code == "history_too_long"


def test_a_failed_page_fails_the_whole_answer(paper, monkeypatch):
    monkeypatch.setattr(binance, "_PAGE", 2)
    for number in range(4):
        place(FUTURES, f"order-{number}")
    real = binance.BinanceFutures._page

    async def failing_second_page(adapter, history, asked):
        if "orderId" in asked:
            paper.fault(action="status", value=500, path="/fapi/v1/allOrders")
        return await real(adapter, history, asked)

    monkeypatch.setattr(binance.BinanceFutures, "_page", failing_second_page)

    with pytest.raises(ExchangeError):
        ask(FUTURES, "fetch_orders", SYMBOLS[FUTURES], ago(minutes=5))


@pytest.mark.parametrize("verb", ["fetch_open_orders", "fetch_orders", "fetch_fills"])
def test_an_empty_object_is_not_the_absence_of_orders(paper, verb):
    paper.fault(action="garbage", value={}, path="/fapi/v1/", method="GET")
    args = (SYMBOLS[FUTURES],) if verb == "fetch_open_orders" else (SYMBOLS[FUTURES], ago(minutes=5))

    with pytest.raises(Unavailable):
        ask(FUTURES, verb, *args)


def test_each_page_has_the_time_of_a_whole_call(paper, monkeypatch, settings):
    settings.EXCHANGE_TIMEOUT_S = 1.0
    monkeypatch.setattr(binance, "_PAGE", 2)
    for number in range(6):
        place(FUTURES, f"order-{number}")
    paper.fault(action="delay", value=0.4, path="/fapi/v1/allOrders", times=None)

    assert len(ask(FUTURES, "fetch_orders", SYMBOLS[FUTURES], ago(minutes=5))) == 6


def test_an_order_that_spot_has_archived_ended_without_a_fill(paper):
    paper.fault(
        action="code", value=-2026, status=400, msg="Order was archived.", path="/api/v3/order", method="GET"
    )

    report = ask(SPOT, "fetch_order", OrderKey(SYMBOLS[SPOT], "old", "12"))

    assert (report.status, report.filled, report.client_order_id) == (ReportStatus.CANCELED, 0, "old")


# The order itself, and what happened without us


@MARKETS
def test_a_report_tells_the_order(market_type):
    place(market_type, "plain")

    (plain,) = ask(market_type, "fetch_open_orders", SYMBOLS[market_type])

    assert (plain.side, plain.order_type, plain.price) == (Side.BUY, OrderType.LIMIT, Decimal("90000"))
    assert (plain.stop_price, plain.reduce_only) == (None, False)
    assert plain.created_at is not None
    assert ago(minutes=1) < plain.created_at <= timezone.now()


def test_a_report_tells_the_stop_order():
    place(FUTURES, "stop", **STOP)

    (stop,) = ask(FUTURES, "fetch_open_orders", SYMBOLS[FUTURES])

    assert (stop.side, stop.order_type, stop.price) == (Side.SELL, OrderType.STOP_MARKET, None)
    assert (stop.stop_price, stop.reduce_only) == (Decimal("90000"), True)
    assert stop.created_at is not None


def test_every_outside_order_has_a_kind(paper):
    key = ALICE.api_key
    paper.hand(key, "futures", "BTCUSDT", "BUY", "3")
    paper.liquidate(key, "BTCUSDT", quantity="1")
    paper.adl(key, "BTCUSDT", quantity="1")
    paper.deliver_contract("BTCUSDT")

    reports = ask(FUTURES, "fetch_orders", SYMBOLS[FUTURES], ago(minutes=5))

    kind_of = gateway.capabilities("paper", FUTURES).kind_of
    assert [kind_of(report.client_order_id) for report in reports] == [
        OutsideKind.HAND,
        OutsideKind.LIQUIDATION,
        OutsideKind.ADL,
        OutsideKind.DELIVERY,
    ]


def test_income_is_what_no_trade_tells(paper, monkeypatch):
    monkeypatch.setattr(binance, "_PAGE", 2)
    key, since = ALICE.api_key, ago(minutes=5)
    paper.hand(key, "futures", "BTCUSDT", "BUY", "1")
    paid = [paper.fund("BTCUSDT", rate) for rate in ("0.0001", "-0.0002", "0.0003")]
    paper.transfer(key, "futures", "USDT", "-100")
    paper.liquidate(key, "BTCUSDT", price="90000")

    income = ask(FUTURES, "fetch_income", since)

    assert [(row.kind, row.symbol) for row in income] == [
        *[(OutsideKind.FUNDING, SYMBOLS[FUTURES])] * len(paid),
        (OutsideKind.TRANSFER, ""),
        (OutsideKind.LIQUIDATION, SYMBOLS[FUTURES]),
    ]
    assert [row.amount for row in income[:4]] == [
        Decimal("-9.5"),
        Decimal("19"),
        Decimal("-28.5"),
        Decimal("-100"),
    ]
    assert len({row.income_id for row in income}) == len(income)
    assert {row.currency for row in income} == {"USDT"}
    assert all(since < row.at <= timezone.now() for row in income)
    assert gateway.capabilities("paper", FUTURES).has_income


def test_spot_has_no_income_without_trades(paper):
    paper.transfer(ALICE.api_key, "spot", "USDT", "100")

    assert ask(SPOT, "fetch_income", ago(minutes=5)) == []


def test_the_id_of_an_account_is_the_same_for_spot_and_futures_and_another_for_another_account(paper):
    ids = [ask(kind, "fetch_account_id") for kind in (FUTURES, SPOT)]
    paper.open_account("bob-key", "bob-secret")
    bob = gateway.call(Call("paper", SPOT, "fetch_account_id", (), Credentials("bob-key", "bob-secret")))

    assert ids[0] == ids[1] != ""
    assert bob not in ("", ids[0])


def test_a_futures_key_without_a_spot_account_has_no_account_id(paper):
    paper.fault(action="code", value=-2015, path="/api/v3/account")

    assert ask(FUTURES, "fetch_account_id") == ""
