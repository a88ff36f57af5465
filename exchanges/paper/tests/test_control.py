"""The control API, and what survives the process."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import ccxt.async_support
import pytest

from exchanges.paper.server import CannotStart, serve
from exchanges.paper.testing import PaperControl, running_paper_exchange
from exchanges.paper.tests.conftest import Desk, connect
from tests.chaos.databases import free_port

ROOT = Path(__file__).parents[3]
SERVE = (
    "import sys; from exchanges.paper.server import serve; serve(port=int(sys.argv[1]), state=sys.argv[2])"
)


def test_the_state_names_orders_and_trades_as_the_exchange_sees_them(futures, paper):
    futures.create_order("BTC/USDT:USDT", "market", "buy", "0.1", None, {"clientOrderId": "one"})

    state = paper.state()

    account = state["accounts"]["alice-key"]
    (order,), (trade,) = account["orders"], account["trades"]
    assert state["prices"]["BTCUSDT"] == "95000"
    assert (order["clientOrderId"], order["market"], order["side"], order["type"]) == (
        "one",
        "futures",
        "BUY",
        "MARKET",
    )
    assert (order["status"], order["origQty"], order["executedQty"]) == ("FILLED", "0.1", "0.1")
    assert (order["price"], order["stopPrice"]) == ("0", "0")
    assert (trade["orderId"], trade["price"], trade["qty"], trade["quoteQty"]) == (
        order["orderId"],
        "95000",
        "0.1",
        "9500",
    )
    assert (trade["commission"], trade["commissionAsset"], trade["realizedPnl"]) == ("4.75", "USDT", "0")
    assert account["positions"][0]["positionAmt"] == "0.1"


def test_the_log_has_every_signed_request_in_order(futures, paper):
    before = len(paper.requests())
    futures.create_order("BTC/USDT:USDT", "market", "buy", "0.1", None, {"clientOrderId": "one"})
    with pytest.raises(ccxt.OrderNotFound):
        futures.fetch_order(None, "BTC/USDT:USDT", {"clientOrderId": "two"})

    made, asked = paper.requests(since=before)

    assert (made["method"], made["path"], made["api_key"]) == ("POST", "/fapi/v1/order", "alice-key")
    assert (made["clientOrderId"], made["symbol"], made["outcome"], made["status"]) == (
        "one",
        "BTCUSDT",
        "accepted",
        200,
    )
    assert (asked["clientOrderId"], asked["outcome"], asked["status"]) == ("two", "refused -2013", 400)


@pytest.mark.parametrize(
    "prices", [{"NOPE": "1"}, {"BTCUSDT": "-1"}, {"BTCUSDT": "0"}, {"BTCUSDT": "NaN"}, ["BTCUSDT"]]
)
def test_prices_that_make_no_sense_are_refused(paper, prices):
    with pytest.raises(ValueError, match="code"):
        paper.set_prices(prices)

    assert paper.state()["prices"]["BTCUSDT"] == "95000"


def test_a_reset_leaves_nothing_but_goes_on_counting(futures, paper):
    first = futures.create_order("BTC/USDT:USDT", "market", "buy", "0.1")
    paper.set_prices({"BTCUSDT": "90000"})

    paper.reset()

    assert paper.state()["accounts"] == {}
    assert paper.state()["prices"]["BTCUSDT"] == "95000"
    assert paper.requests() == []
    second = futures.create_order("BTC/USDT:USDT", "market", "buy", "0.1")
    assert int(second["id"]) > int(first["id"])


def test_a_stopped_exchange_comes_back_as_it_was(tmp_path, runner):
    with running_paper_exchange(state=tmp_path / "state") as paper:
        desk = trader(runner, paper)
        make_a_bit_of_everything(desk, paper)
        before = paper.state()
        runner.run(desk.client.close())

    with running_paper_exchange(state=tmp_path / "state") as paper:
        after = paper.state()
        paper.set_prices({"BTCUSDT": "91000"})
        moved = {row["clientOrderId"]: row["status"] for row in paper.account("bob")["orders"]}
        desk = trader(runner, paper)
        later = desk.create_order("BTC/USDT:USDT", "market", "buy", "0.1")
        runner.run(desk.client.close())

    assert after == before
    assert moved == {"filled": "FILLED", "rests": "FILLED", "stop": "FILLED"}
    assert int(later["id"]) > max(row["orderId"] for row in before["accounts"]["bob"]["orders"])


def make_a_bit_of_everything(desk: Desk, paper: PaperControl) -> None:
    desk.create_order("BTC/USDT:USDT", "market", "buy", "0.1", None, {"clientOrderId": "filled"})
    desk.create_order("BTC/USDT:USDT", "limit", "buy", "0.1", "91000", {"clientOrderId": "rests"})
    stop = {"triggerPrice": "92000", "clientOrderId": "stop"}
    desk.create_order("BTC/USDT:USDT", "market", "sell", "0.1", None, stop)
    desk.set_leverage(10, "BTC/USDT:USDT")
    paper.set_prices({"ETHUSDT": "3333.3"})


def trader(runner, paper) -> Desk:
    desk = Desk(runner, connect(ccxt.async_support.binanceusdm, paper.url, "bob"))
    desk.load_markets()
    return desk


@pytest.fixture
def process(tmp_path):
    """Starts paper exchanges of their own, one after another on the same port."""
    port, started = free_port(), []

    def start() -> tuple[subprocess.Popen, PaperControl]:
        command = [sys.executable, "-c", SERVE, str(port), str(tmp_path / "state")]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        assert "listens on" in started[-1].stdout.readline()
        return started[-1], PaperControl(f"http://127.0.0.1:{port}")

    yield start
    for child in started:
        child.kill()
        child.wait()
        child.stdout.close()


def test_what_was_answered_survives_a_kill(process, runner):
    child, paper = process()
    desk = trader(runner, paper)
    make_a_bit_of_everything(desk, paper)
    before = paper.state()

    child.send_signal(signal.SIGKILL)
    child.wait()
    _, paper = process()
    runner.run(desk.client.close())

    assert paper.state() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_soon(process, number):
    began = time.monotonic()
    child, _ = process()
    starting_s = time.monotonic() - began

    child.send_signal(number)

    # Soon is what a machine may need that was so slow to start it.
    assert child.wait(max(3, 3 * starting_s)) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "example.com", "::"])
def test_it_serves_loopback_only(tmp_path, host):
    with pytest.raises(CannotStart, match="not a loopback address"):
        serve(host=host, port=0, state=str(tmp_path / "state"))


def test_a_port_in_use_is_said_in_a_sentence(paper, tmp_path):
    port = int(paper.url.rsplit(":", 1)[1])

    with pytest.raises(CannotStart, match=rf"Port {port} of 127.0.0.1 cannot be used .* --port"):
        serve(port=port, state=str(tmp_path / "state"))
