"""What waits holds nothing: neither a thread of the web server, nor a thread of the runs, nor a database connection."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connections

from orders.execution import batches
from orders.models import Batch, Order, Position
from tests.desk import BTC_LIMIT, ETH_MARKET, open_desk
from tests.waiting import LONG_S, eventually
from tradehub.http.body_buffer import BufferedWSGI

pytestmark = pytest.mark.django_db(transaction=True)

ALERTS = 30


@pytest.fixture
def server():
    """The web server's application with 2 threads, on a loop of its own."""
    application = BufferedWSGI(get_wsgi_application(), threads=2, max_bytes=100_000, body_timeout_s=10)
    clients = ThreadPoolExecutor(ALERTS + 5)
    yield lambda alert: clients.submit(asyncio.run, post(application, json.dumps(alert).encode()))
    clients.shutdown()
    for pool in (application.pool, application.answer_pool):
        pool.submit(connections.close_all)
        pool.shutdown()


@pytest.fixture(autouse=True)
def few_threads(settings):
    batches.shut_down()
    settings.RUN_THREADS = 2
    yield
    batches.shut_down()


async def post(application, body):
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
        return {"type": "http.request", "body": body}

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


def test_a_batch_ends_though_the_loop_of_its_alert_is_closed(paper, server, edge, settings, runs):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100
    desk = open_desk(paper, "A1", group_name="hung")
    answers = edge.hold("place_order", times=1)
    server(desk.alert(BTC_LIMIT)).result(LONG_S)  # its loop is closed with the answer

    answers.release()

    assert all(run.finished.wait(LONG_S) for run in runs)
    assert not Batch.objects.unfinished().exists()
