"""Runs a WSGI application in threads behind an ASGI server. A request takes a thread once the whole body is here.

WSGI reads the body from inside the application, so a few clients with slow bodies would hold every thread. Here a slow
client holds only the bytes sent so far. Whole requests take threads by turns of their senders.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import Any, TypeVar

from tradehub.http.door import Door, Reading, TooMuch
from tradehub.http.sender_turns import Crowded, KnownTokens, Sender, Turns, sender_of_request
from webhooks.answering.deferral import ARRIVED, CAN_DEFER, DEFERRED, PROVED, SETTLED, Deferred
from webhooks.senders import Network, neighborhood_of, sender_in

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Environ = dict[str, Any]
T = TypeVar("T")
WSGIApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]

logger = logging.getLogger(__name__)

_TOLD_EVERY_S = 60
_CLOSING = [(b"connection", b"close")]


def plain_refusal(environ: Environ) -> Answer:
    return int(HTTPStatus.SERVICE_UNAVAILABLE), [], b""


class BufferedWSGI:
    """Buffers bodies for a WSGI application.

    Reading stops above `max_bytes`. The application's own limit must not be larger, and then refuses the cut body.
    A body that takes longer than `body_timeout_s`, or that is one unfinished body too many of its address, gets 408.
    """

    def __init__(
        self,
        application: WSGIApplication,
        *,
        threads: int,
        max_bytes: int,
        body_timeout_s: float,
        answer_threads: int = 4,
        waiting_per_sender: int = 300,
        waiting_at_most: int = 1_000,
        crowded_answer: Callable[[Environ], Answer] = plain_refusal,
        trusted_proxies: Sequence[Network] = (),
        door: Door | None = None,
        refuses_unread: Callable[[Environ], bool] = lambda environ: False,
        drain: Callable[[], None] = lambda: None,
    ) -> None:
        """`drain` is called on a thread when the server shuts down, and holds the shutdown up until it returns.

        `refuses_unread` says that the application refuses the request whatever its body holds: the body is not read.
        Beyond `waiting_per_sender` and `waiting_at_most` whole requests that wait for a thread, a request gets
        `crowded_answer`.
        """
        self.application = application
        self.crowded_answer = crowded_answer
        self.trusted_proxies = trusted_proxies
        self.door = door or Door()
        self.refuses_unread = refuses_unread
        self.known = KnownTokens()
        self.turns = Turns(
            threads,
            self.known,
            of_one_sender=threads // 3,
            waiting_per_sender=waiting_per_sender,
            waiting_at_most=waiting_at_most,
        )
        # What waits for an answer was stored, and is never refused.
        self.answer_turns = Turns(answer_threads, self.known, of_one_sender=answer_threads - 1)
        self._told_at = -math.inf
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="web")
        # Deferred answers have threads of their own: what is settled waits behind no request that comes later.
        self.answer_pool = ThreadPoolExecutor(answer_threads, thread_name_prefix="web-answer")
        self.drain = drain
        self.max_bytes = max_bytes
        self.body_timeout_s = body_timeout_s

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await run_in(self.answer_pool, self.drain)
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            await self.serve(scope, receive, send)
        else:
            raise ValueError(f"No application for {scope['type']}")

    async def serve(self, scope: Event, receive: Receive, send: Send) -> None:
        environ = environ_of(scope)
        try:
            body = await self.body_of(environ, receive)
        except TimeoutError:
            await send_answer(send, HTTPStatus.REQUEST_TIMEOUT, _CLOSING, b"")
        except TooMuch:
            status, headers, content = self.crowded_answer(environ)
            await send_answer(send, status, [*headers, *_CLOSING], content)
        except ConnectionError:
            # The client left, or sent what is no HTTP, such as a malformed chunk.
            await send_answer(send, HTTPStatus.BAD_REQUEST, _CLOSING, b"")
        else:
            await send_answer(send, *await self.answer(scope, environ, body))

    async def body_of(self, environ: Environ, receive: Receive) -> bytes:
        """The body, where it can change the answer. Raises TimeoutError, TooMuch, ConnectionError."""
        if self.is_too_large(environ) or self.refuses_unread(environ):
            return b""
        address = neighborhood_of(sender_in(environ, self.trusted_proxies))
        async with asyncio.timeout(self.body_timeout_s) as limit:
            with self.door.reading(address, limit) as reading:
                return await self.read_body(receive, reading)

    def is_too_large(self, environ: Environ) -> bool:
        declared = environ["CONTENT_LENGTH"]
        return declared.isascii() and declared.isdigit() and int(declared[:12]) > self.max_bytes

    async def answer(self, scope: Event, environ: Environ, body: bytes) -> Answer:
        """Calls the application, and a second time for a deferred answer: see webhooks.answering.deferral."""
        if not self.is_too_large(environ):  # then the application refuses by the declared length
            environ["CONTENT_LENGTH"] = str(len(body))
        environ |= {"wsgi.input": BytesIO(body), CAN_DEFER: True, ARRIVED: time.monotonic()}
        sender = sender_of_request(environ, body, self.trusted_proxies)
        try:
            async with self.turns.turn_of(sender):
                answer = await run_in(self.pool, partial(self.call, environ))
        except Crowded:
            return self.refuse_crowd(environ, sender)
        self.learn(sender, environ, answer[0])
        deferred: Deferred | None = environ.pop(DEFERRED, None)
        if deferred is None:
            return answer
        in_thread = partial(self.in_answer_thread, sender)
        await deferred.settle(in_thread)
        environ = environ_of(scope) | {"CONTENT_LENGTH": "0", SETTLED: deferred}
        settled: Answer = await in_thread(partial(self.call, environ))
        return settled

    async def in_answer_thread(self, sender: Sender, act: Callable[[], T]) -> T:
        async with self.answer_turns.turn_of(sender):
            return await run_in(self.answer_pool, act)

    def learn(self, sender: Sender, environ: Environ, status: int) -> None:
        """Gives the requests of a token that proved right the turns of the token's owner, until the token fails."""
        if PROVED in environ:
            self.known.learn(*environ[PROVED])
        elif status == HTTPStatus.UNAUTHORIZED:
            self.known.forget(sender.digest)

    def refuse_crowd(self, environ: Environ, sender: Sender) -> Answer:
        if time.monotonic() - self._told_at > _TOLD_EVERY_S:
            self._told_at = time.monotonic()
            logger.warning(
                "requests refused, too many wait owner=%s address=%s",
                self.known.group_of(sender).owner, sender.address,
            )  # fmt: skip
        return self.crowded_answer(environ)

    async def read_body(self, receive: Receive, reading: Reading) -> bytes:
        body = bytearray()
        more = True
        while more and len(body) <= self.max_bytes:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise ConnectionError("The client left before its request was complete.")
            part = event.get("body", b"")
            reading.hold(len(part))
            body += part
            more = event.get("more_body", False)
        return bytes(body)

    def call(self, environ: Environ) -> Answer:
        start: list[Any] = []
        chunks: list[bytes] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: object = None
        ) -> Callable[..., Any]:
            start[:] = [int(status.split(" ", 1)[0]), headers]
            return chunks.append

        parts = self.application(environ, start_response)
        try:
            chunks.extend(parts)
        finally:
            close = getattr(parts, "close", None)
            if close:
                close()
        status, headers = start
        encoded = [(name.lower().encode("latin1"), value.encode("latin1")) for name, value in headers]
        return status, encoded, b"".join(chunks)


def environ_of(scope: Event) -> Environ:
    """The request's head, with the declared length of the body, and without the body."""
    server, client = scope.get("server") or ("localhost", 80), scope.get("client") or ("", 0)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin1"),
        "QUERY_STRING": scope["query_string"].decode("latin1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": BytesIO(),
        "wsgi.errors": None,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin1"), raw_value.decode("latin1")
        if "_" in name:
            continue  # a client's X_Forwarded_Proto would pass for the proxy's X-Forwarded-Proto
        key = "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
    environ["CONTENT_LENGTH"] = environ.pop("HTTP_CONTENT_LENGTH", "")
    return environ


async def run_in(pool: ThreadPoolExecutor, act: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, act)


async def send_answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": content})
