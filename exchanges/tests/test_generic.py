"""Exchanges that are reached through ccxt alone: its words are no proof."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from exchanges.adapters.ccxt_adapter import CcxtAdapter
from exchanges.adapters.clients import clone_client, new_template
from exchanges.adapters.protocol import Credentials, OrderKey, OrderRequest, PositionReport
from exchanges.adapters.transport import StrictTransport
from exchanges.enums import MarketType, OrderType, Side
from exchanges.errors import NotSent, OutcomeUnknown, Unavailable
from tests.fuzz.replies import Line

NAME = "th0123456789"
SECRET = Credentials("key", "c2VjcmV0")
PRE_FLIGHT = {"enableUnifiedMargin": False, "enableUnifiedAccount": True, "unifiedMarginStatus": 6}
ORDER = OrderRequest(NAME, "BTC/USDT", Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(100))
SPOT = {
    "id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "baseId": "BTC", "quoteId": "USDT",
    "type": "spot", "spot": True, "swap": False, "future": False, "option": False, "contract": False,
    "margin": False, "active": True, "precision": {"amount": "0.0001", "price": "0.1"},
    "limits": {"amount": {"min": None, "max": None}, "price": {}, "cost": {}}, "info": {},
}  # fmt: skip
SWAP = SPOT | {
    "symbol": "BTC/USDT:USDT", "settle": "USDT", "settleId": "USDT", "type": "swap", "spot": False, "swap": True,
    "contract": True, "linear": True, "inverse": False, "contractSize": "0.01",
    "precision": {"amount": "1", "price": "0.1"},
    "limits": {"amount": {"min": "1", "max": "1000"}, "market": {"max": "120"}, "price": {}, "cost": {}},
}  # fmt: skip


class Desk:
    """One client of one exchange; `says` is what it hears next."""

    def __init__(self, name: str, market_type: MarketType, market: dict) -> None:
        self.line, self.market_type = Line(), market_type
        self.loop = asyncio.new_event_loop()
        self.template = self.loop.run_until_complete(self._template(name, market))

    async def _template(self, name, market):
        template = new_template(name, transport=StrictTransport, session=self.line)
        template.options.update(PRE_FLIGHT)
        template.set_markets([market])
        return template

    def hear(self, said, verb, *args, status=200):
        self.line.status, self.line.raw = status, json.dumps(said).encode()
        adapter = CcxtAdapter(clone_client(self.template, SECRET), self.market_type)
        return self.loop.run_until_complete(getattr(adapter, verb)(*args))


@pytest.fixture
def kraken():
    yield (desk := Desk("kraken", MarketType.SPOT, SPOT))
    desk.loop.close()


@pytest.fixture
def bybit():
    yield (desk := Desk("bybit", MarketType.SPOT, SPOT))
    desk.loop.close()


@pytest.fixture
def swaps():
    yield (desk := Desk("bybit", MarketType.FUTURES, SWAP))
    desk.loop.close()


QUESTIONS = [("fetch_balance",), ("fetch_open_orders",), ("fetch_open_orders", "BTC/USDT")]
KEY = OrderKey("BTC/USDT", NAME, "OABC-1")
REFUSED = {"retCode": 10003, "retMsg": "API key is invalid.", "result": {}, "time": 1}


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_a_refusal_in_a_200_is_no_empty_answer(bybit, question):
    with pytest.raises(Unavailable):
        bybit.hear(REFUSED, *question)


def test_a_refused_question_about_positions_is_no_position(swaps):
    with pytest.raises(Unavailable):
        swaps.hear(REFUSED, "fetch_positions")


@pytest.mark.parametrize("code", [10001, 10003, 110007, 170131])
def test_a_refused_command_is_not_concluded_from_what_ccxt_makes_of_it(bybit, code):
    refused = {"retCode": code, "retMsg": "Insufficient balance.", "result": {}, "time": 1}

    with pytest.raises(OutcomeUnknown):
        bybit.hear(refused, "place_order", ORDER)


@pytest.mark.parametrize("errors", [["EOrder:Insufficient funds"], ["EAPI:Invalid key"], ["EService:Busy"]])
def test_kraken_refuses_in_a_200_too(kraken, errors):
    with pytest.raises(OutcomeUnknown):
        kraken.hear({"error": errors}, "place_order", ORDER)
    with pytest.raises(Unavailable):
        kraken.hear({"error": errors}, "fetch_balance")


@pytest.mark.parametrize("said", [{"retCode": "x"}, {"retCode": {}}, {}, [], {"error": 5}, {"error": [None]}])
def test_what_ccxt_cannot_read_is_no_answer(bybit, kraken, said):
    for desk in (bybit, kraken):
        with pytest.raises(OutcomeUnknown):
            desk.hear(said, "place_order", ORDER)


def test_an_exchange_that_does_not_echo_our_id_accepts_with_its_own(kraken):
    accepted = {"error": [], "result": {"descr": {"order": "buy 1 BTCUSDT @ limit 100"}, "txid": ["OABC-1"]}}

    assert kraken.hear(accepted, "place_order", ORDER).order_id == "OABC-1"


def test_an_acceptance_without_an_id_is_none(kraken):
    with pytest.raises(OutcomeUnknown):
        kraken.hear({"error": [], "result": {"descr": {}, "txid": []}}, "place_order", ORDER)


@pytest.mark.parametrize(("echoed", "is_ours"), [(NAME, True), ("someone-elses", False)])
def test_an_id_that_is_echoed_must_be_ours(bybit, echoed, is_ours):
    accepted = {"retCode": 0, "retMsg": "OK", "result": {"orderId": "12", "orderLinkId": echoed}, "time": 1}

    if is_ours:
        assert bybit.hear(accepted, "place_order", ORDER).order_id == "12"
    else:
        with pytest.raises(OutcomeUnknown):
            bybit.hear(accepted, "place_order", ORDER)


@pytest.mark.parametrize("verb", ["fetch_order", "fetch_order_fills"])
def test_an_order_without_its_exchange_s_id_cannot_be_asked_about(kraken, verb):
    with pytest.raises(Unavailable) as caught:
        kraken.hear({"error": [], "result": {}}, verb, OrderKey("BTC/USDT", NAME))

    assert caught.value.code == "no_order_id"


def test_an_order_without_its_exchange_s_id_is_not_canceled_by_another(kraken):
    with pytest.raises(NotSent):
        kraken.hear({"error": [], "result": {"count": 1}}, "cancel_order", OrderKey("BTC/USDT", NAME))


@pytest.mark.parametrize(
    ("echoed", "is_ours"), [({"cl_ord_id": NAME}, True), ({}, True), ({"cl_ord_id": "x"}, False)]
)
def test_another_order_than_the_one_that_was_asked_for_is_no_answer(kraken, echoed, is_ours):
    words = {"pair": "BTCUSDT", "type": "buy", "ordertype": "limit", "price": "100", "leverage": "none"}
    row = {"status": "open", "vol": "1", "vol_exec": "0", "opentm": 1790000000.5, "descr": words} | echoed
    found = {"error": [], "result": {"OABC-1": row}}

    if is_ours:
        assert kraken.hear(found, "fetch_order", KEY).order_id == "OABC-1"
    else:
        with pytest.raises(Unavailable) as caught:
            kraken.hear(found, "fetch_order", KEY)
        assert caught.value.code == "answer_without_our_order"


def listed(desk, market):
    """The specification of a market, as the exchange lists it."""
    adapter = CcxtAdapter(clone_client(desk.template, SECRET), desk.market_type)

    async def fetch_markets():
        return [market]

    adapter.client.fetch_markets = fetch_markets
    (spec,) = desk.loop.run_until_complete(adapter.load_markets())
    return spec


def test_limits_in_contracts_are_limits_in_base_units(swaps):
    spec = listed(swaps, SWAP)

    assert (spec.lot_size, spec.min_quantity) == (Decimal("0.01"), Decimal("0.01"))
    assert (spec.max_quantity, spec.market_max_quantity) == (Decimal(10), Decimal("1.2"))


def test_a_market_without_limits_has_none(bybit):
    spec = listed(bybit, SPOT)

    assert (spec.max_quantity, spec.market_max_quantity) == (None, None)


def test_a_long_and_a_short_of_one_symbol_are_one_position(swaps):
    rows = [
        {"symbol": "BTCUSDT", "side": side, "size": size, "positionIdx": place}
        for side, size, place in (("Buy", "50", 1), ("Sell", "20", 2))
    ]
    said = {"retCode": 0, "retMsg": "OK", "result": {"list": rows}, "time": 1}

    assert swaps.hear(said, "fetch_positions") == [PositionReport("BTC/USDT:USDT", Decimal("0.3"))]


# History


def trade(number):
    return {
        "id": str(number), "order": "1", "symbol": "BTC/USDT", "side": "buy", "amount": "1", "price": "2",
        "timestamp": 1790000000000 + number, "fee": {"cost": "0", "currency": "USDT"},
    }  # fmt: skip


def trades_since(desk, since, rows):
    """The fills, and the parameters of each request."""
    adapter, asked = CcxtAdapter(clone_client(desk.template, SECRET), desk.market_type), []

    async def fetch_my_trades(symbol, since_ms, limit, params):
        asked.append((since_ms, limit, params))
        return [trade(number) for number in range(rows)]

    adapter.client.fetch_my_trades = fetch_my_trades
    return desk.loop.run_until_complete(adapter.fetch_fills("BTC/USDT", since)), asked


def test_the_past_is_asked_in_the_spans_of_the_exchange(bybit):
    since = datetime.now(UTC) - timedelta(days=15)

    fills, asked = trades_since(bybit, since, 3)

    assert len(fills) == 9
    starts = [start for start, _, _ in asked]
    ends = [params.get("until") for _, _, params in asked]
    assert starts[1:] == [end + 1 for end in ends[:2]]
    assert ends[2] is None
    assert {limit for _, limit, _ in asked} == {100}


@pytest.mark.parametrize("rows", [100, 101, 50])
def test_a_page_that_may_be_cut_is_no_answer(bybit, rows):
    with pytest.raises(Unavailable) as caught:
        trades_since(bybit, datetime.now(UTC) - timedelta(hours=1), rows)

    assert caught.value.code == "history_too_long"


@pytest.mark.parametrize("days", [351, 800])
def test_a_past_that_is_too_long_is_no_answer(bybit, days):
    with pytest.raises(Unavailable) as caught:
        trades_since(bybit, datetime.now(UTC) - timedelta(days=days), 0)

    assert caught.value.code == "history_too_long"


def test_an_exchange_tells_how_long_it_remembers(bybit, kraken):
    (ours, theirs) = (
        CcxtAdapter(clone_client(desk.template, SECRET), desk.market_type).capabilities
        for desk in (bybit, kraken)
    )

    assert (ours.history_days, ours.forgets_unfilled_after) == (730, timedelta(days=1))
    assert (theirs.history_days, theirs.forgets_unfilled_after) == (None, None)


@pytest.mark.parametrize(("rows", "is_whole"), [(3, True), (50, False)])
def test_open_orders_that_may_be_cut_are_no_answer(bybit, rows, is_whole):
    row = {
        "symbol": "BTCUSDT",
        "orderStatus": "New",
        "side": "Buy",
        "orderType": "Limit",
        "price": "1",
        "qty": "1",
    }
    orders = [row | {"orderId": str(number), "orderLinkId": f"o{number}"} for number in range(rows)]
    said = {"retCode": 0, "retMsg": "OK", "result": {"list": orders}, "time": 1}

    if is_whole:
        reports = bybit.hear(said, "fetch_open_orders", "BTC/USDT")
        assert [(report.side, report.order_type) for report in reports] == [(Side.BUY, OrderType.LIMIT)] * 3
    else:
        with pytest.raises(Unavailable):
            bybit.hear(said, "fetch_open_orders", "BTC/USDT")
