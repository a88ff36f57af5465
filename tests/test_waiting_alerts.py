"""What waits holds nothing: neither a thread of the web server, nor a thread of the runs, nor a database connection."""

import asyncio
import json
import threading
from copy import copy

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connections

from orders.execution import batches
from orders.models import Batch, Order, Position
from tests.desk import BTC_LIMIT, ETH_MARKET, open_desk
from tests.waiting import LONG_S, eventually
from tradehub.http.body_buffer import BufferedWSGI
from webhooks import services

pytestmark = pytest.mark.django_db(transaction=True)

ALERTS = 30


@pytest.fixture
def application():
    """The web server's application with 2 threads."""
    application = BufferedWSGI(get_wsgi_application(), threads=2, max_bytes=100_000, body_timeout_s=10)
    yield application
    for pool in (application.pool, application.answer_pool):
        pool.submit(connections.close_all)
        pool.shutdown()


@pytest.fixture
def server(application):
    """The application on a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield lambda alert: asyncio.run_coroutine_threadsafe(post(application, alert), loop)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(autouse=True)
def few_threads(settings):
    batches.shut_down()
    settings.RUN_THREADS = 2
    yield
    batches.shut_down()


async def post(application, alert):
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/api/webhook",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "server": ("127.0.0.1", 5001),
        "client": ("127.0.0.1", 4242),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": json.dumps(alert).encode()}

    async def send(event):
        sent.append(event)

    await application(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_a_hung_account_and_many_waiting_alerts_delay_nobody_else(paper, server, edge, bob):
    hung = open_desk(paper, "A1", group_name="hung")
    other = open_desk(paper, "B1", group_name="other", owner=bob)
    answers = edge.hold("place_order", times=1)
    waiting = [server(hung.alert(BTC_LIMIT, id=f"alert-{number}")) for number in range(ALERTS)]
    answers.wait_for()
    eventually(lambda: Order.objects.filter(account__name="A1").count() == ALERTS, what="all are stored")

    status, answer = server(other.alert(ETH_MARKET)).result(LONG_S)

    assert (status, answer["results"][0]["order_status"]) == (200, "filled")
    assert not any(future.done() for future in waiting)
    answers.release()
    results = [future.result(LONG_S) for future in waiting]
    assert {status for status, _ in results} == {200}
    assert {row["order_status"] for _, answer in results for row in answer["results"]} == {"accepted"}
    assert len(hung.posts("A1")) == ALERTS


def test_the_budget_is_counted_from_the_arrival_of_the_request(paper, server, edge, settings):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 300
    desk = open_desk(paper, "A1", group_name="hung")
    answers = edge.hold("place_order", times=1)

    results = [
        future.result(LONG_S)
        for future in [server(desk.alert(BTC_LIMIT, id=f"alert-{number}")) for number in range(ALERTS)]
    ]

    assert {status for status, _ in results} == {200}
    assert all(row["status"] == "pending" for _, answer in results for row in answer["results"])
    answers.release()


def test_a_market_order_is_answered_with_the_exchanges_word_and_booked_afterwards(paper, server, edge, runs):
    desk = open_desk(paper, "A1", "A2", group_name="fast")
    trades = edge.hold("fetch_order_fills")

    status, answer = server(desk.alert(ETH_MARKET)).result(LONG_S)

    shown = [
        (row["order_status"], row["filled"] == row["quantity"], row["average"]) for row in answer["results"]
    ]
    assert (status, shown) == (200, [("filled", True, "3500"), ("filled", True, "3500")])
    assert {(order.status, order.filled) for order in Order.objects.all()} == {("accepted", 0)}
    trades.release()
    assert all(run.finished.wait(LONG_S) for run in runs)
    assert {(order.status, order.filled == order.quantity) for order in Order.objects.all()} == {
        ("filled", True)
    }
    assert {position.quantity < 0 for position in Position.objects.all()} == {True}


def test_an_order_whose_trades_are_being_booked_is_not_shown_half(paper, server, edge, runs):
    desk = open_desk(paper, "A1", group_name="fast")
    trades = edge.hold("fetch_order_fills")
    server(desk.alert(ETH_MARKET)).result(LONG_S)
    order = copy(runs[0].orders[0])

    order.filled = order.quantity  # and the status comes a moment later
    shown = runs[0].as_reported(order)

    assert (order.status, shown.status) == ("accepted", "filled")
    trades.release()


def test_a_copy_waits_on_the_loop_for_the_first(paper, server, edge, bob):
    desk = open_desk(paper, "A1", group_name="hung")
    answers = edge.hold("place_order", times=1)
    copies = [server(desk.alert(BTC_LIMIT, id="the same")) for _ in range(ALERTS)]
    answers.wait_for()

    other = open_desk(paper, "B1", group_name="other", owner=bob)
    status, _ = server(other.alert(ETH_MARKET)).result(LONG_S)

    assert status == 200
    answers.release()
    results = [future.result(LONG_S)[1] for future in copies]
    assert sorted(answer["duplicate"] for answer in results) == [False] + [True] * (ALERTS - 1)
    assert len(desk.posts("A1")) == 1


def test_a_batch_ends_though_the_loop_of_its_alert_is_closed(paper, application, edge, settings, runs):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100
    desk = open_desk(paper, "A1", group_name="hung")
    answers = edge.hold("place_order", times=1)
    asyncio.run(post(application, desk.alert(BTC_LIMIT)))  # its loop is closed with the answer

    answers.release()

    assert all(run.finished.wait(LONG_S) for run in runs)
    assert not Batch.objects.unfinished().exists()


def test_alerts_that_wait_to_be_stored_delay_no_other_sender(paper, server, bob, monkeypatch):
    """Each alert of the flood keeps a thread for a while; the other's alert is stored after one of these at most."""
    flood, other = open_desk(paper, "A1", group_name="flood"), open_desk(paper, "B1", owner=bob)
    for desk in (flood, other):
        assert server(desk.alert(BTC_LIMIT, id="known")).result(LONG_S)[0] == 200
    gate, store = threading.Semaphore(0), services._store_delivery

    def store_later(accepted):
        if accepted.admission.strategy.group_name == "flood":
            gate.acquire(timeout=LONG_S)
        return store(accepted)

    monkeypatch.setattr(services, "_store_delivery", store_later)
    waiting = [server(flood.alert(BTC_LIMIT, id=f"alert-{number}")) for number in range(ALERTS)]

    status, answer = server(other.alert(ETH_MARKET)).result(LONG_S)

    assert (status, answer["results"][0]["order_status"]) == (200, "filled")
    assert not any(future.done() for future in waiting)
    gate.release(ALERTS)
    assert {future.result(LONG_S)[0] for future in waiting} == {200}
