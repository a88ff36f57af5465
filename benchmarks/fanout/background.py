"""The processes beside the web server: the tracker, and the worker of the scheduled tasks."""

import json
import os
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from http.client import HTTPSConnection  # noqa: TID251 - to the benchmark's exchange
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tradehub.demo.processes import Children

STARTS_S = 5
Holding = tuple[str, str, Decimal]  # API key, symbol, signed quantity


@contextmanager
def running_background(folder: Path) -> Iterator[None]:
    """Runs `manage.py track_orders` and `manage.py qcluster`. Raises ChildDied where one of them ends early."""
    children = Children(folder)
    try:
        children.start("tracker", "track_orders")
        children.start("worker", "qcluster")
        time.sleep(STARTS_S)
        children.check()
        yield
        children.check()
    finally:
        children.stop()


def open_positions(address: str, holdings: Iterable[Holding]) -> None:
    """Buys and sells at the benchmark's exchange, so that the exchange agrees with books that were filled by hand."""
    context = ssl.create_default_context(cafile=os.environ["EXCHANGE_CA_FILE"])
    place = urlsplit(address)
    with closing(HTTPSConnection(place.hostname or "", place.port, context=context)) as exchange:
        for number, (api_key, symbol, quantity) in enumerate(holdings):
            fields = {
                "symbol": symbol.partition(":")[0].replace("/", ""),
                "side": "BUY" if quantity > 0 else "SELL",
                "type": "MARKET",
                "quantity": str(abs(quantity)),
                "newClientOrderId": f"old-{number}",
            }
            exchange.request("POST", "/fapi/v1/order", urlencode(fields), {"X-MBX-APIKEY": api_key})
            if json.load(exchange.getresponse())["status"] != "FILLED":
                raise SystemExit("The exchange of the benchmark did not open a position.")
