"""Bodies of several objects, bodies that cannot be read, and what is kept of both."""

import json
from decimal import Decimal

import pytest
from django.utils.translation import override
from hypothesis import given, settings
from hypothesis import strategies as st

from webhooks.errors import WebhookError
from webhooks.message.json_faults import find_double_key
from webhooks.message.payload import parse_delivery
from webhooks.message.placeholders import placeholder_around
from webhooks.message.secrets import scrub_text, without_secrets

AUTH = {"group_name": "g", "token": "t"}
LEG = {"symbol": "BTCUSDT", "side": "buy", "order_type": "MARKET", "qty": "1"}
ALERT = AUTH | LEG
OCTOBOT = "GROUP_NAME=g\nTOKEN=t\nEXCHANGE=BINANCE\nSYMBOL=BTCUSDT\nSIGNAL=BUY\nVOLUME=0.01"


def parse(body, **more):
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    return parse_delivery(body, bearer=None, max_bytes=65536, max_legs=30, **more)


def refusal(body, **more):
    with pytest.raises(WebhookError) as caught:
        parse(body, **more)
    return caught.value


def lines(*objects):
    return "\n".join(json.dumps(value) for value in objects)


# Several objects


def test_each_object_fills_its_own_legs():
    first = AUTH | {"symbol": "BTCUSDT", "side": "buy", "order_type": "MARKET"}
    first["orders"] = [{"qty": 1, "side": ""}, {"qty": 2, "symbol": "ETHUSDT"}]

    legs = parse([first, LEG | {"symbol": "XRPUSDT"}]).legs

    assert [(leg.symbol, leg.qty) for leg in legs] == [
        ("BTCUSDT", 1),
        ("ETHUSDT", 2),
        ("XRPUSDT", 1),
    ]


def test_an_array_and_lines_are_the_same_delivery():
    objects = (ALERT, LEG | {"qty": "2"})

    assert parse(list(objects)).fingerprint == parse(lines(*objects)).fingerprint
    assert parse(list(objects)).legs == parse(lines(*objects)).legs


@pytest.mark.parametrize("name", ["group_name", "token", "id", "dry_run"])
def test_a_later_object_says_the_same_as_the_first(name):
    error = refusal(lines(ALERT, LEG | {name: "x"}))

    assert (error.code, error.params["field"]) == ("unsupported_field", name)


def test_objects_of_two_dialects_are_ambiguous():
    assert refusal([ALERT, {"ticker": "BTCUSDT", "action": "buy", "quantity": 1}]).code == "ambiguous_dialect"


def test_objects_of_two_leverages_are_refused():
    pairs = {"exchange": "B", "symbol": "S", "signal": "buy", "volume": "1", "dialect": "octobot"}

    assert refusal([AUTH | pairs | {"leverage": 1}, pairs | {"leverage": 2}]).params["field"] == "leverage"


def test_foreign_objects_run_in_order():
    close = {"apikey": "k", "strategy": "s", "orderid": "7"}

    legs = parse([AUTH | close, close | {"orderid": "8"}]).legs

    assert [(leg.order_id, leg.priority) for leg in legs] == [("7", 0), ("8", 1)]


@pytest.mark.parametrize("orders", ["x", ["x"]])
def test_orders_of_an_object_are_a_list_of_objects(orders):
    assert refusal([ALERT, {"orders": orders}]).code == "missing_field"


def test_a_field_that_the_legs_cannot_hold_is_refused_and_not_dropped(monkeypatch):
    monkeypatch.setattr("webhooks.message.payload.LEG_FIELDS", frozenset({"symbol"}))

    error = refusal(AUTH | {"ticker": "BTCUSDT", "action": "exit"})

    assert (error.code, error.params["field"]) == ("unsupported_field", "market_position")


# Unread and unfilled fields


@pytest.mark.parametrize(
    "name", ["Leverage", "sl", "tp2", "closePosition", "TIF", "trailing_percent", "stop-loss"]
)
def test_an_entry_with_an_unread_field_that_changes_risk_is_refused(name):
    assert refusal(ALERT | {name: "5"}).code == "unsupported_field"
    assert refusal(AUTH | {"orders": [LEG | {name: "5"}]}).code == "unsupported_field"
    assert parse(ALERT | {name: False}).warnings
    assert parse(AUTH | {"symbol": "BTCUSDT", "order_type": "MARKET", "qty_per": -100, name: "5"}).warnings


@pytest.mark.parametrize("name", ["symbol", "side", "qty", "group_name", "id", "timestamp"])
def test_an_unfilled_placeholder_is_named(name):
    error = refusal(ALERT | {name: "{{x}}"})

    assert (error.code, error.params["field"]) == ("placeholder_not_filled", name)


def test_test_mode_is_refused():
    assert refusal(ALERT | {"test_mode": True}).code == "unsupported_field"
    assert parse(ALERT | {"test_mode": False}).legs


# Unreadable bodies

FAULTS = [
    ('{"a": {{close}}}', 7, "a placeholder was not filled in"),
    ('{"a": "{{plot("C")}}"}', 8, "a placeholder was not filled in"),
    ('{"a": 1 // x\n}', 9, "a comment"),
    ('{"a":\u00a01}', 6, "a space of another kind"),
    ('{"a": “x”}', 7, "typographic quotes"),
    ('{"a":"BTC”, "b":"c"}', 10, "typographic quotes"),
    ('{"a":1}}', 8, "a closing bracket too many"),
    ('{"a":1} x', 9, "text after the end"),
    ('{"a":"\\x"}', 7, "a lone backslash inside the text of a"),
    ('{"a":"x\ty"}', 8, "a control character inside the text of a"),
    ('{"a": "x', 7, "the closing brace is missing"),
    ('{"a":007}', 7, "the number of a has a leading zero"),
    ('{"a":1.25M}', 10, "the number of a has letters"),
    ('{"a":1 "b":2}', 8, "a comma is missing before b"),
    ('{"a":1 "', 8, 'a comma is missing before "'),
    ('{"a":[{} {}]}', 10, "a comma is missing before {"),
    ('{"a":{} = }', 9, "a comma or a closing bracket is missing"),
    ('{"a" 1}', 6, "a colon is missing after a"),
    ('{"a": 1,}', 8, "a comma after the last field"),
    ('{"a": [1,]}', 9, "a comma after the last field"),
    ("{a: 1}", 2, "the name a needs double quotes"),
    ("{:}", 2, "the name of a field in double quotes is missing"),
    ('{"a": +1}', 7, "a number must not start with a plus"),
    ('{"a": True}', 7, "True in capitals"),
    ('{"a": buy}', 7, "text without quotes: buy"),
    ('{"a": }', 7, "a has no value"),
    ('{"apikey": S3CRET}', 12, "text without quotes: ***"),
    ('[,"a"]', 2, "? has no value"),
    ('{"a": ?}', 7, "a value is missing here"),
    ("[]", 1, "the list is empty"),
    ("[1]", 1, "a list holds something else"),
    ("BUY BTC", 1, "plain text"),
    ('{"a": "\\u0000"}', 8, "a character that cannot be stored"),
    ("[" * 9 + "{}" + "]" * 9, 1, "a list holds something else"),
    ('{"a":' * 9 + "1" + "}" * 9, 1, "more than 8 levels"),
    ("[" * 60000, 1, "more than 8 levels"),
    ('{"x": {"b": 1}, "a": [1], "y": {"b": 1, "b": 2}}', 41, "b is given twice"),
    (OCTOBOT + ";volume=1", None, "volume is given twice"),
]


@pytest.mark.parametrize(("body", "column", "words"), FAULTS)
@override("en")
def test_the_likely_fault_is_named(body, column, words):
    error = refusal(body)

    assert error.code == "invalid_json"
    assert words in error.text
    assert column is None or f"column {column}:" in error.text


@override("en")
def test_a_byte_that_is_not_utf8_is_placed():
    assert "line 2, column 3: a byte that is not UTF-8" in refusal(b"\xef\xbb\xbf{\n  \xff}").text


def test_no_double_key_has_no_place():
    assert find_double_key('{"a": {"b": 1}, "c": {"b": 1}}', 0) is None


def test_a_placeholder_elsewhere_is_not_around_a_place():
    assert placeholder_around("{{a}} {x}", 8) is None
    assert placeholder_around("x", 0) is None


def test_an_unreadable_body_keeps_what_attributes_it():
    token = "th_" + "x" * 43
    body = f'{{"group_name": "g1", "token": "{token}", "note": "a "b" c"}}'

    error = refusal(body)

    assert (error.token_found, error.group_found) == (token, "g1")
    assert token not in error.text_shown
    assert "g1" in error.text_shown
    assert len(refusal("{" + "é" * 9000).text_shown.encode()) <= 4096
    assert (refusal("x").token_found, refusal("x").group_found) == ("", "")


# Text


@pytest.mark.parametrize(
    "body",
    [
        OCTOBOT.replace("\n", ";"),
        OCTOBOT.replace("\n", "\\n"),
        OCTOBOT.replace("\n", "\r\n"),
        f'"{OCTOBOT}"',
        OCTOBOT + "\nhello",
    ],
)
def test_pairs_may_be_parted_in_every_way(body):
    assert parse(body).legs == parse(OCTOBOT).legs


def test_text_of_a_dialect_that_is_not_read_is_named():
    assert refusal("acc1 BTCUSDT buy 1", dialect="whook").code == "unsupported_dialect"
    assert refusal("acc1 BTCUSDT buy 1", dialect="nobody").code == "unsupported_dialect"
    assert refusal("acc1 BTCUSDT buy 1", dialect="octobot").code == "invalid_json"
    assert refusal("acc1 BTCUSDT buy 1", dialect="own").code == "invalid_json"


def test_what_the_caller_has_to_agree_with_reaches_the_delivery():
    delivery = parse(OCTOBOT + "\nTRADING_TYPE=spot\nLEVERAGE=2\nMAX_LAG=60")

    assert (delivery.dialect, delivery.market_type, delivery.leverage) == ("octobot", "SPOT", Decimal(2))
    assert delivery.max_lag_s == 60
    assert delivery.content["dialect"] == "octobot"


# Secrets

SECRETS = [
    '{"secret": "S3CRET"',
    "{'password': 'S3CRET'",
    '{"apiKey":"S3\\"CRET-S3CRET", x',
    "apikey=S3CRET,x",
    "TOKEN=S3CRET;EXCHANGE=x",
    "{&quot;token&quot;: &quot;S3CRET&quot;",
    '"token": "S3CRET',
    "60000000000000,buy,S3".replace("60000000000000", "12345678901234"),
    "eyJhbGciOiJIUzI1NiJ9.S3CRET.x",
    "ENTER-LONG_BINANCE_S3CRET",
    "th_S3CRET",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_does_not_stay_in_a_text(text):
    assert "S3CRET" not in scrub_text(text)
    assert "12345678901234" not in scrub_text(text)


def test_a_text_without_secrets_stays():
    assert scrub_text("symbol=BTCUSDT;side=buy") == "symbol=BTCUSDT;side=buy"


def test_a_rotated_foreign_secret_is_no_new_message():
    entry = {"apikey": "a", "strategy": "s", "orderid": "1"}

    assert parse(AUTH | entry).fingerprint == parse(AUTH | entry | {"apikey": "b"}).fingerprint
    assert without_secrets({"code": "Enter-Long", "a": [{"uuid": 1}]}) == {"code": "Enter-Long", "a": [{}]}


# Spellings of one meaning

ALIASES = {"stop_price": "stopprice", "id": "alert_id", "timestamp": "timenow"}
FULL = ALERT | {
    "order_type": "STOP_MARKET",
    "stop_price": "9",
    "id": "a",
    "timestamp": "2026-01-01T00:00:00Z",
}


@settings(max_examples=200, deadline=None)
@given(
    st.permutations(sorted(FULL)),
    st.sets(st.sampled_from(sorted(FULL))),
    st.sets(st.sampled_from(sorted(ALIASES))),
)
def test_two_spellings_of_one_meaning_are_equal(order, loud, aliased):
    body = {}
    for name in order:
        spelled = ALIASES[name] if name in aliased else name
        value = FULL[name]
        if name in ("qty", "stop_price") and name in loud:
            value = int(value)
        body[spelled.upper() if name in loud else spelled] = value

    delivery = parse(body)

    plain = parse(FULL)
    assert (delivery.legs, delivery.alert_id, delivery.sent_at) == (plain.legs, plain.alert_id, plain.sent_at)
