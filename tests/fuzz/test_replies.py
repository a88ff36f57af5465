"""Whatever an exchange says, an adapter's verb ends in a report that can be stored, or in one of our conclusions."""

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from exchanges.adapters.protocol import Balance, Fill, OrderReport, PositionReport
from exchanges.enums import OrderType, ReportStatus
from exchanges.errors import ExchangeError, OutcomeUnknown, Unavailable
from exchanges.fields import DIGITS, PLACES
from tests.fuzz.engine import fuzz
from tests.fuzz.replies import FILL, KINDS, NAME, ROW, VERBS, Desk, answers


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.loop.close()


def test_no_answer_is_too_strange(desk):
    def check(answer: dict[str, Any]) -> None:
        try:
            said = desk.ask(**answer)
        except ExchangeError:
            return
        if answer["verb"] in ("place_order", "fetch_order"):
            assert said.client_order_id == NAME
            assert said.order_id
        for thing in said if isinstance(said, list | tuple) else [said]:
            check_storable(thing)

    fuzz(check, answers)


def check_storable(thing: Any) -> None:
    match thing:
        case OrderReport():
            check_text(thing.order_id, thing.client_order_id, thing.symbol, thing.working_order_id)
            assert thing.status is None or isinstance(thing.status, ReportStatus)
            check_numbers(thing.quantity, thing.filled)
            assert thing.filled >= 0
            assert thing.reported_at is None or isinstance(thing.reported_at, datetime)
            for fill in thing.fills or ():
                check_storable(fill)
        case Fill():
            check_text(thing.trade_id, thing.order_id, thing.symbol, thing.fee_currency)
            check_numbers(thing.quantity, thing.price, thing.fee)
            assert thing.trade_id
            assert thing.quantity > 0
            assert thing.price >= 0
        case Balance():
            check_numbers(thing.free, thing.total)
        case PositionReport():
            check_text(thing.symbol)
            check_numbers(thing.quantity)


def check_text(*texts: str) -> None:
    for text in texts:
        assert isinstance(text, str)
        assert len(text) <= 80
        assert "\x00" not in text


def check_numbers(*numbers: Decimal | None) -> None:
    for number in numbers:
        if number is not None:
            assert number.is_finite()
            assert not number or number.adjusted() < DIGITS - PLACES


def test_the_true_answer_is_understood(desk):
    for kind in KINDS:
        for order_type in OrderType:
            report = desk.ask(kind, "place_order", order_type, 200, json.dumps(ROW).encode())

            assert (report.order_id, report.client_order_id) == ("12", NAME)


# Found by the test above.
STRANGE = [
    {"orderId": None},
    {"orderId": [1]},
    {"orderId": True},
    {"orderId": ""},
    {"orderId": "9" * 81},
    {"clientOrderId": "someone-elses"},
    {"executedQty": "NaN"},
    {"executedQty": "many"},
    {"executedQty": "-0.01"},
    {"executedQty": "1E+999"},
    {"updateTime": 10**40},
]
STRANGE_FILLS = [
    {"qty": "-1"},
    {"qty": "0"},
    {"qty": "1E-19"},
    {"price": "1E+30"},
    {"id": None},
    {"id": {"a": 1}},
    {"commissionAsset": "\x00"},
    {"time": 10**40},
]


@pytest.mark.parametrize("verb", ["place_order", "fetch_order", "cancel_order"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strange", STRANGE, ids=str)
def test_an_answer_with_a_strange_field_proves_nothing(desk, kind, verb, strange):
    answer = {**ROW, "origClientOrderId": strange.get("clientOrderId", NAME), **strange}

    with pytest.raises(Unavailable if verb == "fetch_order" else OutcomeUnknown):
        desk.ask(kind, verb, OrderType.LIMIT, 200, json.dumps(answer).encode())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strange", STRANGE_FILLS, ids=str)
def test_a_strange_fill_is_not_booked(desk, kind, strange):
    fills = [{**FILL, **strange}]

    with pytest.raises(Unavailable):
        desk.ask(kind, "fetch_fills", OrderType.LIMIT, 200, json.dumps(fills).encode())


@pytest.mark.parametrize("strange", ["1E+20", "1E-19", "NaN", []], ids=str)
@pytest.mark.parametrize("name", ["availableBalance", "balance"])
def test_a_strange_balance_is_no_balance(desk, name, strange):
    rows = [{"asset": "USDT", "availableBalance": "1", "balance": "1", name: strange}]

    with pytest.raises(Unavailable):
        desk.ask("futures", "fetch_balance", OrderType.LIMIT, 200, json.dumps(rows).encode())


@pytest.mark.parametrize("strange", ["1E+20", "1E-19", "NaN", []], ids=str)
def test_a_strange_position_is_no_position(desk, strange):
    rows = [{"symbol": "BTCUSDT", "positionAmt": strange}]

    with pytest.raises(Unavailable):
        desk.ask("futures", "fetch_positions", OrderType.LIMIT, 200, json.dumps(rows).encode())


@pytest.mark.parametrize("verb", VERBS[:7])
@pytest.mark.parametrize("kind", KINDS)
def test_an_object_in_place_of_a_list_is_no_answer(desk, kind, verb):
    with pytest.raises(ExchangeError):
        desk.ask(kind, verb, OrderType.MARKET, 200, b'{"":0}')


def test_a_long_and_a_short_of_one_symbol_are_one_position(desk):
    rows = [{"symbol": "BTCUSDT", "positionAmt": quantity} for quantity in ("10.526", "-3", "0")]
    rows += [{"symbol": "ETHUSDT", "positionAmt": quantity} for quantity in ("2", "-2")]

    said = desk.ask("futures", "fetch_positions", OrderType.LIMIT, 200, json.dumps(rows).encode())

    assert said == [PositionReport("BTC/USDT:USDT", Decimal("7.526"))]


@pytest.mark.parametrize("verb", ["fetch_orders", "fetch_fills"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_page_is_not_all_of_the_history(desk, kind, verb):
    def ask(rows: int) -> Any:
        return desk.ask(kind, verb, OrderType.LIMIT, 200, json.dumps([ROW] * rows).encode())

    assert len(ask(999)) >= 999
    with pytest.raises(Unavailable) as caught:
        ask(1000)

    assert caught.value.code == "history_too_long"
