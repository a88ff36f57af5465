"""Runs a WSGI application in threads behind an ASGI server. A request takes a thread once the whole body is here.

WSGI reads the body from inside the application, so a few clients with slow bodies would hold every thread. Here a slow
client holds only the bytes sent so far.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import Any, TypeVar

from webhooks.answering.deferral import ARRIVED, CAN_DEFER, DEFERRED, SETTLED, Deferred

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Environ = dict[str, Any]
T = TypeVar("T")
WSGIApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class BufferedWSGI:
    """Buffers bodies for a WSGI application.

    Reading stops above `max_bytes`. The application's own limit must not be larger, and then refuses the cut body.
    A body that takes longer than `body_timeout_s` gets 408.
    """

    def __init__(
        self,
        application: WSGIApplication,
        *,
        threads: int,
        max_bytes: int,
        body_timeout_s: float,
        answer_threads: int = 4,
        drain: Callable[[], None] = lambda: None,
    ) -> None:
        """`drain` is called on a thread when the server shuts down, and holds the shutdown up until it returns."""
        self.application = application
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
            await self.in_answer_thread(self.drain)
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            await self.serve(scope, receive, send)
        else:
            raise ValueError(f"No application for {scope['type']}")

    async def serve(self, scope: Event, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self.body_timeout_s):
                body = await self.read_body(receive)
        except TimeoutError:
            await send_answer(send, HTTPStatus.REQUEST_TIMEOUT, [(b"connection", b"close")], b"")
        except ConnectionError:
            return
        else:
            await send_answer(send, *await self.answer(scope, body))

    async def answer(self, scope: Event, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Calls the application, and a second time for a deferred answer: see webhooks.answering.deferral."""
        environ = environ_of(scope, body) | {CAN_DEFER: True, ARRIVED: time.monotonic()}
        answer = await self.in_thread(partial(self.call, environ))
        deferred: Deferred | None = environ.pop(DEFERRED, None)
        if deferred is None:
            return answer
        await deferred.settle(self.in_answer_thread)
        environ = environ_of(scope, b"") | {SETTLED: deferred}
        return await self.in_answer_thread(partial(self.call, environ))

    async def in_thread(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, act)

    async def in_answer_thread(self, act: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.answer_pool, act)

    async def read_body(self, receive: Receive) -> bytes:
        body = bytearray()
        more = True
        while more and len(body) <= self.max_bytes:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise ConnectionError("The client left before its request was complete.")
            body += event.get("body", b"")
            more = event.get("more_body", False)
        return bytes(body)

    def call(self, environ: Environ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
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


def environ_of(scope: Event, body: bytes) -> Environ:
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
        "wsgi.input": BytesIO(body),
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
    environ.pop("HTTP_CONTENT_LENGTH", None)
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ


async def send_answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": content})
