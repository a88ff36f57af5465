"""Two web servers, two trackers and two workers on PostgreSQL and Redis: one order stays one order."""

import itertools
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from orders.reconciliation.following import FOLLOW_EVERY
from tests.chaos.books import check_books
from tests.chaos.conftest import IS_POSTGRES
from tests.chaos.databases import postgres_binaries, postgres_cluster, postgres_database
from tests.chaos.stack import BTC, CANCEL_ALL, LIMIT, MARKET, Answer, Desk, Json, Stack
from tests.redis_server import redis_server
from tests.waiting import done_within, eventually
from tradehub.schedules import JOBS

pytestmark = pytest.mark.skipif(
    not IS_POSTGRES or postgres_binaries() is None or shutil.which("redis-server") is None,
    reason="Needs PostgreSQL and Redis servers of its own.",
)

WEBS, TRACKERS, WORKERS = ("web", "web2"), ("tracker", "tracker2"), ("worker", "worker2")
CLOSE = {**BTC, "side": "sell", "order_type": "MARKET", "qty_per": -100}
ROUNDS = 12
TAKEN_OVER_S = 15
SINGLE_S = (
    2.5  # the answer budget, within which a single order of one owner is sent whatever another owner does
)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """PostgreSQL allows its default of 100 connections."""
    with (
        postgres_cluster(connections=100) as cluster,
        postgres_database(cluster.url) as url,
        redis_server() as redis,
        Stack(url, TEST_Q_REDIS_URL=redis.url, TEST_CACHE_URL=f"{redis.url[:-1]}1") as stack,
    ):
        for name in WEBS:
            stack.start_web(name=name)
        for name in TRACKERS:
            stack.start_tracker(name=name)
        for name in WORKERS:
            stack.start("worker", name=name)
        yield stack


def ports(stack: Stack) -> list[int]:
    return [stack.running[name].port for name in WEBS if name in stack.running]


def send_stubbornly(stack: Stack, alert: Json, turn: int) -> Answer:
    """Sends to the servers by turns, as a sender behind a load balancer that sends again what broke."""
    for attempt in itertools.count(turn):
        alive = ports(stack)
        answer = stack.deliver(alert, port=alive[attempt % len(alive)])
        if answer is not None:
            return answer
        time.sleep(0.1)
    raise AssertionError("Not reached.")


def test_a_strategy_is_traded_through_both_servers(stack):
    desk = stack.seed({"name": "journey", "accounts": 2})[0]
    first, second = ports(stack)
    legs = [{**LIMIT, "price": price} for price in ("90000", "89000")]

    entered = stack.deliver(desk.alert(MARKET, id="entry"), port=first)
    with ThreadPoolExecutor(2) as pool:  # the same alert to both servers at once
        twice = list(
            pool.map(lambda port: stack.deliver(desk.alert(MARKET, id="twice"), port=port), (first, second))
        )
    batch = stack.deliver(desk.alert(orders=[*legs, MARKET], id="batch"), port=second)
    canceled = stack.deliver(desk.alert(CANCEL_ALL, id="cancel"), port=first)
    left = stack.deliver(desk.alert(CLOSE, id="exit"), port=second)

    assert {a.body["outcome"] for a in (entered, *twice, batch, canceled, left)} == {"all"}
    assert sorted(answer.body["duplicate"] for answer in twice) == [False, True]
    compared = check_books(stack)
    assert compared["statuses"] == {"filled": 8, "canceled": 4}
    assert compared["positions"] == 0


def test_two_trackers_follow_each_account_once(stack):
    desk = stack.seed({"name": "shared", "accounts": 6})[0]
    stack.deliver(desk.alert(LIMIT))
    eventually(lambda: stack.call("live_trackers") == len(TRACKERS), what="both trackers are alive")
    time.sleep(1)  # both have seen each other
    since, began = len(stack.paper.requests()), time.monotonic()

    def look_ups() -> Counter[str]:
        """Each account has one working order, which is looked up every 5 s while there is weight."""
        rows = stack.paper.requests(since=since)
        return Counter(
            row["api_key"] for row in rows if row["method"] == "GET" and row["path"] == "/fapi/v1/order"
        )

    eventually(lambda: set(desk.keys) <= set(look_ups()), what="every account is followed", every_s=0.2)
    most = (time.monotonic() - began) / FOLLOW_EVERY.total_seconds() + 1
    assert max(look_ups()[key] for key in desk.keys) <= most


def test_a_server_and_a_tracker_die_in_the_middle_and_every_order_is_sent_once(stack):
    desks = stack.seed(*({"name": f"killed-{n}", "accounts": 2, "owner": f"owner-{n}"} for n in range(3)))
    kinds = [MARKET, LIMIT, {"orders": [LIMIT, MARKET]}, CANCEL_ALL, CLOSE]
    alerts = [
        desk.alert(kind, id=f"{turn}-{number}")
        for turn in range(ROUNDS)
        for desk in desks
        for number, kind in enumerate(kinds)
    ]
    begun = threading.Semaphore(0)

    def send(numbered: tuple[int, Json]) -> Answer:
        begun.release()
        return send_stubbornly(stack, numbered[1], numbered[0])

    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(send, enumerate(alerts))
        for _ in range(len(alerts) // 3):
            begun.acquire()
        stack.kill("web2")
        stack.kill("tracker2")
        statuses = [answer.status for answer in answers]

    assert set(statuses) == {200}
    assert check_books(stack)["posts"] > len(alerts) / 2


def statuses(stack: Stack, desk: Desk) -> Counter[str]:
    return Counter(row["status"] for row in stack.call("books")["orders"] if row["strategy"] == desk.name)


def test_the_tracker_that_is_left_follows_the_accounts_of_the_dead_one(stack):
    """Runs with a single tracker, after the kill: fills of every account are booked."""
    stack.kill("tracker2")
    desk = stack.seed({"name": "followed", "accounts": 6})[0]
    stack.deliver(desk.alert(orders=[LIMIT, {**LIMIT, "price": "89000"}]), port=ports(stack)[0])

    stack.paper.set_prices({"BTCUSDT": "89500"})
    began = time.monotonic()
    eventually(lambda: statuses(stack, desk) == {"filled": 6, "accepted": 6}, what="the fills are booked")
    took_s = time.monotonic() - began
    stack.paper.set_prices({"BTCUSDT": "95000"})

    assert took_s < TAKEN_OVER_S
    assert stack.call("live_trackers") == 1


def test_one_owners_flood_delays_no_order_of_another(stack):
    if "web2" not in stack.running:
        stack.start_web(name="web2")
    flooding, calm = stack.seed(
        {"name": "flood", "accounts": 4, "owner": "flora"}, {"name": "calm", "owner": "carl"}
    )
    stop = threading.Event()
    numbers = itertools.count()

    def flood(port: int) -> None:
        while not stop.is_set():
            legs = [{**LIMIT, "price": str(80_000 + number)} for number in range(20)]
            stack.send(flooding.alert(orders=legs, id=f"{next(numbers)}"), port=port)
            stack.send(flooding.alert(CANCEL_ALL, id=f"{next(numbers)}"), port=port)

    with ThreadPoolExecutor(2) as pool:
        floods = [pool.submit(flood, port) for port in ports(stack)]
        try:
            time.sleep(1)
            answers = [
                done_within(
                    SINGLE_S,
                    lambda turn=turn: stack.deliver(
                        calm.alert(MARKET, id=f"{next(numbers)}"), port=ports(stack)[turn % 2]
                    ),
                )
                for turn in range(6)
            ]
        finally:
            stop.set()
        for each in floods:
            each.result()

    assert {answer.body["outcome"] for answer in answers} == {"all"}
    check_books(stack)


def test_two_workers_do_a_scheduled_task_once(stack):
    rarely = [job.name for job in JOBS if job.minutes >= 5]
    eventually(lambda: set(stack.call("task_counts")) >= {job.name for job in JOBS}, what="each task is done")

    counts = stack.call("task_counts")

    assert [counts[name] for name in rarely] == [1] * len(rarely)
