"""The design that tradehub replaces: synchronous ccxt, a client per account, ten threads.

python -m fanout.contenders.ten_threads ADDRESS CA_FILE ACCOUNTS
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ccxt

from fanout.contenders.ccxt_clients import build_client, orders_to_create
from fanout.contenders.turns import obey_lines
from fanout.kinds import Kind

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
        client = build_client(ccxt.binanceusdm, address, f"threads-{number}")
        client.validateServerSsl = ca_file  # ccxt hands this value to requests as `verify`
        return client

    def fan_out(self, kind: Kind) -> None:
        orders = orders_to_create(kind)

        def send(client: Any) -> None:
            for order in orders:
                assert client.create_order(*order)["id"]

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(send, self.clients))


if __name__ == "__main__":
    obey_lines(TenThreads(*sys.argv[1:]).fan_out)
