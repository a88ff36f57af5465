"""The bodies of other systems in cases/dialects.jsonl, each with its meaning."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils.translation import override

from webhooks.errors import WebhookError
from webhooks.message.payload import parse_delivery
from webhooks.message.strict_json import decimal_of
from webhooks.message.translation import read_message

LINES = (Path(__file__).parent / "cases/dialects.jsonl").read_text().splitlines()
CASES = [json.loads(line) for line in LINES]
# Systems that are recognized and refused by name; whook has no mark and needs the setting of the strategy.
BY_NAME = {"wundertrading", "alertatron", "pineconnector", "tv-hub", "whook", "frostybot"}
CODES = {
    "invalid_enum": {"invalid_number"},
    "invalid": {"invalid_number", "invalid_order_type"},
    "missing_size": {"missing_field"},
    "unsupported_size": {"unsupported_field"},
    "unsupported_action": {"unsupported_field"},
    "line 7": {"invalid_json"},
}


def names(cases):
    return pytest.mark.parametrize(
        "case", cases, ids=[f"{case['dialect']}-{CASES.index(case)}" for case in cases]
    )


def is_refused(case):
    return isinstance(case["means"], dict)


def read(case):
    default = case["dialect"] if case["dialect"] == "whook" else ""
    return read_message(case["body"].encode(), max_bytes=65536, dialect=default).own


def parse(body, **more):
    return parse_delivery(body.encode(), bearer=None, max_bytes=65536, max_legs=30, **more)


def entry_share(leg):
    """On a reversal the script's quantity closes and opens: our own reader takes the part that opens (SPEC 4)."""
    positions = {leg.get("market_position"), leg.get("prev_market_position")}
    if positions != {"long", "short"}:
        return leg
    size, before = (Decimal(leg[f"{name}market_position_size"]) for name in ("", "prev_"))
    return leg | {"qty": decimal_of(str(leg["qty"])) * size / (size + before)}


def plain(value):
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    number = decimal_of(str(value)) if not isinstance(value, bool) else None
    return value if number is None else number


def legs_of(own):
    """The legs with the fields of the top, as our own reader sees the legs."""
    top = {name: value for name, value in own.fields.items() if name != "orders"}
    return [entry_share({**top, **leg}) for leg in own.fields.get("orders") or [{}]]


MEANT = [case for case in CASES if not is_refused(case) and case["dialect"] not in BY_NAME]
REFUSED = [case for case in CASES if is_refused(case) and case["dialect"] not in BY_NAME]
PLACED = [case for case in REFUSED if "line" in case["means"]]


@names(MEANT)
def test_a_body_means_what_it_meant_to_its_own_system(case):
    own = read(case)

    legs = legs_of(own)
    assert len(legs) == len(case["means"])
    for leg, meant in zip(legs, case["means"], strict=True):
        for name, value in meant.items():
            said = leg.get(name)
            if name in ("side", "order_type", "market_position") and isinstance(said, str):
                assert said.lower() == value.lower()
            elif name == "order_id":
                assert str(said) == value
            else:
                assert plain(said) == plain(value), name
    assert own.dialect == (case["dialect"] if case["dialect"] != "binee108" else "own")
    for name, value in case.get("top", {}).items():
        assert own.fields[name] == value


@names([case for case in MEANT if "warn" in case])
def test_a_body_that_means_something_else_here_is_read_with_a_warning(case):
    with override("en"):
        warnings = [str(warning) for warning in read(case).warnings]

    if case["dialect"] != "own":
        assert len(warnings) > 1
        assert case["dialect"] in warnings[0]


def refusal_of(case):
    with pytest.raises(WebhookError) as caught:
        parse(case["body"])
    return caught.value


@names(
    [case for case in REFUSED if "_DLY" not in case["body"]]
)  # the symbol's resolution refuses a delayed feed
def test_a_body_that_cannot_be_followed_is_refused(case):
    error = refusal_of(case)

    meaning = case["means"]["refuse"].split(":")[0]
    assert error.code in CODES.get(meaning, {meaning})
    with override("en"):
        assert error.text


@names(PLACED)
def test_a_text_that_cannot_be_read_says_where(case):
    error = refusal_of(case)

    with override("en"):
        assert f"line {case['means']['line']}, column {case['means']['column']}: " in error.text
        if fault := case["means"].get("fault"):
            assert fault in error.text
    with override("ko"):
        assert error.text.startswith("잘못된 JSON 형식입니다 (" + f"{case['means']['line']}번째 줄")


@names([case for case in CASES if case["dialect"] in BY_NAME])
def test_a_system_whose_messages_are_not_read_is_named(case):
    with pytest.raises(WebhookError) as caught:
        read(case)

    assert caught.value.code == "unsupported_dialect"
    with override("en"):
        assert caught.value.text.startswith("Messages for ")
