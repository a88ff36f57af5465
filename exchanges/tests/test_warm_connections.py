"""Idle connections are ended here before a server ends them, and replaced in advance, without a request."""

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress

import aiohttp.connector
import pytest

from exchanges.adapters import warm_connections
from exchanges.adapters.transport import Passage, new_session
from exchanges.adapters.warm_connections import IDLE_AT_MOST_S, IdleLimit, Need
from exchanges.errors import NotSent
from exchanges.gateway import Gateway
from exchanges.tests.test_tls import ANSWER, Client, certificate

HOUR_S = 3600


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The pool's clock. No pass runs by itself."""
    clock = Clock()
    monkeypatch.setattr(warm_connections, "monotonic", clock)
    monkeypatch.setattr(aiohttp.connector, "monotonic", clock)
    monkeypatch.setattr(warm_connections, "CALM_PASS_EVERY_S", HOUR_S)
    return clock


@pytest.fixture
def tls(tmp_path):
    return certificate(tmp_path)


class Exchange:
    """A server that answers together once `at_a_time` requests wait, so that each request holds a connection."""

    def __init__(self, tls):
        self.tls, self.answer, self.at_a_time = tls, ANSWER, 1
        self.writers, self.waiting, self.heard = [], [], 0

    async def __call__(self, reader, writer):
        self.writers.append(writer)
        with suppress(ConnectionError):
            while await reader.read(65536):
                self.heard += 1
                self.waiting.append(writer)
                if len(self.waiting) >= self.at_a_time:
                    for each in self.waiting:
                        each.write(self.answer)
                    self.waiting.clear()
        writer.close()

    @property
    def handshakes(self):
        return len(self.writers)

    async def open(self, port=0):
        context = None
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
        self.listening = await asyncio.start_server(self, "127.0.0.1", port, ssl=context)
        self.port = self.listening.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self.tls else ''}://localhost:{self.port}/order"

    async def hang_up(self):
        """Ends all connections."""
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*[writer.wait_closed() for writer in self.writers], return_exceptions=True)


class Desk:
    """A session with its pool, and the exchange that the session talks to."""

    def __init__(self, session, exchange):
        self.session, self.exchange, self.pool = session, exchange, session.connector

    async def send(self, of="paper"):
        async with Passage(asyncio.Semaphore(1), of) as passage:
            client = Client(self.session)
            client.passage = passage
            return await client.fetch(self.exchange.url, "POST", {}, "quantity=1")

    async def fan_out(self, size, of="paper"):
        """Returns how many handshakes the fan-out took."""
        before, self.exchange.at_a_time = self.exchange.handshakes, size
        answers = await asyncio.gather(*[self.send(of) for _ in range(size)])
        assert answers == [{}] * size
        return self.exchange.handshakes - before

    async def make_passes(self, number):
        for _ in range(number):
            self.pool.look_after()
            await asyncio.gather(*self.pool.openings)

    @property
    def idle(self):
        return [protocol for idle in self.pool._conns.values() for protocol, _ in idle]

    async def notice(self, condition):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def open_desk(tls, *, most_warm=10, may_open=lambda exchange: True):
    exchange = Exchange(tls)
    await exchange.open()
    ca_file = str(tls[0]) if tls else ""
    async with new_session(ca_file=ca_file, most_warm=most_warm, may_open=may_open) as session:
        yield Desk(session, exchange)
    exchange.listening.close()
    await exchange.hang_up()


async def quiet(desk, clock, seconds):
    """Lets quiet seconds pass, with a pass of the pool in each. Returns the numbers of idle connections meanwhile."""
    idle = set()
    for _ in range(seconds):
        clock.now += 1
        await desk.make_passes(1)
        idle.add(len(desk.idle))
    return idle


# The set


def test_a_fan_out_after_a_quiet_time_finds_its_connections(tls, clock, monkeypatch):
    monkeypatch.setattr(warm_connections, "PASS_EVERY_S", 1)

    async def run():
        async with open_desk(tls) as desk:
            first = await desk.fan_out(5)
            idle = await quiet(desk, clock, 300)
            return first, desk.exchange.heard, idle, await desk.fan_out(5)

    first, requests, idle, again = asyncio.run(run())

    assert (first, again) == (5, 0)
    assert requests == 5  # nothing was asked meanwhile
    assert idle == {5, 6}  # until the next pass, a replaced connection stands beside the new one


def test_a_set_that_the_server_ended_is_filled_again(tls):
    async def run():
        async with open_desk(tls) as desk:
            await desk.fan_out(5)
            await desk.exchange.hang_up()
            await desk.notice(lambda: all(protocol.should_close for protocol in desk.idle))
            await desk.make_passes(5)
            return len(desk.idle), await desk.fan_out(5)

    assert asyncio.run(run()) == (5, 0)


def test_no_connection_idles_longer_than_the_server_lets_it(tls, clock):
    async def run():
        async with open_desk(tls, most_warm=0) as desk:
            await desk.fan_out(3)
            clock.now += IDLE_AT_MOST_S - 1
            young = await desk.fan_out(3)
            clock.now += IDLE_AT_MOST_S + 1
            return young, await desk.fan_out(3)

    assert asyncio.run(run()) == (0, 3)


@pytest.mark.parametrize(
    ("with_tls", "of", "most_warm", "kept"),
    [(True, "paper", 10, 5), (True, "paper", 3, 3), (True, "paper", 0, 0), (True, "", 10, 0), (False, "paper", 10, 0)],
    ids=["as needed", "at most", "off", "of no exchange", "without TLS"],
)  # fmt: skip
def test_so_many_connections_are_opened_in_advance(tls, clock, with_tls, of, most_warm, kept):
    async def run():
        async with open_desk(tls if with_tls else None, most_warm=most_warm) as desk:
            await desk.fan_out(5, of)
            clock.now += IDLE_AT_MOST_S + 1
            await desk.make_passes(8)
            return len(desk.idle)

    assert asyncio.run(run()) == kept


def test_nothing_is_opened_during_a_pause(tls, clock):
    paused, asked = {"paper"}, []

    def may_open(exchange):
        asked.append(exchange)
        return exchange not in paused

    async def run():
        async with open_desk(tls, may_open=may_open) as desk:
            await desk.fan_out(3)
            clock.now += IDLE_AT_MOST_S + 1
            await desk.make_passes(5)
            held_back = len(desk.idle), desk.exchange.handshakes
            paused.clear()
            await desk.make_passes(5)
            return held_back, len(desk.idle)

    assert asyncio.run(run()) == ((0, 3), 3)
    assert set(asked) == {"paper"}


def test_the_gateway_opens_nothing_while_the_address_is_paused(settings):
    settings.WARM_CONNECTIONS = 7
    gateway = Gateway()
    gateway.pause("paper", 60)

    async def run():
        async with await gateway._open_session() as session:
            pool = session.connector
            return pool._most, pool._may_open("paper"), pool._may_open("binance")

    assert asyncio.run(run()) == (7, False, True)


def test_a_pass_leaves_the_processor_to_calls_that_have_just_begun(tls, clock):
    async def run():
        async with open_desk(tls) as desk:
            await desk.fan_out(3)
            clock.now += IDLE_AT_MOST_S + 1
            desk.exchange.at_a_time = 2  # so the next call waits
            call = asyncio.create_task(desk.send())
            await desk.notice(lambda: desk.exchange.waiting)
            beside_a_young_call = desk.pool.look_after()
            clock.now += 1
            beside_an_old_call = desk.pool.look_after()
            await asyncio.gather(*desk.pool.openings)
            await asyncio.gather(call, desk.send())
            return beside_a_young_call, beside_an_old_call

    assert asyncio.run(run()) == (False, True)


@pytest.mark.parametrize(("size", "opened"), [(8, 4), (2, 2)])
def test_few_connections_are_opened_at_a_time_and_none_too_many(tls, clock, size, opened):
    async def run():
        async with open_desk(tls) as desk:
            await desk.fan_out(size)
            clock.now += IDLE_AT_MOST_S + 1
            begun = [desk.pool.look_after() for _ in range(8)]
            await asyncio.gather(*desk.pool.openings)
            return begun, len(desk.idle)

    assert asyncio.run(run()) == ([True] * opened + [False] * (8 - opened), opened)


def test_a_host_that_refuses_connections_is_left_alone_for_a_while(tls, clock):
    async def run():
        async with open_desk(tls) as desk:
            await desk.fan_out(3)
            clock.now += IDLE_AT_MOST_S + 1
            desk.exchange.listening.close()
            await desk.make_passes(1)
            resting = desk.pool.look_after()
            await desk.exchange.open(desk.exchange.port)
            clock.now += 30
            await desk.make_passes(3)
            return resting, len(desk.idle)

    assert asyncio.run(run()) == (False, 3)


def test_a_call_without_a_connection_counts_only_as_long_as_it_tries(tls, clock):
    async def run():
        async with open_desk(tls) as desk:
            desk.exchange.listening.close()
            for _ in range(2):
                with pytest.raises(NotSent):
                    await desk.send()
            await desk.exchange.open(desk.exchange.port)
            await desk.fan_out(3)
            clock.now += IDLE_AT_MOST_S + 1
            await desk.make_passes(8)
            return len(desk.idle)

    assert asyncio.run(run()) == 3


def test_passes_run_by_themselves_until_the_pool_is_closed(tls, monkeypatch):
    monkeypatch.setattr(warm_connections, "CALM_PASS_EVERY_S", 0.001)
    monkeypatch.setattr(warm_connections, "PASS_EVERY_S", 0.001)

    async def run():
        async with open_desk(tls) as desk:
            await desk.fan_out(3)
            await desk.exchange.hang_up()
            await desk.notice(lambda: len(desk.idle) == 3 and desk.exchange.handshakes == 6)
        return desk.pool._timer.cancelled(), asyncio.all_tasks() - {asyncio.current_task()}

    is_cancelled, tasks = asyncio.run(run())

    assert is_cancelled
    assert not {task for task in tasks if "_open" in repr(task)}


def test_a_closed_pool_opens_nothing_more(tls, clock):
    async def run():
        async with open_desk(tls) as desk:
            await desk.fan_out(1)
            clock.now += IDLE_AT_MOST_S + 1
            desk.pool.look_after()
            (opening,) = desk.pool.openings
        with suppress(asyncio.CancelledError):
            await opening
        return opening.cancelled(), desk.idle

    assert asyncio.run(run()) == (True, [])


# A connection that the server has ended


def test_a_call_does_not_use_a_connection_that_the_server_ended(tls):
    async def run():
        async with open_desk(tls) as desk:
            await desk.fan_out(2)
            await desk.exchange.hang_up()
            await desk.notice(lambda: all(not protocol.is_connected() for protocol in desk.idle))
            return await desk.fan_out(2), desk.exchange.heard

    assert asyncio.run(run()) == (2, 4)


def test_what_a_server_says_unasked_is_no_answer_to_the_next_call(tls):
    async def run():
        async with open_desk(tls) as desk:
            await desk.fan_out(1)
            desk.exchange.writers[0].write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            (idle,) = desk.idle
            await desk.notice(lambda: idle.should_close)
            return await desk.fan_out(1)

    assert asyncio.run(run()) == 1  # over another connection


def test_the_limit_that_a_server_tells_is_kept(tls, clock):
    async def run():
        async with open_desk(tls) as desk:
            desk.exchange.answer = ANSWER.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=5\r\n\r\n")
            await desk.fan_out(3)
            clock.now += 3.9
            young = await desk.fan_out(3)
            clock.now += 4.1
            await desk.make_passes(3)  # at a host that ends connections so soon none is opened in advance
            return young, len(desk.idle), await desk.fan_out(3)

    assert asyncio.run(run()) == (0, 0, 3)


async def end_all_idle(desk, clock):
    clock.now += 30
    idle = desk.idle
    await desk.exchange.hang_up()
    await desk.notice(lambda: all(protocol.should_close for protocol in idle))
    await desk.make_passes(1)


def test_the_limit_of_a_server_that_tells_none_is_learned(tls, clock):
    async def run():
        async with open_desk(tls) as desk:
            for _ in range(4):
                await desk.fan_out(1)
                await end_all_idle(desk, clock)
            await desk.fan_out(1)
            clock.now += 23.9
            young = await desk.fan_out(1)
            clock.now += 24.1
            return young, await desk.fan_out(1)

    assert asyncio.run(run()) == (0, 1)


def test_the_restarts_of_a_server_are_no_limit(tls, clock):
    async def run():
        async with open_desk(tls) as desk:
            for seconds in (5, 8, 11, 14):
                await desk.fan_out(2)
                clock.now += seconds
                await desk.fan_out(1)
                await end_all_idle(desk, clock)
            await desk.fan_out(1)
            clock.now += IDLE_AT_MOST_S - 1
            return await desk.fan_out(1)

    assert asyncio.run(run()) == 0


def test_a_server_may_end_connections_without_a_request_sooner(tls, clock):
    async def run():
        async with open_desk(tls) as desk:
            await desk.fan_out(1)
            for _ in range(5):  # the first one ended after its request
                await end_all_idle(desk, clock)
            clock.now += 24.1
            unused = await desk.fan_out(1)
            clock.now += 40
            return unused, await desk.fan_out(1)

    assert asyncio.run(run()) == (1, 0)


@pytest.mark.parametrize(
    ("told", "idle_s"),
    [
        ("timeout=20", 16),
        ("timeout=20, max=100", 16),
        ("max=100, timeout=20", 16),
        ("timeout=600", IDLE_AT_MOST_S),
        ("timeout=0", 0),
        ("timeout=soon", IDLE_AT_MOST_S),
        ("", IDLE_AT_MOST_S),
    ],
)
def test_a_told_limit(told, idle_s):
    limit = IdleLimit()

    limit.note_told(told)

    assert limit.idle_s(0) == idle_s


def limit_after(*ends):
    limit = IdleLimit()
    for idle_s in ends:
        limit.note_end(idle_s, 0)
    return limit


def test_ends_after_the_same_time_are_a_limit_for_an_hour():
    limit = limit_after(3, 30, 30.1, 30.2, 30.1)

    assert limit.idle_s(0) == 24
    assert limit.idle_s(HOUR_S) == IDLE_AT_MOST_S


@pytest.mark.parametrize("ends", [(30, 30, 30), (30, 30, 12, 30), (1, 48, 22, 35, 7)])
def test_ends_after_various_times_are_no_limit(ends):
    assert limit_after(*ends).idle_s(0) == IDLE_AT_MOST_S


# The size


def test_a_set_has_the_size_of_the_largest_fan_out():
    need = Need()

    for held in (3, 100, 20):
        need.note(held, 0)

    assert need.size(0) == 100


def test_a_set_shrinks_when_large_fan_outs_are_long_ago():
    need = Need()
    need.note(100, 0)
    need.note(20, 2 * HOUR_S)

    assert need.size(4 * HOUR_S) == 100  # at each bar of four hours
    assert need.size(5 * HOUR_S) == 20
    assert need.size(7 * HOUR_S) == 0


def test_a_connection_keeps_a_small_buffer(tls):
    """asyncio's own buffer of 256 KiB for each connection was most of what an account took."""

    async def run():
        async with open_desk(tls) as desk:
            await desk.fan_out(1)
            (protocol,) = desk.idle
            return len(protocol.transport._ssl_protocol._ssl_buffer)

    assert asyncio.run(run()) <= 16 * 1024
