"""The published schema is the parser's own table, and says of messages what the parser says."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from webhooks.errors import WebhookError
from webhooks.message.legs import LEG_FIELDS
from webhooks.message.payload import TOP_FIELDS, parse_delivery
from webhooks.message.schema import LEG_SCHEMAS, TOP_SCHEMAS, message_schema
from webhooks.tests.test_payload import LIMIT, MARKET
from webhooks.tests.test_terms import POSITION

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = Draft202012Validator(message_schema())
GOOD = [
    LIMIT,
    MARKET,
    POSITION,
    {**LIMIT, "order_type": "STOP_LIMIT", "price": "-0.5%", "stop_price": " +10 Ticks "},
    {**LIMIT, "price": "-100d"},
    {**MARKET, "side": "SELL", "stop_loss": {"percent": 2}, "take_profit": [{"price": "1", "portion": 50}]},
    {"group_name": "g", "token": "t", "symbol": "BTCUSDT", "target_per": "-12.5", "levered": False},
    {
        "group_name": "g",
        "token": "t",
        "orders": [{**LIMIT, "priority": 1}, {"order_type": "CANCEL_ALL_ORDER"}],
    },
    {"group_name": "g", "token": "t", "order_type": "CANCEL_ALL_ORDER", "symbol": ["BTCUSDT", "ETHUSDT"]},
]
BAD = [
    {**LIMIT, "qty_per": -101},
    {**LIMIT, "price": "-1"},
    {**LIMIT, "price": "0.5%"},
    {"group_name": "g", "token": "t", "order_type": "CANCEL_ALL_ORDER", "symbol": []},
    {"group_name": "g", "token": "t", "order_type": "CANCEL_ALL_ORDER", "symbol": ["BTCUSDT"] * 31},
    {**LIMIT, "side": "up"},
    {**LIMIT, "order_type": "ICEBERG"},
    {**POSITION, "market_position": "up"},
    {**MARKET, "stop_loss": 5},
    {**MARKET, "stop_loss": {"percent": 1, "price": 2}},
    {**MARKET, "trailing_stop": {"price": 2}},
    {**LIMIT, "tag": "x" * 65},
    {**LIMIT, "dry_run": "perhaps"},
]


def test_the_schema_has_the_fields_of_the_parser():
    assert LEG_SCHEMAS.keys() == LEG_FIELDS
    assert LEG_SCHEMAS.keys() | TOP_SCHEMAS.keys() | {"orders"} == TOP_FIELDS


def test_the_schema_is_one_and_is_published(client):
    answer = client.get("/api/webhook/schema.json")

    Draft202012Validator.check_schema(answer.json())
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/schema+json")
    assert json.loads((DOCS / "message.schema.json").read_text()) == answer.json() == message_schema()


@pytest.mark.parametrize("message", GOOD)
def test_what_the_parser_takes_the_schema_takes(message):
    parse_delivery(json.dumps(message).encode(), bearer=None, max_bytes=65536, max_legs=30)

    assert not list(SCHEMA.iter_errors(message))


@pytest.mark.parametrize("message", BAD)
def test_what_the_schema_refuses_the_parser_refuses(message):
    with pytest.raises(WebhookError):
        parse_delivery(json.dumps(message).encode(), bearer=None, max_bytes=65536, max_legs=30)

    assert list(SCHEMA.iter_errors(message))
