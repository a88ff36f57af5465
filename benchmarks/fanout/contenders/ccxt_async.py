"""The best that ccxt alone gives: its async client, one per account, all at once, over a single session.

python -m fanout.contenders.ccxt_async ADDRESS CA_FILE ACCOUNTS
"""

import asyncio
import ssl
import sys
from typing import Any

import aiohttp
import ccxt.async_support as ccxt

from fanout.contenders.ccxt_clients import build_client, orders_to_create
from fanout.contenders.turns import obey_lines
from fanout.kinds import Kind


def new_session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=600, ssl=context)
    return aiohttp.ClientSession(connector=connector)


def new_client(address: str, number: int, session: aiohttp.ClientSession) -> Any:
    client = build_client(ccxt.binanceusdm, address, f"async-{number}", {"session": session})
    client.ssl_context = False  # for None the client would build an SSL context of its own
    return client


class CcxtAsync:
    """Sends the orders. All clients use the same markets and the same aiohttp session."""

    def __init__(self, address: str, ca_file: str, accounts: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.clients = self.loop.run_until_complete(self.open(address, ca_file, int(accounts)))

    async def open(self, address: str, ca_file: str, accounts: int) -> list[Any]:
        context = ssl.create_default_context(cafile=ca_file)
        async with new_session(context) as session:  # closed, so that a cold fan-out has no connection
            first = new_client(address, 0, session)
            markets = await first.fetch_markets()
            await first.close()
        shared = new_session(context)
        clients = [new_client(address, number, shared) for number in range(accounts)]
        for client in clients:
            client.set_markets(markets)
        return clients

    async def send_all(self, kind: Kind) -> None:
        orders = orders_to_create(kind)

        async def send(client: Any) -> None:
            for order in orders:
                assert (await client.create_order(*order))["id"]

        await asyncio.gather(*map(send, self.clients))

    def fan_out(self, kind: Kind) -> None:
        self.loop.run_until_complete(self.send_all(kind))


if __name__ == "__main__":
    obey_lines(CcxtAsync(*sys.argv[1:]).fan_out)
