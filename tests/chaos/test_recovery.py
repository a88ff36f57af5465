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
from tests.chaos.stack import BTC, LIMIT, MARKET, PATIENT, Answer, Stack
from tests.failpoints import armed
from tests.waiting import done_within, eventually

TRIES = 3
SLOW_ANSWERS = {name: str(value) for name, value in PATIENT.items()}


@pytest.fixture
def stack(database_url_of_its_own: str) -> Iterator[Stack]:
    with Stack(database_url_of_its_own) as stack:
        yield stack


def measured(act: Callable[[], Any]) -> tuple[Any, float]:
    """What it returned, and the seconds that it took."""
    started = time.monotonic()
    return act(), time.monotonic() - started


def test_two_trackers_that_find_the_same_batch_send_it_once(stack):
    desk = stack.seed({"name": "desk", "accounts": 3})[0]
    web = stack.start_web("K5:1")
    assert stack.deliver(desk.alert(LIMIT)) is None
    stack.wait_until_dead(web)

    for name in ("one", "other"):
        stack.start("tracker", name=name)

    assert check_books(stack)["posts"] == 3


def test_fifty_copies_at_once_are_one_order(stack):
    desk = stack.seed({"name": "desk"})[0]
    stack.start_web()
    stack.start_tracker()

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(stack.deliver, [desk.alert(LIMIT, id="once")] * 50))

    assert {answer.status for answer in answers if answer} == {200}
    assert sorted(answer.body["duplicate"] for answer in answers if answer).count(False) == 1
    assert check_books(stack)["posts"] == 1


def test_one_hanging_account_of_ten_delays_only_itself(stack):
    desks = stack.seed(*({"name": f"desk-{i}", "accounts": 10} for i in range(TRIES)))
    stack.start_web(settings={"WEBHOOK_ANSWER_BUDGET_MS": 1500})
    stack.start_tracker()
    played = []

    def deliver_with_one_that_hangs():
        desk = desks[len(played)]
        stack.paper.fault(
            action="delay", value=6, when="before", method="POST", path=ORDER, api_key=desk.keys[3]
        )
        played.append(desk.alert(MARKET, id="a"))
        return stack.deliver(played[-1])

    answer = done_within(3, deliver_with_one_that_hangs, tries=TRIES)

    assert answer.status == 200
    by_status = eventually(lambda: nine_filled(stack.deliver(played[-1])), what="nine orders are filled")
    assert by_status == {("filled", "success"): 9, ("submitted", "pending"): 1}
    assert check_books(stack)["statuses"] == {"filled": 9 * len(played), "rejected": len(played)}


def nine_filled(answer: Answer) -> Counter[tuple[str, str]] | None:
    found = Counter((result["order_status"], result["status"]) for result in answer.body["results"])
    return found if found["filled", "success"] == 9 else None


def test_a_throttled_exchange_gets_no_request_before_its_time_and_loses_no_order(stack):
    first, second = stack.seed({"name": "first"}, {"name": "second"})
    stack.start_web()
    stack.paper.fault(
        action="code", value=-1003, status=429, retry_after=3, path=ORDER, api_key=first.keys[0]
    )
    stack.deliver(first.alert(LIMIT))

    stack.deliver(second.alert(LIMIT))

    (refused,) = stack.posts(first.keys[0])
    (sent,) = eventually(lambda: stack.posts(second.keys[0]), what="the queued order leaves")
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
        refused = [done_within(3, lambda i=i: stack.send(desk.alert(LIMIT, id=f"{i}"))) for i in range(3)]
    finally:
        cluster.start()

    assert [answer.status for answer in refused] == [503] * 3
    resent = [stack.deliver(desk.alert(LIMIT, id=f"{i}")) for i in range(3)]
    assert [(answer.status, answer.body["duplicate"]) for answer in resent] == [(200, False)] * 3
    assert check_books(stack)["orders"] == 4


def test_a_database_that_dies_between_the_request_and_its_answer_loses_nothing(stack_on_cluster, cluster):
    stack = stack_on_cluster
    stack.kill("web")
    stack.start_web(settings=PATIENT)
    desk = stack.seed({"name": "desk"})[0]
    key = desk.keys[0]
    stack.paper.fault(action="delay", value=2, when="after", method="POST", path=ORDER, api_key=key)
    connection = stack.send_and_leave(desk.alert(MARKET))
    eventually(
        lambda: [row for row in stack.posts(key) if row["outcome"] == "accepted"],
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
    tracker = stack.start_tracker()
    web, starting_s = measured(lambda: stack.start_web(settings=PATIENT))
    stack.paper.fault(action="delay", value=1.5, when="after", method="POST", path=ORDER, api_key=key)
    connection = stack.send_and_leave(desk.alert(MARKET))
    eventually(lambda: stack.posts(key), what="the POST")

    started = time.monotonic()
    for name in ("web", "tracker"):
        stack.signal(name, signal.SIGTERM)
    ended = [stack.wait_until_dead(process) for process in (web, tracker)]
    took_s = time.monotonic() - started

    assert ended == [0, 0]
    assert took_s < 12 + 10 * starting_s  # what a machine may need that was so slow to start it
    connection.close()
    stack.start_web()
    stack.start_tracker()
    assert check_books(stack)["statuses"] == {"filled": 1}


def test_the_product_s_own_server_drains_on_sigterm(stack):
    desk = stack.seed({"name": "desk"})[0]
    key = desk.keys[0]
    stack.paper.fault(action="delay", value=1, when="after", method="POST", path=ORDER, api_key=key)
    began = time.monotonic()
    with stack.product_server(**SLOW_ANSWERS) as server:
        starting_s = time.monotonic() - began
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(stack.deliver, desk.alert(MARKET), port=server.port, is_tls=True)
            eventually(lambda: stack.posts(key), what="the POST")
            server.process.send_signal(signal.SIGTERM)
            assert answer.result().body["results"][0]["order_status"] == "filled"
        try:
            assert (
                server.process.wait(15 + starting_s) == 0
            )  # a busy machine, slow to start it, may be slow to end it
        except subprocess.TimeoutExpired as error:
            pytest.fail(f"the server did not end within {error.timeout:.0f} s of SIGTERM")

    assert check_books(stack)["statuses"] == {"filled": 1}


def test_a_server_killed_and_respawned_by_its_own_parent_answers_again(stack):
    desk = stack.seed({"name": "desk"})[0]
    stack.start_tracker()
    with stack.product_server(FAILPOINTS=armed("K6:1"), **SLOW_ANSWERS) as server:
        assert stack.deliver(desk.alert(LIMIT), port=server.port, is_tls=True) is None

        again = eventually(
            lambda: stack.deliver(desk.alert(LIMIT, dry_run=True), port=server.port, is_tls=True),
            what="the respawned worker answers",
            every_s=0.2,
        )

        assert again.status == 200
    assert check_books(stack)["statuses"] == {"rejected": 1}
