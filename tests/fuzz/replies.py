"""Adapters over a line that says whatever the test wants, and all the things that it may say."""

import asyncio
import json
import tempfile
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from exchanges.adapters.binance import BinanceFutures, BinanceSpot, BinanceTransport
from exchanges.adapters.clients import clone_client, new_template
from exchanges.adapters.protocol import Credentials, OrderKey, OrderRequest
from exchanges.enums import MarketType, OrderType, Side
from exchanges.paper.exchange import PaperExchange
from exchanges.paper.wire.signing import read_request

NAME, SYMBOLS = "th0123456789", {"spot": "BTC/USDT", "futures": "BTC/USDT:USDT"}
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = {
    "spot": ("binance", BinanceSpot, MarketType.SPOT),
    "futures": ("binanceusdm", BinanceFutures, MarketType.FUTURES),
}
VERBS = [
    "place_order", "cancel_order", "fetch_order", "fetch_order_fills", "fetch_open_orders", "fetch_orders",
    "fetch_fills",
    "fetch_balance", "fetch_positions", "fetch_prices", "load_markets", "set_leverage",
]  # fmt: skip


class Line:
    """Stands where the connection pool stands."""

    def __init__(self) -> None:
        self.status, self.raw, self.headers = 200, b"", {}

    @asynccontextmanager
    async def request(self, *_: Any, **__: Any) -> Any:
        async def answer() -> bytes:
            return self.raw

        yield SimpleNamespace(status=self.status, headers=self.headers, read=answer)


@cache
def markets(kind: str) -> bytes:
    """As the paper exchange publishes them."""
    path = "/api/v3/exchangeInfo" if kind == "spot" else "/fapi/v1/exchangeInfo"
    with tempfile.TemporaryDirectory() as folder:
        exchange = PaperExchange(Path(folder) / "paper.sqlite3")
        reply = asyncio.run(exchange.answer(read_request("GET", path, b"", "", "127.0.0.1", 0)))
        exchange.close()
    return reply.body


class Desk:
    """One loop and one client per kind, for many answers."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.line = Line()
        self.templates = {
            kind: self.loop.run_until_complete(self._template(kind, markets(kind))) for kind in KINDS
        }

    async def _template(self, kind: str, listed: bytes) -> Any:
        client, _, _ = KINDS[kind]
        template = new_template(
            client, transport=BinanceTransport, session=self.line, address="http://127.0.0.1:1"
        )
        self.line.raw = listed
        specs = await self.adapter(kind, template).load_markets()
        template.set_markets([spec.raw for spec in specs])
        return template

    def adapter(self, kind: str, template: Any) -> Any:
        _, adapter, market_type = KINDS[kind]
        return adapter(clone_client(template, Credentials("key", "secret")), market_type)

    def ask(
        self, kind: str, verb: str, order_type: OrderType, status: int, raw: bytes, **headers: str
    ) -> Any:
        """What the adapter makes of one answer. Raises whatever it raises."""
        self.line.status, self.line.raw, self.line.headers = status, raw, headers
        adapter = self.adapter(kind, self.templates[kind])
        return self.loop.run_until_complete(getattr(adapter, verb)(*_arguments(kind, verb, order_type)))


def _arguments(kind: str, verb: str, order_type: OrderType) -> tuple[Any, ...]:
    symbol = SYMBOLS[kind]
    price = Decimal("95000") if order_type.needs_price else None
    stop_price = Decimal("96000") if order_type.needs_stop_price else None
    request = OrderRequest(NAME, symbol, Side.BUY, order_type, Decimal("0.01"), price, stop_price)
    given: dict[str, tuple[Any, ...]] = {
        "place_order": (request,),
        "fetch_orders": (symbol, SINCE),
        "fetch_fills": (symbol, SINCE),
        "fetch_prices": ([symbol],),
        "set_leverage": (symbol, 3),
    }
    key = OrderKey(symbol, NAME, order_type=order_type)
    return given.get(verb, (key,) if verb in ("cancel_order", "fetch_order", "fetch_order_fills") else ())


# What an exchange may say

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 10),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["NaN", "Infinity", "-1", "0", "1E+999", "1e-999", "0.01", "95000", "9" * 200, "\x00", "BTCUSDT"]
    ),
    st.sampled_from([10**40, 253402300800000, 10**30, -(10**15)]),
)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FILL = {
    "id": 7, "tradeId": 7, "orderId": 12, "symbol": "BTCUSDT", "side": "BUY", "isBuyer": True, "qty": "0.01",
    "price": "95000", "commission": "0.1", "commissionAsset": "USDT", "time": 1790000000000, "maker": False,
}  # fmt: skip
ROW = {
    "orderId": 12, "clientOrderId": NAME, "origClientOrderId": NAME, "symbol": "BTCUSDT", "status": "FILLED",
    "origQty": "0.01", "executedQty": "0.01", "cummulativeQuoteQty": "950", "avgPrice": "95000", "price": "95000",
    "side": "BUY", "type": "LIMIT", "transactTime": 1790000000000, "updateTime": 1790000000000, "fills": [FILL],
    "algoId": 12, "clientAlgoId": NAME, "algoStatus": "NEW", "quantity": "0.01", "actualOrderId": "",
    "asset": "USDT", "free": "1", "locked": "0", "balance": "1", "availableBalance": "1", "positionAmt": "0.01",
    "entryPrice": "95000", "balances": [{"asset": "USDT", "free": "1", "locked": "0"}], **FILL,
}  # fmt: skip


@st.composite
def rows(draw: Any) -> dict[str, Any]:
    """A true answer, with some of it replaced or left out."""
    row = dict(ROW)
    for name in draw(st.lists(st.sampled_from(sorted(ROW)), min_size=1, max_size=3)):
        if draw(st.integers(0, 3)):
            row[name] = draw(scalars) if draw(st.integers(0, 3)) else draw(junk)
        else:
            row.pop(name, None)
    if draw(st.integers(0, 4)) == 0:
        row["fills"] = draw(st.lists(rows(), max_size=2))
    return row


codes = st.fixed_dictionaries(
    {"code": st.one_of(st.sampled_from([-1000, -1003, -1021, -2010, -2011, -2013, -2019, -4116]), scalars)},
    optional={"msg": scalars},
)
said = st.one_of(rows(), rows(), rows(), st.lists(rows(), max_size=2), codes, junk)
bodies = st.one_of(
    *[said.map(lambda value: json.dumps(value).encode())] * 4,
    said.map(lambda value: json.dumps(value).encode()[:-3]),
    st.binary(max_size=40),
    st.sampled_from([b"[" * 100_000, b"9" * 10_000, b'{"orderId":' + b"9" * 6_000 + b"}", b"\xff\xfe{}"]),
)
answers = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(sorted(KINDS)),
        "verb": st.sampled_from(VERBS + ["place_order", "cancel_order", "fetch_order"] * 2),
        "order_type": st.sampled_from(list(OrderType)),
        "status": st.sampled_from(
            [200, 200, 200, 200, 201, 204, 302, 400, 401, 403, 409, 418, 429, 500, 503]
        ),
        "raw": bodies,
    },
    optional={"Retry-After": st.text(max_size=12) | st.integers().map(str)},
)
