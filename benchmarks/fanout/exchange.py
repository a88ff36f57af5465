"""The exchange of all contenders: Binance futures' order endpoint over TLS, 50 ms late, without a ledger.

    python -m fanout.exchange CERT KEY

Prints the port. A request costs the exchange much less than the client, so the benchmark measures the client. Requests
of an API key with the prefix `hang` are answered after 5 s.
"""

import asyncio
import importlib.util
import itertools
import json
import ssl
import sys
import time
from typing import Any
from urllib.parse import parse_qs

from exchanges.paper.endpoints.public import PUBLIC
from exchanges.paper.engine.ledger import Ledger

LATENCY_S = 0.05
HANGING, HANGS_S = "hang", 5
HEADERS = (
    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    "Connection: keep-alive\r\nServer: Tengine\r\nx-mbx-used-weight-1m: 12\r\nx-mbx-order-count-10s: 1\r\n"
    "x-mbx-order-count-1m: 1\r\nx-response-time: 2ms\r\nStrict-Transport-Security: max-age=31536000\r\n"
    "X-Frame-Options: SAMEORIGIN\r\nCache-Control: no-cache, no-store, must-revalidate\r\n\r\n"
)
numbers = itertools.count(8_886_774_001)
ledger = Ledger()  # the paper exchange's ledger, for the catalogue and the prices


def now_ms() -> int:
    return int(time.time() * 1000)


def new_order(fields: dict[str, list[str]]) -> dict[str, Any]:
    """Returns Binance's acknowledgement of a resting limit order."""
    price, quantity = fields["price"][0], fields["quantity"][0]
    return {
        "orderId": next(numbers),
        "symbol": fields["symbol"][0],
        "status": "NEW",
        "clientOrderId": fields["newClientOrderId"][0],
        "price": price,
        "avgPrice": "0.00",
        "origQty": quantity,
        "executedQty": "0.000",
        "cumQty": "0.000",
        "cumQuote": "0.00000",
        "timeInForce": "GTC",
        "type": fields["type"][0],
        "reduceOnly": False,
        "closePosition": False,
        "side": fields["side"][0],
        "positionSide": "BOTH",
        "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": fields["type"][0],
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "updateTime": now_ms(),
    }


def answer_request(method: str, path: str, fields: dict[str, list[str]]) -> tuple[str, Any]:
    if (method, path) == ("POST", "/fapi/v1/order"):
        return "200 OK", new_order(fields)
    if method == "GET" and path in PUBLIC:
        show, _ = PUBLIC[path]
        return "200 OK", show(ledger, {name: values[0] for name, values in fields.items()}, now_ms())
    return "404 Not Found", {"code": -1000, "msg": "Not part of the benchmark."}


class Exchange(asyncio.Protocol):
    """A connection of a client. Clients do not pipeline, so a connection has a single request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        line, *rows = head.decode("latin1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
        if len(body) < int(headers.get("content-length", 0)):
            return
        self.received = b""
        method, target, _ = line.split(" ")
        path, _, query = target.partition("?")
        hangs = headers.get("x-mbx-apikey", "").startswith(HANGING)
        reply = answer_request(method, path, parse_qs(f"{query}&{body.decode()}"))
        asyncio.get_running_loop().call_later(HANGS_S if hangs else LATENCY_S, self.reply, *reply)

    def reply(self, status: str, content: Any) -> None:
        body = json.dumps(content, separators=(",", ":")).encode()
        self.transport.write(HEADERS.format(status=status, length=len(body)).encode() + body)


async def serve_exchange(cert: str, key: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Exchange, "127.0.0.1", 0, ssl=context, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    if importlib.util.find_spec("uvloop"):
        asyncio.set_event_loop_policy(importlib.import_module("uvloop").EventLoopPolicy())
    asyncio.run(serve_exchange(*sys.argv[1:]))


if __name__ == "__main__":
    main()
