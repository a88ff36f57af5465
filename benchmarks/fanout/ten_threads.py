"""The design that tradehub replaces: synchronous ccxt, a client per account, ten threads.

python -m fanout.ten_threads ADDRESS CA_FILE ACCOUNTS
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ccxt

from fanout.turns import obey_lines

THREADS = 10


class TenThreads:
    """Sends the orders. All clients use the same markets, and each client has ccxt's own `requests` session."""

    def __init__(self, address: str, ca_file: str, accounts: str) -> None:
        first = self.client(address, ca_file, 0)
        markets = first.fetch_markets()
        first.session.close()
        self.clients = [self.client(address, ca_file, number) for number in range(int(accounts))]
        for client in self.clients:
            client.set_markets(markets)

    @staticmethod
    def client(address: str, ca_file: str, number: int) -> Any:
        options = {"fetchMargins": False}
        client = ccxt.binanceusdm(
            {
                "apiKey": f"threads-{number}",
                "secret": "secret" * 8,
                "options": options,
                "enableRateLimit": False,
            }
        )
        client.urls["api"] = {
            name: f"{address}/{url.split('/', 3)[3]}" for name, url in client.urls["api"].items()
        }
        client.validateServerSsl = ca_file  # ccxt hands this value to requests as `verify`
        return client

    @staticmethod
    def send(client: Any) -> None:
        assert client.create_order("BTC/USDT:USDT", "limit", "buy", 0.01, 90000)["id"]

    def fan_out(self) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self.send, self.clients))


if __name__ == "__main__":
    obey_lines(TenThreads(*sys.argv[1:]).fan_out)
