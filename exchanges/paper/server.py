"""The paper exchange on a loopback port."""

import asyncio
import ipaddress
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from exchanges.paper.exchange import PaperExchange

KEEPALIVE_S = 75
SHUTDOWN_S = 1
ANSWER_S = 0.1  # for the answer that closes the port
BACKLOG = 1024


class CannotStart(Exception):
    """The server cannot start. The message names the obstacle in a sentence."""


def require_loopback(host: str) -> None:
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise CannotStart(
            f"The paper exchange serves this machine only: {host} is not a loopback address, use 127.0.0.1."
        )


def tls_context(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    if not cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:
        raise CannotStart(f"The TLS certificate or key cannot be read: {error}.") from error
    return context


class Listener:
    """The listening port of a server. The port can close for a while: clients are refused meanwhile."""

    def __init__(self, server: web.Server, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.server, self.host, self.port, self.tls = server, host, port, tls
        self._sockets: asyncio.Server | None = None
        self._pause: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises CannotStart where the port is in use."""
        loop = asyncio.get_running_loop()
        try:
            self._sockets = await loop.create_server(
                self.server, self.host, self.port, ssl=self.tls, backlog=BACKLOG
            )
        except OSError as error:
            raise CannotStart(
                f"Port {self.port} of {self.host} cannot be used ({error.strerror}): "
                "stop what uses it or set --port."
            ) from error
        self.port = self._sockets.sockets[0].getsockname()[1]

    def refuse_for(self, seconds: float) -> None:
        """Closes the port at once, and every connection as soon as the answer under way is out."""
        self.close()
        loop = asyncio.get_running_loop()
        for connection in self.server.connections:
            connection.close()
            loop.call_later(ANSWER_S, connection.force_close)  # `close` alone leaves idle connections open
        self._pause = loop.create_task(self._open_after(seconds))

    async def _open_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.open()

    def close(self) -> None:
        if self._pause:
            self._pause.cancel()
        if self._sockets:
            self._sockets.close()


@asynccontextmanager
async def listening(
    exchange: PaperExchange, host: str, port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serves while the block runs. Yields the port, which the system chooses for port 0."""
    require_loopback(host)
    server = web.Server(
        exchange.handle, handler_cancellation=False, keepalive_timeout=KEEPALIVE_S, access_log=None
    )
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    listener = Listener(server, host, port, tls)
    exchange.refuse_for = listener.refuse_for
    try:
        await listener.open()
        yield listener.port
    finally:
        listener.close()
        await runner.cleanup()


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 5002,
    state: str = "var/paper.sqlite3",
    latency_ms: int = 0,
    weight_limit: int = 0,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    say: Callable[[str], object] = print,
) -> None:
    """Serves until SIGTERM or SIGINT. Raises CannotStart."""
    require_loopback(host)
    tls = tls_context(tls_cert, tls_key)
    exchange = PaperExchange(Path(state), latency_ms, weight_limit)
    try:
        asyncio.run(_until_signalled(exchange, host, port, tls, say))
    finally:
        exchange.close()


async def _until_signalled(
    exchange: PaperExchange, host: str, port: int, tls: ssl.SSLContext | None, say: Callable[[str], object]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with listening(exchange, host, port, tls) as bound:
        say(f"The paper exchange listens on {'https' if tls else 'http'}://{host}:{bound}")
        await stop.wait()
