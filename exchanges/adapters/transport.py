"""Sends requests: one shared pool, one request per call, no redirects, and conclusions from status and code.

This transport replaces ccxt's own `fetch`, because ccxt's `fetch` follows redirects (a 307 would post the order again),
returns an order without an id for an unreadable answer, and hides ambiguous failures in a generic error.
"""

import asyncio
import asyncio.sslproto
import json
import ssl
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import aiohttp
import ccxt
import certifi
import yarl

from exchanges.adapters.outcomes import classify_generic
from exchanges.adapters.warm_connections import WarmConnector, always
from exchanges.errors import ExchangeError, NotSent, OutcomeUnknown

UNREACHABLE = "unreachable"  # no connection came about
_DECODER = json.JSONDecoder(parse_float=str)
_MAX_DIGITS = 9  # the most digits read of a number in a header

# asyncio keeps a buffer of 256 KiB for each TLS connection, so a fan-out to 1,000 accounts took 256 MB. Answers about
# orders have a few hundred bytes; a longer answer takes several reads.
asyncio.sslproto.SSLProtocol.max_size = 16 * 1024

Session = aiohttp.ClientSession


class Passage:
    """The way of one call to a connection. `door` bounds how many calls of one owner make connections at a time.

    A connection costs milliseconds of processor time for its handshake. Where all calls of a large fan-out make theirs
    at the same time, none is done before its time-out.
    """

    def __init__(self, door: asyncio.Semaphore, exchange: str = "") -> None:
        self.is_connected = False  # before, nothing of the call can have left
        self.exchange = exchange
        self._door = door
        self._is_inside = False

    async def __aenter__(self) -> "Passage":
        await self._door.acquire()
        self._is_inside = True
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._leave_door()

    def connect(self) -> None:
        self.is_connected = True
        self._leave_door()

    def _leave_door(self) -> None:
        if self._is_inside:
            self._is_inside = False
            self._door.release()


# The call that the current task makes. aiohttp's own traces cost a tenth of a request.
_passage: ContextVar[Passage | None] = ContextVar("passage", default=None)


class NotingConnector(WarmConnector):
    """A connection pool that notes in the call's passage when the call has a connection."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        passage = _passage.get()
        if passage is not None:
            passage.connect()
        return connection


def new_session(
    *, ca_file: str = "", most_warm: int = 0, may_open: Callable[[str], bool] = always
) -> aiohttp.ClientSession:
    """The connection pool of this process. Call this function on the loop that will use the pool.

    The pool trusts certifi's certificates, and the certificates of `ca_file` too. `most_warm` and `may_open` are
    `WarmConnector`'s. Raises OSError where the file cannot be read.
    """
    context = ssl.create_default_context(cafile=certifi.where())
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    connector = NotingConnector(most=most_warm, may_open=may_open, ttl_dns_cache=300, ssl=context)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


@lru_cache(maxsize=256)
def _url(address: str) -> yarl.URL:
    """The URL of an endpoint without a query."""
    return yarl.URL(address, encoded=True)


class StrictTransport:
    """A mix-in before a ccxt client class. One instance serves one call, so `sent` concerns this one request."""

    session: aiohttp.ClientSession
    # Before a connection stands, nothing of the request has left. The gateway limits the time of the whole call.
    call_timeout = aiohttp.ClientTimeout(connect=4, sock_connect=3)
    sent = False
    send_before: datetime | None = None
    passage: Passage | None = None
    # The header in which the exchange tells the used request weight of this minute; "" where no header tells.
    weight_header = ""
    note_weight: Callable[[int], None] | None = None

    def __del__(self) -> None:
        """Replaces ccxt's destructor, which complains about open sessions: the session belongs to the process."""

    def classify(
        self, http_status: int, body: object | None, retry_after: str | None, url: str
    ) -> ExchangeError:
        return classify_generic(http_status, body, retry_after=retry_after)

    async def fetch2(
        self, path: str, api: Any = "public", method: str = "GET", params: Any = None, config: Any = None
    ) -> Any:
        """Signs one request and sends the request once.

        ccxt's own `fetch2` can repeat a request, and reading ccxt's options for repetition costs more than the
        signature.
        """
        request = self.sign(path, api, method, params or {})  # type: ignore[attr-defined]
        return await self.fetch(request["url"], request["method"], request["headers"], request["body"])

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        # The request is signed by now. If the process sleeps after this check, the request's receive window passes.
        if self.send_before is not None and datetime.now(UTC) > self.send_before:
            raise NotSent("Too late to send it.", code="too_late")
        self.sent = True
        _passage.set(self.passage)
        try:
            async with self.session.request(
                method,
                yarl.URL(url, encoded=True) if "?" in url else _url(url),
                data=body.encode() if isinstance(body, str) else body,
                headers=self.prepare_request_headers(headers),  # type: ignore[attr-defined]
                allow_redirects=False,
                timeout=self.call_timeout,
            ) as response:
                raw = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            # Without the cause, because aiohttp's text may hold the signed URL.
            raise NotSent("The exchange could not be reached.", code=UNREACHABLE) from None
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise OutcomeUnknown("The connection broke before the exchange's answer was complete.") from None
        self._note_host(response)
        self._note_weight(response.headers)
        answer = self._conclude(response.status, response.headers.get("Retry-After"), raw, url)
        self._doubt(answer, raw, response.headers, url, method)
        return answer

    def _doubt(self, answer: Any, raw: bytes, headers: Mapping[str, str], url: str, method: str) -> None:
        """Raises OutcomeUnknown where ccxt takes an HTTP 200 for a refusal: many exchanges refuse with HTTP 200.

        Such a refusal proves nothing, because ccxt's error classes mix refused requests with requests that may have
        taken effect.
        """
        text = raw.decode(errors="replace")
        try:
            self.handle_errors(200, "", url, method, headers, text, answer, {}, None)  # type: ignore[attr-defined]
        except ccxt.BaseError as error:
            raise OutcomeUnknown(f"The answer is no success: {type(error).__name__}.") from None

    def _note_host(self, response: aiohttp.ClientResponse) -> None:
        if self.passage is not None and isinstance(self.session.connector, WarmConnector):
            self.session.connector.note_answer(response.url, response.headers, self.passage.exchange)

    def _note_weight(self, headers: Mapping[str, str]) -> None:
        used = headers.get(self.weight_header, "") if self.weight_header else ""
        if self.note_weight is not None and used.isascii() and used.isdigit():
            self.note_weight(int(used[:_MAX_DIGITS]))

    def _conclude(self, status: int, retry_after: str | None, raw: bytes, url: str) -> Any:
        parsed = parse_json(raw)
        if status != 200 or parsed is None:
            raise self.classify(status, parsed, retry_after, url)
        return parsed


def parse_json(raw: bytes) -> Any | None:
    """Parses an answer, with fractions as exact text. Returns None for content other than a JSON object or list."""
    try:
        parsed = _DECODER.decode(raw.decode(json.detect_encoding(raw), "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict | list) else None
