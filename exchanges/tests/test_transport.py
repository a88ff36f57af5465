"""One POST per call, and "not sent" only where no byte of the request can have left."""

import asyncio
import socket
from contextlib import suppress

import aiohttp
import pytest

from exchanges.adapters.transport import Passage, new_session
from exchanges.errors import NotSent, OutcomeUnknown
from exchanges.tests.test_tls import ANSWER, Client

SOON = aiohttp.ClientTimeout(connect=0.2)


class Server:
    """A server that treats each connection as `serve` does. `heard` holds the bytes of each request."""

    def __init__(self, serve):
        self.serve, self.heard = serve, []

    async def __call__(self, reader, writer):
        try:
            await self.serve(self, reader, writer)
        finally:
            writer.close()

    async def hear(self, reader):
        content = await reader.read(65536)
        self.heard.append(content)
        return content


async def cut_off(server, reader, writer):
    """Ends the connection at once, before any byte of the request is read."""


async def hear_and_hang_up(server, reader, writer):
    await server.hear(reader)


async def answer_half(server, reader, writer):
    await server.hear(reader)
    writer.write(ANSWER[:-1])
    await writer.drain()


async def answer_once(server, reader, writer):
    """Answers the first request of a connection, and hangs up at the second request."""
    await server.hear(reader)
    writer.write(ANSWER)
    await writer.drain()
    await server.hear(reader)


async def say_nothing(server, reader, writer):
    await reader.read(65536)
    await asyncio.sleep(60)


def post(serve, *, times=1, scheme="http", timeout=None):
    """The outcomes of POSTs over one session, and the requests that the server heard."""

    async def run():
        server = Server(serve)
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        url = f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/order"
        async with new_session() as session:
            outcomes = [await send(url, session, timeout) for _ in range(times)]
        listening.close()
        return outcomes, [content for content in server.heard if content]

    return asyncio.run(run())


async def send(url, session, timeout=None):
    client = Client(session)
    client.call_timeout = timeout or Client.call_timeout
    try:
        return await client.fetch(url, "POST", {}, "quantity=1")
    except (NotSent, OutcomeUnknown) as error:
        return error


def post_to(url):
    async def run():
        async with new_session() as session:
            return await send(url, session)

    return asyncio.run(run())


def test_a_closed_port_got_nothing():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert isinstance(post_to(f"http://127.0.0.1:{port}/order"), NotSent)


def test_a_host_without_an_address_got_nothing():
    assert isinstance(post_to("https://exchange.invalid/order"), NotSent)


@pytest.mark.parametrize("serve", [cut_off, hear_and_hang_up, say_nothing])
def test_a_connection_without_tls_got_nothing_of_the_request(serve):
    (outcome,), heard = post(serve, scheme="https", timeout=SOON)

    assert isinstance(outcome, NotSent)
    assert not any(b"quantity" in content for content in heard)


@pytest.mark.parametrize("serve", [cut_off, hear_and_hang_up, answer_half])
def test_a_connection_that_breaks_leaves_a_doubt(serve):
    (outcome,), heard = post(serve)

    assert isinstance(outcome, OutcomeUnknown)
    assert len(heard) <= 1


def test_a_post_over_a_kept_connection_that_broke_is_not_repeated():
    (first, second), heard = post(answer_once, times=2)

    assert first == {}
    assert isinstance(second, OutcomeUnknown)
    assert len(heard) == 2


# Connections of one owner


async def pass_through(door, url, session, passages):
    async with Passage(door) as passage:
        passages.append(passage)
        client = Client(session)
        client.passage = passage
        return await client.fetch(url, "POST", {}, "quantity=1")


def test_a_door_is_free_again_once_the_connection_stands():
    answered = asyncio.Event()

    async def answer_later(server, reader, writer):
        await server.hear(reader)
        await answered.wait()
        writer.write(ANSWER)
        await writer.drain()

    async def run():
        server, door, passages = Server(answer_later), asyncio.Semaphore(1), []
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/order"
        async with new_session() as session:
            calls = [asyncio.create_task(pass_through(door, url, session, passages)) for _ in range(5)]
            while len(server.heard) < 5:  # all five wait for their answers, behind a door for one
                await asyncio.sleep(0.001)
            answered.set()
            await asyncio.gather(*calls)
            again = await pass_through(door, url, session, passages)  # over a kept connection
        listening.close()
        return again, passages, door

    again, passages, door = asyncio.run(run())

    assert again == {}
    assert [passage.is_connected for passage in passages] == [True] * 6
    assert not door.locked()


def test_who_cannot_connect_holds_up_only_the_same_owner():
    async def answer_each(server, reader, writer):
        while await server.hear(reader):
            writer.write(ANSWER)
            await writer.drain()

    async def run():
        over = asyncio.Event()

        async def say_nothing_until_the_end(server, reader, writer):
            await over.wait()

        door, other, passages = asyncio.Semaphore(1), asyncio.Semaphore(1), []
        silent = await asyncio.start_server(Server(say_nothing_until_the_end), "127.0.0.1", 0)
        listening = await asyncio.start_server(Server(answer_each), "127.0.0.1", 0)
        stuck = f"https://127.0.0.1:{silent.sockets[0].getsockname()[1]}/order"
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/order"
        async with new_session() as session:
            first = asyncio.create_task(pass_through(door, stuck, session, passages))
            while not passages:
                await asyncio.sleep(0.001)
            behind = asyncio.create_task(pass_through(door, url, session, passages))
            answer = await pass_through(other, url, session, passages)
            waits = not behind.done()
            first.cancel()
            with suppress(asyncio.CancelledError):
                await first
            answers = [answer, await behind]
        over.set()
        silent.close()
        listening.close()
        return answers, waits, passages

    answers, waits, passages = asyncio.run(run())

    assert (answers, waits) == ([{}, {}], True)
    assert [passage.is_connected for passage in passages] == [False, True, True]
