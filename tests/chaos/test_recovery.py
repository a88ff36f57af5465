"""How soon the truth is back: after a kill, after silence, after the database was gone."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.chaos.books import check_books
from tests.chaos.databases import PostgresCluster, postgres_database
from tests.chaos.kills import ORDER
from tests.chaos.stack import BTC, LIMIT, MARKET, Answer, Json, Stack
from tests.failpoints import armed
from tests.waiting import eventually


@pytest.fixture
def stack(database_url_of_its_own: str) -> Iterator[Stack]:
    with Stack(database_url_of_its_own) as stack:
        yield stack


@pytest.fixture
def patient_stack(database_url_of_its_own: str) -> Iterator[Stack]:
    """With the product's own horizon, time-out and interval."""
    with Stack(database_url_of_its_own, horizon_s=60, timeout_s=10, TRACK_INTERVAL_S="2") as stack:
        yield stack


def measured(act: Callable[[], Any]) -> tuple[Any, float]:
    """What it returned, and the seconds that it took."""
    started = time.monotonic()
    return act(), time.monotonic() - started


def test_what_a_killed_server_left_is_settled_within_its_limits(patient_stack):
    stack = patient_stack
    accepted, lost, absent = stack.seed(*({"name": name} for name in ("accepted", "lost", "absent")))
    stack.paper.fault(action="drop", when="after", method="POST", path=ORDER, api_key=lost.keys[0])
    stack.paper.fault(action="drop", when="before", method="POST", path=ORDER, api_key=absent.keys[0])
    for desk in (accepted, lost, absent):
        web = stack.start_web("K9:1")
        assert stack.deliver(desk.alert(MARKET)) is None
        stack.wait_until_dead(web)

    restarted_at = time.time()
    stack.start_web()
    stack.start_tracker()
    compared = check_books(stack, within_s=120)

    rows = {row["strategy"]: row for row in stack.call("books")["orders"]}
    assert compared["statuses"] == {"filled": 2, "rejected": 1}
    assert max(rows[name]["closed_at"] for name in ("accepted", "lost")) - restarted_at <= 30
    assert 60 <= rows["absent"]["closed_at"] - rows["absent"]["submitted_at"] <= 120
    assert rows["absent"]["evidence"] == "absence"


def test_two_trackers_that_find_the_same_batch_send_it_once(stack):
    desk = stack.seed({"name": "desk", "accounts": 3})[0]
    web = stack.start_web("K5:1")
    assert stack.deliver(desk.alert(LIMIT)) is None
    stack.wait_until_dead(web)

    for name in ("one", "other"):
        stack.start("tracker", name=name)

    assert check_books(stack)["posts"] == 3


def sent_again(stack: Stack, alert: Json) -> Answer | None:
    """As a sender does that is told that nothing was stored: fifty at once may be too many for a busy SQLite."""
    for _ in range(10):
        answer = stack.deliver(alert)
        if answer is None or answer.status != 503:
            break
    return answer


def test_fifty_copies_at_once_are_one_order(stack):
    desk = stack.seed({"name": "desk"})[0]
    stack.start_web()
    stack.start_tracker()

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda alert: sent_again(stack, alert), [desk.alert(LIMIT, id="once")] * 50))

    assert {answer.status for answer in answers if answer} == {200}
    assert sorted(answer.body["duplicate"] for answer in answers if answer).count(False) == 1
    assert check_books(stack)["posts"] == 1


def test_one_hanging_account_of_ten_delays_only_itself(stack):
    desk = stack.seed({"name": "desk", "accounts": 10})[0]
    stack.start_web(settings={"WEBHOOK_ANSWER_BUDGET_MS": 1500})
    stack.start_tracker()
    stack.paper.fault(action="delay", value=6, when="before", method="POST", path=ORDER, api_key=desk.keys[3])

    answer, took_s = measured(lambda: stack.deliver(desk.alert(MARKET)))

    statuses = [(result["order_status"], result["status"]) for result in answer.body["results"]]
    assert Counter(statuses) == {("filled", "success"): 9, ("submitted", "pending"): 1}
    assert took_s < 3
    assert check_books(stack)["statuses"] == {"filled": 9, "rejected": 1}


def test_a_throttled_exchange_gets_no_request_before_its_time_and_loses_no_order(stack):
    first, second = stack.seed({"name": "first"}, {"name": "second"})
    stack.start_web()
    stack.paper.fault(
        action="code", value=-1003, status=429, retry_after=3, path=ORDER, api_key=first.keys[0]
    )
    stack.deliver(first.alert(LIMIT))

    stack.deliver(second.alert(LIMIT))

    (refused,) = stack.posts(first.keys[0])
    (sent,) = eventually(lambda: stack.posts(second.keys[0]), within_s=20, what="the queued order leaves")
    assert sent["received_at"] - refused["received_at"] >= 3000
    assert check_books(stack)["statuses"] == {"rejected": 1, "accepted": 1}


def test_a_thin_book_leaves_an_expired_order_with_its_fills(stack):
    desk = stack.seed({"name": "desk"})[0]
    stack.start_web()
    stack.start_tracker()
    stack.paper.set_liquidity({"BTCUSDT": "0.1"})

    stack.deliver(desk.alert(MARKET))

    compared = check_books(stack)
    assert (compared["statuses"], compared["trades"]) == ({"expired": 1}, 1)


def test_a_cancel_that_comes_too_late_finds_the_fill(stack):
    desk = stack.seed({"name": "desk"})[0]
    stack.start_web()
    stack.deliver(desk.alert(LIMIT, price="94000"))
    stack.paper.set_prices({"BTCUSDT": "93900"})

    stack.deliver(desk.alert(BTC, order_type="CANCEL_ALL_ORDER"))

    assert check_books(stack)["statuses"] == {"filled": 1}


# The database


@pytest.fixture
def stack_on_cluster(cluster: PostgresCluster) -> Iterator[Stack]:
    with postgres_database(cluster.url) as url, Stack(url) as stack:
        stack.start_web()
        stack.start_tracker()
        yield stack


def test_a_dead_database_is_a_503_in_time_and_never_a_200_without_a_row(stack_on_cluster, cluster):
    stack = stack_on_cluster
    desk = stack.seed({"name": "desk"})[0]
    assert stack.deliver(desk.alert(MARKET)).status == 200

    cluster.stop()
    try:
        timed = [measured(lambda i=i: stack.deliver(desk.alert(LIMIT, id=f"{i}"))) for i in range(3)]
    finally:
        cluster.start()

    assert [answer.status for answer, _ in timed] == [503] * 3
    assert max(took_s for _, took_s in timed) < 3
    resent = [stack.deliver(desk.alert(LIMIT, id=f"{i}")) for i in range(3)]
    assert [(answer.status, answer.body["duplicate"]) for answer in resent] == [(200, False)] * 3
    assert check_books(stack)["orders"] == 4


def test_a_database_that_dies_between_the_request_and_its_answer_loses_nothing(stack_on_cluster, cluster):
    stack = stack_on_cluster
    desk = stack.seed({"name": "desk"})[0]
    key = desk.keys[0]
    stack.paper.fault(action="delay", value=2, when="after", method="POST", path=ORDER, api_key=key)
    connection = stack.send_and_leave(desk.alert(MARKET))
    eventually(
        lambda: [row for row in stack.posts(key) if row["outcome"] == "accepted"],
        within_s=20,
        what="the POST",
    )

    cluster.stop()
    try:
        response = connection.getresponse()
        assert response.status == 200, "it was stored, and a 5xx would have it sent again"
        response.read()
    finally:
        connection.close()
        cluster.start()

    assert check_books(stack)["statuses"] == {"filled": 1}


# Stopping


def test_sigterm_lets_a_slow_order_end_and_loses_nothing(stack):
    desk = stack.seed({"name": "desk"})[0]
    key = desk.keys[0]
    web, tracker = stack.start_web(), stack.start_tracker()
    stack.paper.fault(action="delay", value=1.5, when="after", method="POST", path=ORDER, api_key=key)
    connection = stack.send_and_leave(desk.alert(MARKET))
    eventually(lambda: stack.posts(key), within_s=20, what="the POST")

    started = time.monotonic()
    for name in ("web", "tracker"):
        stack.signal(name, signal.SIGTERM)
    ended = [stack.wait_until_dead(process) for process in (web, tracker)]
    took_s = time.monotonic() - started

    assert ended == [0, 0]
    assert took_s < 12
    connection.close()
    stack.start_web()
    stack.start_tracker()
    assert check_books(stack)["statuses"] == {"filled": 1}


def test_the_product_s_own_server_drains_on_sigterm(stack):
    desk = stack.seed({"name": "desk"})[0]
    key = desk.keys[0]
    stack.paper.fault(action="delay", value=1, when="after", method="POST", path=ORDER, api_key=key)
    with stack.product_server() as server:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(stack.deliver, desk.alert(MARKET), port=server.port, is_tls=True)
            eventually(lambda: stack.posts(key), within_s=20, what="the POST")
            server.process.send_signal(signal.SIGTERM)
            assert answer.result().body["results"][0]["order_status"] == "filled"
        try:
            assert server.process.wait(15) == 0
        except subprocess.TimeoutExpired:
            pytest.fail("the server did not end within 15 s of SIGTERM")

    assert check_books(stack)["statuses"] == {"filled": 1}


def test_a_server_killed_and_respawned_by_its_own_parent_answers_again(stack):
    desk = stack.seed({"name": "desk"})[0]
    stack.start_tracker()
    with stack.product_server(FAILPOINTS=armed("K6:1")) as server:
        assert stack.deliver(desk.alert(LIMIT), port=server.port, is_tls=True) is None

        again = eventually(
            lambda: stack.deliver(desk.alert(LIMIT, dry_run=True), port=server.port, is_tls=True),
            within_s=30,
            what="the respawned worker answers",
            every_s=0.2,
        )

        assert again.status == 200
    assert check_books(stack)["statuses"] == {"rejected": 1}
