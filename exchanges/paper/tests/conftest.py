import asyncio
import re
from collections.abc import Iterator

import ccxt.async_support as ccxt
import pytest

from exchanges.paper.testing import PaperControl, running_paper_exchange
from exchanges.paper.wire import limits

KEY, SECRET = "alice-key", "alice-secret"


def at(urls, base):
    if isinstance(urls, str):
        return re.sub(r"^https?://[^/]+", base, urls)
    return {name: at(url, base) for name, url in urls.items()}


def connect(make, url: str, key: str = KEY, secret: str = SECRET):
    client = make({"apiKey": key, "secret": secret, "number": str, "enableRateLimit": False})
    client.urls["api"] = at(client.urls["api"], url)
    return client


class Desk:
    """A real ccxt client whose calls wait for their answer."""

    def __init__(self, runner: asyncio.Runner, client) -> None:
        self.runner, self.client = runner, client

    def __getattr__(self, name):
        method = getattr(self.client, name)

        async def call(*args, **kwargs):
            return await method(*args, **kwargs)

        return lambda *args, **kwargs: self.runner.run(call(*args, **kwargs))


@pytest.fixture(autouse=True)
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute in which the exchange counts does not end while a test runs."""
    monkeypatch.setattr(limits, "MINUTE_MS", 10**15)


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def exchange() -> Iterator[PaperControl]:
    with running_paper_exchange() as paper:
        yield paper


@pytest.fixture
def paper(exchange: PaperControl) -> PaperControl:
    exchange.reset()
    exchange.set_liquidity({"BTCUSDT": None})
    exchange.open_account(KEY, SECRET)
    return exchange


@pytest.fixture(scope="session")
def clients(runner: asyncio.Runner, exchange: PaperControl) -> Iterator[dict]:
    found = {make: connect(make, exchange.url) for make in (ccxt.binance, ccxt.binanceusdm)}
    for client in found.values():
        runner.run(client.load_markets())
    yield found
    for client in found.values():
        runner.run(client.close())


@pytest.fixture
def spot(runner, clients, paper) -> Desk:
    return Desk(runner, clients[ccxt.binance])


@pytest.fixture
def futures(runner, clients, paper) -> Desk:
    return Desk(runner, clients[ccxt.binanceusdm])
