"""Every fault, as a client feels it and as the ledger knows it."""

import contextlib
import json
import threading
import time
import urllib.parse
from http.client import HTTPConnection  # noqa: TID251 - a client that hangs up

import ccxt
import pytest

from exchanges.paper.remote import PaperUnreachable
from tests.waiting import eventually

BTC = "BTC/USDT:USDT"
ORDER = {"path": "/fapi/v1/order", "method": "POST"}


def buy(futures, client_id="one"):
    return futures.create_order(BTC, "market", "buy", "0.1", None, {"clientOrderId": client_id})


def orders(paper):
    return [row["clientOrderId"] for row in paper.account("alice-key")["orders"]]


def posts(paper):
    return [row for row in paper.requests() if row["method"] == "POST" and row["path"] == "/fapi/v1/order"]


@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["one"])])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"action": "drop"}, ccxt.ExchangeNotAvailable),
        ({"action": "reset_mid_body"}, ccxt.ExchangeError),
        ({"action": "status", "value": 502}, ccxt.ExchangeNotAvailable),
        ({"action": "status", "value": 429, "retry_after": 7}, ccxt.DDoSProtection),
        ({"action": "status", "value": 418}, ccxt.DDoSProtection),
        ({"action": "code", "value": -1007}, ccxt.RequestTimeout),
        ({"action": "code", "value": -1021}, ccxt.InvalidNonce),
        ({"action": "code", "value": -1006}, ccxt.BaseError),
    ],
)
def test_a_lost_answer_says_nothing_about_the_order(futures, paper, fault, error, when, made):
    paper.fault(**ORDER, **fault, when=when)

    with pytest.raises(error):
        buy(futures)

    assert orders(paper) == made
    (entry,) = posts(paper)
    assert entry["outcome"] == ("accepted" if made else "not processed")
    assert entry["fault"] == f"{fault['action']} {when}"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("value", [None, "truncated", "empty", "{}", "[1,2,3]"])
def test_garbage_is_an_answer_without_an_order_in_it(futures, paper, value, when):
    paper.fault(**ORDER, action="garbage", value=value, when=when)

    try:
        answer = buy(futures)
    except (ccxt.BaseError, TypeError, AttributeError):
        answer = {"id": None}

    assert answer["id"] is None
    assert orders(paper) == (["one"] if when == "after" else [])


def test_a_fault_happens_once_unless_told_otherwise(futures, paper):
    paper.fault(**ORDER, action="drop", when="before")
    with pytest.raises(ccxt.ExchangeNotAvailable):
        buy(futures)

    assert buy(futures)["status"] == "closed"


def test_a_fault_without_end_lasts_until_it_is_deleted(futures, paper):
    paper.fault(**ORDER, action="drop", when="before", times=None)
    for _ in range(3):
        with pytest.raises(ccxt.ExchangeNotAvailable):
            buy(futures)

    paper.clear_faults()

    assert buy(futures)["status"] == "closed"


@pytest.mark.parametrize(
    "selector", [{"api_key": "bob"}, {"client_order_id": "other"}, {"symbol": "ETHUSDT"}]
)
def test_a_fault_spares_what_it_does_not_name(futures, paper, selector):
    paper.fault(action="drop", **selector)

    assert buy(futures)["status"] == "closed"


def test_a_delay_before_acceptance_meets_the_window_again(futures, paper):
    paper.fault(**ORDER, action="delay", value=0.3)

    with pytest.raises(ccxt.InvalidNonce, match="-1021"):
        futures.create_order(BTC, "market", "buy", "0.1", None, {"recvWindow": 200})

    assert orders(paper) == []


def test_a_delay_after_acceptance_delays_the_answer_only(futures, paper):
    paper.fault(**ORDER, action="delay", value=1.5, when="after")

    started = time.monotonic()
    order = futures.create_order(BTC, "market", "buy", "0.1", None, {"recvWindow": 1400})

    assert order["status"] == "closed"
    assert time.monotonic() - started >= 1.5


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_order_whose_client_hangs_up_is_an_order(paper, when):
    paper.fault(**ORDER, action="delay", value=0.2, when=when)
    fields = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "MARKET",
        "quantity": "0.1",
        "newClientOrderId": "gone",
    }
    body = urllib.parse.urlencode(fields | {"timestamp": int(time.time() * 1000), "signature": "0" * 64})
    line = HTTPConnection(urllib.parse.urlsplit(paper.url).netloc)
    line.request("POST", "/fapi/v1/order", body, {"X-MBX-APIKEY": "nobody-yet"})
    line.sock.close()
    line.close()

    def there():
        return paper.state()["accounts"].get("nobody-yet", {"orders": []})["orders"]

    assert [row["clientOrderId"] for row in eventually(there, what="the order is carried out")] == ["gone"]


def test_a_look_up_lag_hides_an_accepted_order_for_a_while(futures, paper):
    paper.fault(action="lookup_lag", value=2, path="/fapi/v1/order")
    futures.create_order(BTC, "limit", "buy", "0.1", "90000", {"clientOrderId": "late"})

    with pytest.raises(ccxt.OrderNotFound):
        futures.fetch_order(None, BTC, {"clientOrderId": "late"})
    assert futures.fetch_open_orders(BTC) == futures.fetch_orders(BTC) == []

    eventually(lambda: futures.fetch_open_orders(BTC), what="the order shows")
    assert futures.fetch_order(None, BTC, {"clientOrderId": "late"})["status"] == "open"


def test_an_answer_may_be_about_another_order(futures, paper):
    paper.fault(**ORDER, action="wrong_id")

    assert buy(futures)["clientOrderId"] == "someone-elses-order"
    assert orders(paper) == ["one"]


def test_fills_may_be_told_twice(futures, paper):
    buy(futures)
    seen = paper.account("alice-key")["trades"][0]["id"] - 1
    paper.fault(action="duplicate_fills", path="/fapi/v1/userTrades")

    assert [row["id"] - seen for row in futures.fapiPrivateGetUserTrades({"symbol": "BTCUSDT"})] == [1, 1]
    assert len(paper.account("alice-key")["trades"]) == 1


def test_a_slow_answer_comes_byte_by_byte(futures, paper):
    paper.fault(path="/fapi/v1/time", action="slow")

    started = time.monotonic()
    futures.fapiPublicGetTime()

    assert time.monotonic() - started > 1


def test_a_307_posts_the_same_order_twice(futures, paper):
    paper.fault(**ORDER, action="redirect", value=307, when="after")

    buy(futures)

    assert orders(paper) == ["one", "one"]
    assert len(posts(paper)) == 2


def test_public_answers_can_fail_too(futures, paper):
    paper.fault(path="/fapi/v1/ticker", action="code", value=-1003)

    with pytest.raises(ccxt.DDoSProtection):
        futures.fetch_ticker(BTC)


@pytest.mark.parametrize(
    "fault", [{}, {"action": "melt"}, {"action": "delay", "value": "soon"}, {"action": "drop", "x": 1}]
)
def test_a_fault_that_makes_no_sense_is_refused(paper, fault):
    with pytest.raises(ValueError, match="Not a fault"):
        paper.fault(**fault)


def test_one_clients_delay_does_not_hold_up_another(futures, paper):
    paper.fault(api_key="bob", action="delay", value=2)
    slow = threading.Thread(target=_ask_as, args=(paper.url, "bob"))
    slow.start()
    _wait_for_request_of(paper, "bob")

    buy(futures)

    assert slow.is_alive()
    slow.join()


def _wait_for_request_of(paper, key):
    eventually(lambda: key in [row["api_key"] for row in paper.requests()], what=f"a request of {key}")


def _ask_as(url, key):
    line = HTTPConnection(urllib.parse.urlsplit(url).netloc)
    query = f"timestamp={int(time.time() * 1000)}&signature={'0' * 64}"
    line.request("GET", f"/fapi/v2/balance?{query}", headers={"X-MBX-APIKEY": key})
    line.getresponse().read()
    line.close()


def test_a_late_order_does_not_reach_an_exchange_that_was_wiped_meanwhile(paper):
    paper.fault(api_key="bob", action="delay", value=1)
    slow = threading.Thread(target=_give_up_as, args=(paper.url, "bob"))
    slow.start()
    _wait_for_request_of(paper, "bob")

    paper.reset()

    slow.join()
    assert paper.state()["accounts"] == {}


def _give_up_as(url, key):
    with contextlib.suppress(ConnectionError):
        _ask_as(url, key)


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        ("unknown", None, "Unknown error, please check your request or try again later."),
        ("service", None, "Service Unavailable."),
        ("internal", -1001, "Internal error; unable to process your request. Please try again."),
    ],
)
@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["one"])])
def test_an_overloaded_exchange_answers_503_in_three_forms(futures, paper, value, code, text, when, made):
    paper.fault(**ORDER, action="unavailable", value=value, when=when)

    with pytest.raises(ccxt.BaseError):
        buy(futures)

    answer = json.loads(futures.client.last_http_response)
    assert (answer.get("code"), answer["msg"], orders(paper)) == (code, text, made)
    assert posts(paper)[0]["status"] == 503


def test_a_form_of_503_that_does_not_exist_is_refused(paper):
    with pytest.raises(ValueError, match="unavailable needs one of"):
        paper.fault(action="unavailable", value="tired")


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        (-1008, 503, "Request throttled by system-level protection"),
        (-5028, 400, "ME recvWindow"),
        (-4131, 400, "PERCENT_PRICE"),
        (-4118, 400, "Please check your existing position and open orders"),
        (-1111, 400, "Precision is over the maximum"),
        (-2015, 401, "Invalid API-key, IP, or permissions"),
    ],
)
def test_a_code_comes_with_the_text_and_the_status_of_binance(futures, paper, code, status, text):
    paper.fault(**ORDER, action="code", value=code)

    with pytest.raises(ccxt.BaseError, match=text):
        buy(futures)

    assert json.loads(futures.client.last_http_response)["code"] == code
    assert (posts(paper)[0]["status"], orders(paper)) == (status, [])


def test_a_closed_port_refuses_every_connection_until_it_opens_again(futures, paper):
    paper.refuse_connections(4)

    with pytest.raises(PaperUnreachable) as refused:
        paper.state()
    with pytest.raises(ccxt.NetworkError):
        buy(futures)

    assert "refused" in str(refused.value.__cause__)
    eventually(lambda: is_reachable(paper), what="an open port")
    assert orders(paper) == []
    buy(futures)
    assert orders(paper) == ["one"]


def is_reachable(paper):
    with contextlib.suppress(PaperUnreachable):
        return bool(paper.state())
    return False
