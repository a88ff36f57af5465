"""ccxt clients: one template for each exchange and market type, and a clone of the template for each call.

A clone costs microseconds and kilobytes. A constructed client costs milliseconds and, with a session of its own, an SSL
context. Clones share the markets and the connection pool by reference.
"""

import re
from collections.abc import Sequence
from typing import Any

import aiohttp
import ccxt.async_support as ccxt

from exchanges.adapters.ccxt_adapter import UNREADABLE
from exchanges.adapters.protocol import Credentials
from exchanges.adapters.transport import StrictTransport
from exchanges.errors import ExchangeError, Throttled, Unavailable

_SLOW_MS = 2000

# Without this option the load of spot markets asks the futures hosts too, and fails where no futures host is reached.
_OPTIONS: dict[str, dict[str, Any]] = {"binance": {"fetchMarkets": {"types": ["spot"]}}}


def new_template(
    client_class: str, *, transport: type[StrictTransport], session: aiohttp.ClientSession, address: str = ""
) -> Any:
    """Builds a client without keys. `address` replaces the scheme, host and port of every endpoint."""
    base = getattr(ccxt, client_class)
    client = type(base.__name__, (transport, base), {})(
        {
            # ccxt's limiter would wait even after idle time, and counts per client; exchanges count per address.
            "enableRateLimit": False,
            "number": str,
            "session": session,
            "options": {
                "recvWindow": 5000,
                "fetchMargins": False,
                "adjustForTimeDifference": False,
                "defaultType": "swap" if "usdm" in client_class else "spot",
                **_OPTIONS.get(client_class, {}),
            },
        }
    )
    client.own_session = False
    client.ssl_context = False  # for None the client would build an SSL context of its own
    client.has = {**client.has, "fetchCurrencies": False}
    client.common_headers = client.prepare_request_headers()
    if address:
        client.urls = {**client.urls, "api": _with_address(client.urls["api"], address.rstrip("/"))}
    return client


def _with_address(urls: Any, address: str) -> Any:
    if isinstance(urls, dict):
        return {name: _with_address(url, address) for name, url in urls.items()}
    return re.sub(r"^https?://[^/]+", address, urls) if isinstance(urls, str) else urls


def install_markets(template: Any, raw_markets: Sequence[dict[str, Any]]) -> None:
    template.set_markets(list(raw_markets))


def clone_client(template: Any, credentials: Credentials | None) -> Any:
    client = template.__class__.__new__(template.__class__)
    client.__dict__.update(template.__dict__)
    client.options = dict(template.options)
    client.sent, client.send_before, client.note_weight, client.passage = False, None, None, None
    client.restart_time = _keep_time
    if credentials is not None:
        client.apiKey, client.secret, client.password = (
            credentials.api_key,
            credentials.secret,
            credentials.password,
        )
    return client


def _keep_time() -> None:
    """The place of the gateway's function that gives the whole time of a call to the next page of a history."""


async def read_clock_offset(template: Any) -> int:
    """The milliseconds that our clock is ahead of the exchange's clock.

    The error is at most half of the answer's time, so a slow answer is refused. Raises Throttled or Unavailable.
    """
    client = clone_client(template, None)
    asked: int = client.milliseconds()
    try:
        theirs = int(await client.fetch_time())
    except Throttled:
        raise
    except (ExchangeError, *UNREADABLE) as error:
        raise Unavailable("The exchange does not tell its time.", code="no_time") from error
    answered: int = client.milliseconds()
    if answered - asked > _SLOW_MS:
        raise Unavailable("The exchange took too long to tell its time.", code="no_time")
    return (asked + answered) // 2 - theirs
