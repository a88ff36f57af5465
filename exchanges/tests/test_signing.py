"""What leaves for Binance with a signature of ours is what ccxt would send."""

from decimal import Decimal
from urllib.parse import urlencode

import ccxt.async_support as ccxt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from exchanges.adapters.binance import BinanceTransport
from exchanges.adapters.clients import clone_client
from exchanges.adapters.protocol import Credentials, OrderKey, OrderRequest
from exchanges.adapters.signing import query_of
from exchanges.enums import OrderType, Side, TimeInForce
from exchanges.errors import ExchangeError
from tests.fuzz.replies import KINDS, NAME, SYMBOLS, Desk

NOW_MS = 1_795_000_000_123
SECRETS = {"plain": "s" * 64, "with signs": "a/b+c=&é"}
ORDERS = [
    OrderRequest(NAME, "", Side.BUY, OrderType.LIMIT, Decimal("0.01"), Decimal("95000.1")),
    OrderRequest(
        NAME, "", Side.SELL, OrderType.LIMIT, Decimal("1"), Decimal("7"), time_in_force=TimeInForce.FOK
    ),
    OrderRequest(NAME, "", Side.SELL, OrderType.MARKET, Decimal("12.5"), reduce_only=True),
    OrderRequest(NAME, "", Side.BUY, OrderType.STOP_LIMIT, Decimal("2"), Decimal("99000"), Decimal("98000")),
    OrderRequest(NAME, "", Side.SELL, OrderType.STOP_MARKET, Decimal("2"), None, Decimal("98000")),
]


class Wire:
    """Stands where the connection pool stands, keeps what would leave, and answers nothing."""

    def __init__(self):
        self.left, self.headers = [], {}

    def request(self, method, url, *, data, headers, **_):
        self.left.append((method, str(url), data, dict(headers)))
        raise TimeoutError


@pytest.fixture(scope="module")
def desk():
    desk = Desk()
    yield desk
    desk.loop.close()


def leaves(desk, kind, verb, arguments, *, secret, by_ccxt, monkeypatch):
    """The requests that leave for the call, signed by us or by ccxt."""
    template = desk.templates[kind]
    client = clone_client(template, Credentials("the-key", secret))
    client.session, client.nonce = Wire(), lambda: NOW_MS
    adapter = KINDS[kind][1](client, KINDS[kind][2])
    with monkeypatch.context() as patched:
        if by_ccxt:
            patched.delattr(BinanceTransport, "sign")
            client.common_headers = None
        with pytest.raises(ExchangeError):
            desk.loop.run_until_complete(getattr(adapter, verb)(*arguments))
    return client.session.left


def calls_of(kind):
    symbol = SYMBOLS[kind]
    for order in ORDERS:
        fields = {name: getattr(order, name) for name in order.__slots__}
        fields |= {"symbol": symbol, "reduce_only": order.reduce_only and kind == "futures"}
        yield "place_order", (OrderRequest(**fields),)
    for name in (NAME, "th é/+&=%"):
        for key in (OrderKey(symbol, name), OrderKey(symbol, name, "8886774001")):
            yield "cancel_order", (key,)
            yield "fetch_order", (key,)
    yield "fetch_order_fills", (OrderKey(symbol, NAME, "8886774001"),)


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_request_of_an_order_is_the_one_that_ccxt_makes(desk, kind, secret, monkeypatch):
    for verb, arguments in calls_of(kind):
        ours, theirs = (
            leaves(desk, kind, verb, arguments, secret=secret, by_ccxt=by_ccxt, monkeypatch=monkeypatch)
            for by_ccxt in (False, True)
        )
        assert ours == theirs, verb
        assert len(ours) == 1


def test_the_plain_order_is_not_signed_by_ccxt(desk, monkeypatch):
    """Without this test the comparison could compare ccxt with ccxt."""
    monkeypatch.setattr(ccxt.binance, "sign", None)
    (order, *_) = calls_of("futures")

    (left,) = leaves(desk, "futures", *order, secret="s", by_ccxt=False, monkeypatch=monkeypatch)

    assert left[0] == "POST"


def test_a_key_pair_signs_as_ccxt_signs(desk, monkeypatch):
    """Binance takes an RSA or an Ed25519 key in place of a secret."""
    pem = Ed25519PrivateKey.from_private_bytes(bytes(32)).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    (order, *_) = calls_of("futures")
    ours, theirs = (
        leaves(desk, "futures", *order, secret=pem.decode(), by_ccxt=by_ccxt, monkeypatch=monkeypatch)
        for by_ccxt in (False, True)
    )
    assert ours == theirs
    assert len(ours) == 1


def test_a_query_quotes_what_has_a_meaning():
    parameters = {"a": "x y/+&=%?#é", "b": 5, "c": True, "d": False, "e": "", "f": "0.01-_.~"}
    assert query_of(parameters) == urlencode({**parameters, "c": "true", "d": "false"}).replace("+", "%20")
