"""Keys, signatures, clocks and weights."""

import asyncio
import itertools
import tempfile
import time
from pathlib import Path

import ccxt
import ccxt.async_support
import pytest

from exchanges.paper.exchange import PaperExchange
from exchanges.paper.testing import running_paper_exchange
from exchanges.paper.tests.conftest import Desk, connect
from exchanges.paper.wire import limits
from exchanges.paper.wire.signing import read_request


@pytest.fixture
def desk_of(runner, paper):
    opened = []

    def open_desk(key, secret="any", make=ccxt.async_support.binance, url=paper.url):
        client = connect(make, url, key, secret)
        opened.append(client)
        return Desk(runner, client)

    yield open_desk
    for client in opened:
        runner.run(client.close())


def test_a_new_key_gets_an_account_by_asking(desk_of, paper):
    account = desk_of("bob").privateGetAccount()

    assert account["balances"] == [{"asset": "USDT", "free": "50000000.00000000", "locked": "0.00000000"}]
    assert paper.account("bob")["balances"]["futures"]["USDT"]["balance"] == "50000000"


def test_a_wrong_secret_is_refused_where_one_is_registered(desk_of, paper):
    paper.open_account("bob", "secret")

    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        desk_of("bob", "guess").privateGetAccount()


def test_a_malformed_key_is_refused(desk_of):
    with pytest.raises(ccxt.AuthenticationError, match="-2014"):
        desk_of("not a key").privateGetAccount()


def test_opening_an_account_again_keeps_its_ledger(paper):
    paper.open_account("bob", "secret", {"USDT": "100"})

    paper.open_account("bob", "secret", {"USDT": "999"})

    assert paper.account("bob")["balances"]["spot"]["USDT"]["free"] == "100"


@pytest.mark.parametrize("shift_ms", [30_000, -30_000])
def test_a_clock_that_is_off_is_refused(desk_of, paper, shift_ms):
    desk = desk_of("bob")
    desk.client.nonce = lambda: int(time.time() * 1000) + shift_ms

    with pytest.raises(ccxt.InvalidNonce, match="-1021"):
        desk.privateGetAccount()


def test_a_window_has_a_limit(desk_of):
    with pytest.raises(ccxt.BaseError, match="-1131"):
        desk_of("bob").privateGetAccount({"recvWindow": 60001})


def test_answers_tell_the_weight_used_and_the_orders_counted(spot):
    spot.create_order("BTC/USDT", "market", "buy", "0.1")
    first = spot.client.last_response_headers
    spot.fetch_balance()
    second = spot.client.last_response_headers

    assert int(first["X-MBX-ORDER-COUNT-10S"]) >= 1
    assert int(second["X-MBX-USED-WEIGHT-1M"]) >= int(first["X-MBX-USED-WEIGHT-1M"])


def test_beyond_the_weight_limit_comes_429_with_a_time_to_wait(desk_of):
    with running_paper_exchange(weight_limit=50) as limited:
        desk = desk_of("bob", url=limited.url)
        for _ in range(2):
            desk.privateGetAccount()

        with pytest.raises(ccxt.DDoSProtection, match="429"):
            desk.privateGetAccount()

        assert int(desk.client.last_response_headers["Retry-After"]) >= 1
        assert limited.requests()[-1]["outcome"] == "refused -1003"


@pytest.mark.parametrize(("now", "left_s"), [(60_000, 61), (60_001, 60), (119_000, 2), (119_999, 1)])
def test_the_time_to_wait_ends_with_the_minute(monkeypatch, now, left_s):
    monkeypatch.setattr(limits, "MINUTE_MS", 60_000)

    assert limits.retry_after_s(now) == left_s


def test_each_minute_counts_its_own_weight(monkeypatch):
    monkeypatch.setattr(limits, "MINUTE_MS", 60_000)
    counted = limits.Limits(weight_limit=50)

    used = [counted.spend("127.0.0.1", "/api/v3/account", 20, now) for now in (60_000, 119_999, 120_000)]

    assert used == [20, 40, 20]


def test_one_account_sees_nothing_of_another(spot, desk_of, paper):
    made = spot.create_order("BTC/USDT", "limit", "buy", "0.1", "90000", {"clientOrderId": "mine"})
    bob = desk_of("bob")

    assert bob.privateGetOpenOrders({"symbol": "BTCUSDT"}) == []
    with pytest.raises(ccxt.OrderNotFound):
        bob.privateDeleteOrder({"symbol": "BTCUSDT", "orderId": made["id"]})


def test_no_secret_and_no_signature_is_shown(spot, paper):
    spot.create_order("BTC/USDT", "market", "buy", "0.1")

    shown = str(paper.state()) + str(paper.requests())

    assert "alice-secret" not in shown
    assert "signature" not in shown


@pytest.mark.parametrize(
    ("path", "parameters", "weight"),
    [
        ("/fapi/v1/openOrders", "symbol=BTCUSDT", 1),
        ("/fapi/v1/openOrders", "", 40),
        ("/fapi/v1/openAlgoOrders", "symbol=BTCUSDT", 1),
        ("/fapi/v1/openAlgoOrders", "", 40),
        ("/fapi/v3/positionRisk", "", 5),
        ("/fapi/v3/balance", "", 5),
        ("/fapi/v1/allOrders", "symbol=BTCUSDT", 5),
        ("/fapi/v1/allAlgoOrders", "symbol=BTCUSDT", 5),
        ("/fapi/v1/userTrades", "symbol=BTCUSDT", 5),
        ("/fapi/v1/order", "symbol=BTCUSDT&orderId=1", 1),
        ("/fapi/v1/algoOrder", "algoId=1", 1),
        ("/fapi/v1/positionSide/dual", "", 30),
        ("/fapi/v2/ticker/price", "symbol=BTCUSDT", 1),
        ("/fapi/v2/ticker/price", "", 2),
        ("/api/v3/openOrders", "symbol=BTCUSDT", 6),
        ("/api/v3/openOrders", "", 80),
        ("/api/v3/account", "", 20),
        ("/api/v3/allOrders", "symbol=BTCUSDT", 20),
        ("/api/v3/myTrades", "symbol=BTCUSDT", 20),
        ("/api/v3/myTrades", "symbol=BTCUSDT&orderId=1", 5),
        ("/api/v3/order", "symbol=BTCUSDT&orderId=1", 4),
        ("/api/v3/ticker/price", "symbol=BTCUSDT", 2),
        ("/api/v3/ticker/price", "", 4),
    ],
)
def test_a_question_weighs_what_binance_says(path, parameters, weight):
    assert weights_of([("GET", path, parameters)]) == [weight]


@pytest.mark.parametrize(
    ("path", "parameters", "placing", "canceling"),
    [
        ("/api/v3/order", "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=90000", 1, 1),
        ("/fapi/v1/order", "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=90000", 0, 1),
    ],
)
def test_an_order_weighs_little_and_is_counted(path, parameters, placing, canceling):
    asked = [("POST", path, f"{parameters}&newClientOrderId=one")]
    asked += [("DELETE", path, "symbol=BTCUSDT&origClientOrderId=one")]

    assert weights_of(asked) == [placing, canceling]


def weights_of(asked):
    """What each request adds, by the header of its answer."""
    with tempfile.TemporaryDirectory() as folder:
        exchange = PaperExchange(Path(folder) / "paper.sqlite3")
        told = [0, *(asyncio.run(weight_told(exchange, *each)) for each in asked)]
        exchange.close()
    return [after - before for before, after in itertools.pairwise(told)]


async def weight_told(exchange, method, path, parameters):
    now = int(time.time() * 1000)
    query = f"{parameters}&timestamp={now}&signature={'0' * 64}"
    reply = await exchange.answer(read_request(method, f"{path}?{query}", b"", "bob", "127.0.0.1", now))
    return int(reply.headers["X-MBX-USED-WEIGHT-1M"])
