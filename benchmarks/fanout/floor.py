"""The floor: bare aiohttp sends requests signed beforehand over a single session, and reads the JSON.

python -m fanout.floor ADDRESS CA_FILE ACCOUNTS
"""

import asyncio
import hashlib
import hmac
import json
import ssl
import sys
import time
from urllib.parse import urlencode

import aiohttp

from fanout.turns import obey_lines


def signed_bodies(accounts: int) -> list[bytes]:
    bodies = []
    for number in range(accounts):
        fields = {
            "timestamp": int(time.time() * 1000),
            "recvWindow": 5000,
            "symbol": "BTCUSDT",
            "side": "BUY",
            "newClientOrderId": f"x-floor-{number}",
            "newOrderRespType": "RESULT",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.010",
            "price": "90000",
        }
        query = urlencode(fields)
        signature = hmac.new(b"secret" * 8, query.encode(), hashlib.sha256).hexdigest()
        bodies.append(f"{query}&signature={signature}".encode())
    return bodies


class Floor:
    def __init__(self, address: str, ca_file: str, accounts: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.url = f"{address}/fapi/v1/order"
        self.requests = [
            (body, {"X-MBX-APIKEY": f"floor-{number}", "Content-Type": "application/x-www-form-urlencoded"})
            for number, body in enumerate(signed_bodies(int(accounts)))
        ]
        self.session = self.loop.run_until_complete(self.open(ca_file))

    async def open(self, ca_file: str) -> aiohttp.ClientSession:
        context = ssl.create_default_context(cafile=ca_file)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=600, ssl=context)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def send(self, body: bytes, headers: dict[str, str]) -> None:
        async with self.session.post(self.url, data=body, headers=headers) as response:
            assert json.loads(await response.read())["orderId"]

    async def send_all(self) -> None:
        await asyncio.gather(*[self.send(body, headers) for body, headers in self.requests])

    def fan_out(self) -> None:
        self.loop.run_until_complete(self.send_all())


if __name__ == "__main__":
    obey_lines(Floor(*sys.argv[1:]).fan_out)
