"""The exchange of all contenders: Binance futures' endpoints over TLS, 50 ms late, without margin and without rules.

    python -m fanout.exchange CERT KEY [IDLE_S]

Prints the port. A request costs the exchange much less than the client, so the benchmark measures the client. Requests
of an API key with the prefix `hang` are answered after 5 s. With IDLE_S the exchange closes connections on which
nothing came for that long.
"""

import asyncio
import importlib.util
import json
import ssl
import sys
from typing import Any
from urllib.parse import parse_qsl

from fanout.exchange.endpoints import NOT_FOUND, answer_request
from fanout.exchange.latency import HANGING, HANGS_S, LATENCY_S

HEADERS = (
    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    "Connection: keep-alive\r\nServer: Tengine\r\nx-mbx-used-weight-1m: 12\r\nx-mbx-order-count-10s: 1\r\n"
    "x-mbx-order-count-1m: 1\r\nx-response-time: 2ms\r\nStrict-Transport-Security: max-age=31536000\r\n"
    "X-Frame-Options: SAMEORIGIN\r\nCache-Control: no-cache, no-store, must-revalidate\r\n\r\n"
)


class Exchange(asyncio.Protocol):
    """A connection of a client. Clients do not pipeline, so a connection has a single request at a time."""

    def __init__(self, idle_s: float) -> None:
        self.idle_s = idle_s
        self.received = b""
        self.closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.wait_for_request()

    def wait_for_request(self) -> None:
        if self.idle_s:
            self.closing = asyncio.get_running_loop().call_later(self.idle_s, self.transport.close)

    def data_received(self, data: bytes) -> None:
        if self.closing:
            self.closing.cancel()
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        line, *rows = head.decode("latin1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
        if len(body) < int(headers.get("content-length", 0)):
            return
        self.received = b""
        self.take_request(line, headers.get("x-mbx-apikey", ""), body.decode())

    def take_request(self, line: str, api_key: str, body: str) -> None:
        method, target, _ = line.split(" ")
        path, _, query = target.partition("?")
        reply = answer_request(method, path, dict(parse_qsl(f"{query}&{body}")), api_key)
        if reply[0] == NOT_FOUND:
            print(reply[1]["msg"], file=sys.stderr, flush=True)
        delay_s = HANGS_S if api_key.startswith(HANGING) else LATENCY_S
        asyncio.get_running_loop().call_later(delay_s, self.reply, *reply)

    def reply(self, status: str, content: Any) -> None:
        body = json.dumps(content, separators=(",", ":")).encode()
        self.transport.write(HEADERS.format(status=status, length=len(body)).encode() + body)
        self.wait_for_request()


async def serve_exchange(cert: str, key: str, idle_s: str = "0") -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    loop = asyncio.get_running_loop()
    seconds = float(idle_s)
    server = await loop.create_server(lambda: Exchange(seconds), "127.0.0.1", 0, ssl=context, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    if importlib.util.find_spec("uvloop"):
        asyncio.set_event_loop_policy(importlib.import_module("uvloop").EventLoopPolicy())
    asyncio.run(serve_exchange(*sys.argv[1:]))


if __name__ == "__main__":
    main()
