"""An exchange and an order type are added as CONTRIBUTING.md says, and an order goes out with them."""

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import call_command

from exchanges.adapters.clients import clone_client, new_template
from exchanges.adapters.dialects import DIALECTS
from exchanges.adapters.protocol import Credentials, OrderRequest
from exchanges.enums import MarketType, OrderType, Side
from exchanges.errors import ExchangeError, NotSent
from exchanges.registry import EXCHANGES, Exchange
from tests.desk import Desk, open_at
from tests.factories import AccountFactory, StrategyAccountFactory, StrategyFactory, issue_token
from tests.fuzz.replies import markets
from tradehub.environment import BASE_DIR

QUANTITY, PRICE, STOP_PRICE = Decimal("0.25"), Decimal(90000), Decimal(96000)
LISTED = {MarketType.SPOT: markets("spot"), MarketType.FUTURES: markets("futures")}
SYMBOLS = {MarketType.SPOT: "BTC/USDT", MarketType.FUTURES: "BTC/USDT:USDT"}
PLAIN = Exchange("plain", "Plain", {MarketType.SPOT: "binance"}, setting="PAPER_EXCHANGE_URL")
REGISTERED = [*EXCHANGES.values(), PLAIN]
PLACES = [(exchange, market_type) for exchange in REGISTERED for market_type in exchange.clients]


class Line:
    """Stands where the connection pool stands, and keeps what leaves."""

    def __init__(self) -> None:
        self.raw, self.sent, self.headers = b"{}", [], {}

    @asynccontextmanager
    async def request(self, method, url, data=None, **_):
        query = urlsplit(str(url)).query or (data or b"").decode()
        self.sent.append({name: values[0] for name, values in parse_qs(query).items()})

        async def read():
            return self.raw

        yield SimpleNamespace(status=200, headers={}, read=read)


async def place(line, exchange, market_type, order_type):
    """The adapter, after it was asked to place an order of this type."""
    dialect = DIALECTS[exchange.dialect]
    client = exchange.clients[market_type]
    template = new_template(client, transport=dialect.transport, session=line, address="http://127.0.0.1:1")
    line.raw = LISTED[market_type]
    specs = await dialect.adapters[market_type](clone_client(template, None), market_type).load_markets()
    template.set_markets([spec.raw for spec in specs])
    adapter = dialect.adapters[market_type](clone_client(template, Credentials("key", "secret")), market_type)
    price = PRICE if order_type.needs_price else None
    stop_price = STOP_PRICE if order_type.needs_stop_price else None
    symbol = SYMBOLS[market_type]
    line.raw, line.sent = b"{}", []
    request = OrderRequest("th0123456789", symbol, Side.BUY, order_type, QUANTITY, price, stop_price)
    return adapter, adapter.place_order(request)


@pytest.mark.parametrize(
    ("exchange", "market_type", "order_type"),
    [(*place, order_type) for place, order_type in product(PLACES, OrderType)],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_an_order_type_leaves_as_itself_or_not_at_all(exchange, market_type, order_type):
    line = Line()

    async def run():
        adapter, placing = await place(line, exchange, market_type, order_type)
        with pytest.raises(ExchangeError) as refused:
            await placing  # the answer {} proves nothing
        return adapter.capabilities.order_types, refused.value

    order_types, error = asyncio.run(run())

    if order_type not in order_types:
        assert (type(error), line.sent) == (NotSent, [])
        return
    (sent,) = line.sent
    assert Decimal(sent["quantity"]) == QUANTITY
    assert ("MARKET" in sent["type"] or sent["type"] == "STOP_LOSS") is not order_type.needs_price
    assert sent.get("price") == (str(PRICE) if order_type.needs_price else None)
    trigger = sent.get("stopPrice") or sent.get("triggerPrice")
    assert trigger == (str(STOP_PRICE) if order_type.needs_stop_price else None)


def test_an_order_type_that_the_adapter_does_not_list_is_not_sent_as_another(monkeypatch):
    line = Line()
    adapter_class = DIALECTS["binance"].adapters[MarketType.SPOT]
    fewer = adapter_class.capabilities.order_types - {OrderType.LIMIT}
    monkeypatch.setattr(
        adapter_class, "capabilities", SimpleNamespace(order_types=fewer, weight_per_minute=None)
    )

    async def run():
        _, placing = await place(line, EXCHANGES["binance"], MarketType.SPOT, OrderType.LIMIT)
        await placing

    with pytest.raises(NotSent):
        asyncio.run(run())
    assert line.sent == []


@pytest.mark.django_db(transaction=True)
def test_a_plain_ccxt_exchange_is_one_registry_line_and_no_migration(deliver, paper, monkeypatch):
    monkeypatch.setitem(EXCHANGES, PLAIN.name, PLAIN)
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    account = AccountFactory(name="P1", exchange=PLAIN.name)
    account.full_clean()
    strategy = StrategyFactory(owner=account.owner, market_type=MarketType.SPOT)
    StrategyAccountFactory(strategy=strategy, account=account)
    desk = Desk(strategy, issue_token(account.owner), paper, {"P1": account})
    open_at(paper, account)

    alert = desk.alert(symbol="BTC/USDT", side="buy", order_type="LIMIT", price="90000", qty="0.25")
    (result,) = deliver(alert).json()["results"]

    (order,) = desk.ledger_orders("P1")
    assert (result["status"], result["order_id"]) == ("success", str(order["orderId"]))
    assert (order["type"], order["price"], order["clientOrderId"]) == (
        "LIMIT",
        "90000",
        result["client_order_id"],
    )


NEW_TYPE = {  # file -> (what stands there, what stands there afterwards)
    "exchanges/enums.py": [
        (
            '    STOP_MARKET = "STOP_MARKET", _("Stop market")\n',
            '    STOP_MARKET = "STOP_MARKET", _("Stop market")\n'
            '    LIMIT_MAKER = "LIMIT_MAKER", _("Post-only limit")\n',
        ),
        (
            "return self in (OrderType.LIMIT, OrderType.STOP_LIMIT)",
            "return self in (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_MAKER)",
        ),
    ],
    "exchanges/adapters/binance.py": [
        (
            "order_types=_PLAIN | _STOPS,\n        weight_per_minute=6000",
            "order_types=_PLAIN | _STOPS | {OrderType.LIMIT_MAKER},\n        weight_per_minute=6000",
        ),
    ],
}
NEW_TEST = """
import pytest
from django.core.management import call_command
from exchanges.enums import MarketType
from tests.desk import open_desk

@pytest.mark.django_db(transaction=True)
def test_it_is_sent(deliver, paper):
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    spot = open_desk(paper, "A1", market_type=MarketType.SPOT)
    futures = open_desk(paper, "A1")
    alert = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit_maker", "price": "90000", "qty_per": 5}

    (sent,) = deliver(spot.alert(alert)).json()["results"]
    (refused,) = deliver(futures.alert(alert)).json()["results"]
    missing = deliver(spot.alert(alert, price=None)).json()

    (order,) = spot.ledger_orders("A1")
    assert (sent["status"], sent["order_type"], order["type"]) == ("success", "LIMIT_MAKER", "LIMIT_MAKER")
    assert refused["error_code"] == "order_type_unsupported"
    assert missing["code"] == "price_required"
"""


def test_an_order_type_is_a_member_of_the_enum_and_a_line_in_the_adapter(tmp_path):
    """In a copy of the code, since an enum cannot grow while the code runs."""
    for name in (
        "audit",
        "staff",
        "exchanges",
        "strategies",
        "orders",
        "webhooks",
        "tradehub",
        "tests",
        "locale",
        "staticfiles",
    ):
        shutil.copytree(BASE_DIR / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pytest.ini"):
        shutil.copy(BASE_DIR / name, tmp_path)
    (tmp_path / "var").mkdir()
    for name, changes in NEW_TYPE.items():
        edit(tmp_path / name, changes)
    (tmp_path / "tests/test_new_type.py").write_text(NEW_TEST)

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_new_type.py"],
        cwd=tmp_path,
        env=of_its_own(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


def edit(path: Path, changes: list[tuple[str, str]]) -> None:
    text = path.read_text()
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path.write_text(text)


def of_its_own(folder: Path) -> dict[str, str]:
    """The environment without what ties a process to this run."""
    tied = ("PYTEST", "COV", "DJANGO", "TEST_DATABASE_URL", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(tied)}
    return kept | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
