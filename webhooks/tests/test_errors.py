import pytest
from django.utils.translation import override

from webhooks.errors import MAX_SHOWN, TEXTS, WebhookError, shown_value

PARAMS = {
    "field": "price",
    "value": "abc",
    "group_name": "test1",
    "order_type": "LIMIT",
    "reason": "no counterpart",
    "dialect": "whook",
    "dialects": "own, poabot",
    "max": 30,
    "retry_after_s": 7,
}
STATUSES = {
    "invalid_json": 400,
    "payload_too_large": 413,
    "missing_field": 400,
    "strategy_not_found": 404,
    "invalid_token": 401,
    "sender_not_allowed": 403,
    "https_required": 403,
    "price_required": 400,
    "stop_price_required": 400,
    "invalid_order_type": 400,
    "invalid_side": 400,
    "invalid_number": 400,
    "invalid_position": 400,
    "invalid_symbol": 400,
    "unsupported_field": 400,
    "ambiguous_dialect": 400,
    "unsupported_dialect": 400,
    "placeholder_not_filled": 400,
    "batch_too_large": 400,
    "no_accounts": 400,
    "id_conflict": 409,
    "throttled": 429,
    "unavailable": 503,
}


def test_every_code_of_the_contract_has_its_status():
    assert {code: WebhookError(code).http_status for code in TEXTS} == STATUSES


@pytest.mark.parametrize("code", TEXTS)
def test_every_code_has_a_sentence_with_its_params(code):
    with override("en"):
        text = WebhookError(code, **PARAMS).text

    assert text
    assert "%(" not in text


@override("en")
def test_a_refused_leg_is_named():
    assert WebhookError("missing_field", field="symbol", leg=2).text == (
        "Required field missing: symbol (orders[2])"
    )


def test_an_explanation_may_be_longer_than_a_value():
    explained = WebhookError("invalid_symbol", field="symbol", value="x" * 401)

    assert explained.params["value"] == "x" * 399 + "…"
    assert explained.webhook_id is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("short", "short"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("a\nb\x00c", "a?b?c"),
        ("th_abcdefghijklmnop in a price", "th_*** in a price"),
    ],
)
def test_a_value_is_repeated_as_one_short_line_without_a_token(value, expected):
    assert shown_value(value) == expected
    assert len(shown_value(value)) <= MAX_SHOWN
