"""A real Redis that goes away: what was counted in it starts anew in memory, and nothing else changes."""

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from django.core.cache import caches
from redis import Redis

from tests.desk import BTC_LIMIT
from tests.redis_server import RedisServer, redis_server
from tradehub import environment
from tradehub.cache import SILENCE_S, FallbackRedisCache
from webhooks import throttle
from webhooks.errors import WebhookError

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs a redis-server of its own"
)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def cache(server, settings, monkeypatch):
    """The product's own configuration of a Redis cache, in use everywhere."""
    monkeypatch.setenv("SOME_CACHE", server.url)
    settings.CACHES = {"default": environment.cache("SOME_CACHE")}
    yield caches["default"]
    server.kill()
    caches[
        "default"
    ].clear()  # what this process kept in Redis's place, which the next test's cache would find


def spent(count, limit):
    """How many of so many are let through."""

    def spend(_):
        try:
            throttle.spend_attempt("test", "one", limit)
        except WebhookError:
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        return sum(pool.map(spend, range(count)))


def test_the_configuration_is_ours(cache, server):
    cache.set("a", 1)

    assert isinstance(caches["default"], FallbackRedisCache)
    assert Redis(port=server.port).dbsize() == 1


def test_fifty_at_once_spend_no_more_than_the_limit(cache):
    assert spent(50, 20) == 20


def test_fifty_at_once_spend_no_more_than_the_limit_where_redis_is_gone(cache, server):
    server.kill()

    assert spent(50, 20) == 20


def test_while_redis_dies_at_most_one_limit_more_is_let_through(cache, server):
    before = spent(15, 20)
    server.kill()
    after = spent(100, 20)

    assert (before, after) == (15, 20)
    assert spent(50, 20) == 0


@pytest.mark.parametrize(
    ("verb", "args", "answer"),
    [
        ("get", ("a", 7), 7),
        ("get_many", (["a"],), {}),
        ("has_key", ("a",), False),
        ("set", ("a", 1), None),
        ("set_many", ({"a": 1},), []),
        ("add", ("a", 1), True),
        ("incr", ("a",), 1),
        ("touch", ("a",), False),
        ("delete", ("a",), False),
        ("delete_many", (["a"],), None),
        ("clear", (), None),
        ("get_or_set", ("a", 1), 1),
    ],
)
def test_no_verb_fails_without_redis(cache, server, verb, args, answer):
    server.kill()

    assert getattr(cache, verb)(*args) == answer


def test_a_frozen_redis_costs_one_timeout_and_not_one_for_each_call(cache, server, caplog, still):
    cache.get("a")
    server.freeze()

    for _ in range(20):
        cache.get("a")

    assert caplog.text.count("redis does not answer") == 1


@pytest.fixture
def still(monkeypatch):
    """For the cache no time goes by, however slow the machine is."""
    now = time.monotonic()
    monkeypatch.setattr("tradehub.cache.time", SimpleNamespace(monotonic=lambda: now))


def test_redis_is_used_again_when_it_is_back(cache, server, monkeypatch):
    server.kill()
    cache.set("a", "in memory")
    server.start()
    now = time.monotonic()
    monkeypatch.setattr("tradehub.cache.time", SimpleNamespace(monotonic=lambda: now + SILENCE_S + 1))

    cache.set("b", 1)
    cache.set("b", 1)

    assert Redis(port=server.port).exists(":1:b")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ending", ["kill", "freeze"])
def test_deliveries_go_on_when_redis_goes_away(deliver, test1, cache, server, settings, still, ending):
    settings.WEBHOOK_FAILED_AUTH_PER_MINUTE = 3
    market = BTC_LIMIT | {"order_type": "MARKET"}
    before = deliver(test1.alert(market))
    getattr(server, ending)()

    answers = [deliver(test1.alert(market, priority=n)) for n in range(3)]
    wrong = [deliver(test1.alert(market, token="th_" + "x" * 43)).status_code for _ in range(6)]

    assert before.json()["summary"]["successful_trades"] == 2
    assert [answer.json()["summary"]["successful_trades"] for answer in answers] == [2, 2, 2]
    # In time, or no slower than the machine is anyway.
    assert max(map(total_ms, answers)) < max(2500, 5 * total_ms(before))
    assert wrong == [401] * 3 + [429] * 3


def total_ms(answer):
    return answer.json()["performance_metrics"]["total_processing_time_ms"]
