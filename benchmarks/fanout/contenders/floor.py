"""The floor: bare aiohttp sends requests signed beforehand over a single session, and reads the JSON.

python -m fanout.contenders.floor ADDRESS CA_FILE ACCOUNTS
"""

import asyncio
import hashlib
import hmac
import json
import ssl
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlencode

import aiohttp

from fanout.contenders.turns import obey_lines
from fanout.kinds import MARKET_ID, ORDERS, Kind, PlainOrder


def signed_body(order: PlainOrder, name: str) -> bytes:
    fields = {
        "timestamp": str(int(time.time() * 1000)),
        "recvWindow": "5000",
        "symbol": MARKET_ID,
        "side": order.side.upper(),
        "newClientOrderId": f"x-floor-{name}",
        "newOrderRespType": "RESULT",
        "type": order.order_type,
        "quantity": "0.010",
    }
    if order.price is not None:
        fields |= {"timeInForce": "GTC", "price": str(order.price)}
    if order.reduce_only:
        fields["reduceOnly"] = "true"
    query = urlencode(fields)
    signature = hmac.new(b"secret" * 8, query.encode(), hashlib.sha256).hexdigest()
    return f"{query}&signature={signature}".encode()


class Floor:
    def __init__(self, address: str, ca_file: str, accounts: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.url = f"{address}/fapi/v1/order"
        self.headers = [
            {"X-MBX-APIKEY": f"floor-{number}", "Content-Type": "application/x-www-form-urlencoded"}
            for number in range(int(accounts))
        ]
        self.bodies = {
            kind: [
                [signed_body(order, f"{number}-{leg}") for leg, order in enumerate(ORDERS[kind])]
                for number in range(int(accounts))
            ]
            for kind in Kind
        }
        self.session = self.loop.run_until_complete(self.open(ca_file))

    async def open(self, ca_file: str) -> aiohttp.ClientSession:
        context = ssl.create_default_context(cafile=ca_file)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=600, ssl=context)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def send(self, bodies: Sequence[bytes], headers: dict[str, str]) -> None:
        for body in bodies:
            async with self.session.post(self.url, data=body, headers=headers) as response:
                assert json.loads(await response.read())["orderId"]

    async def send_all(self, kind: Kind) -> None:
        await asyncio.gather(*map(self.send, self.bodies[kind], self.headers))

    def fan_out(self, kind: Kind) -> None:
        self.loop.run_until_complete(self.send_all(kind))


if __name__ == "__main__":
    obey_lines(Floor(*sys.argv[1:]).fan_out)
