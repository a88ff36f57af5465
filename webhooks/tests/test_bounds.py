"""Bodies that were made to hurt: each is refused after little work, whatever it holds."""

import time

import pytest

from webhooks.errors import WebhookError
from webhooks.message.bodies import decode_body, read_text
from webhooks.message.payload import parse_delivery
from webhooks.message.strict_json import MAX_LITERAL, decimal_of

KIB_64 = 64 * 1024


def read_object(body, *, max_bytes):
    (message,) = read_text(decode_body(body, max_bytes=max_bytes))
    return message


QUICK_S = 2  # of processor time, so that a busy machine is not taken for a hard body

HOSTILE = {
    "a number that is none, after 65,000 digits": '{"price": "' + "1" * 65_000 + 'x"}',
    "a number with two points": '{"price": "' + "1" * 32_000 + "." + "1" * 32_000 + '."}',
    "a number of 65,000 digits": '{"price": ' + "9" * 65_000 + "}",
    "a fraction of 65,000 digits": '{"price": 0.' + "9" * 65_000 + "}",
    "an exponent of 65,000 digits": '{"price": 1e' + "9" * 65_000 + "}",
    "an exponent without end": '{"price": 1e999999999}',
    "65,000 brackets": "[" * 65_000,
    "32,000 brackets and their ends": "[" * 32_000 + "]" * 32_000,
    "objects in objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "a bracket in a string": '{"a": "' + "[" * 65_000 + '"}',
    "many keys": "{" + ",".join(f'"k{n}":{n}' for n in range(5_000)) + "}",
    "many equal keys": "{" + ",".join('"k":1' for n in range(9_000)) + "}",
    "many legs": '{"group_name":"g","token":"t","orders":[' + ",".join("{}" for _ in range(20_000)) + "]}",
    "a token without end": '{"group_name":"g","token":"' + "th_" * 20_000 + '"}',
    "spaces only": " " * 65_000,
    "a string that never ends": '"' + "\\u0041" * 10_000,
    "many objects": "{}\n" * 21_000,
    "many pairs": "a=1;" * 16_000,
    "many placeholders": "{{" * 32_000,
    "many braces in text": '{"a": "' + "{{x" * 20_000,
    "many secrets": "token=" * 10_000,
    "many quotes": '{"a": ' + '"x"' * 20_000,
    "many keys and one fault": "{" + '"k":1,' * 10_000 + "x",
    "spaces around a name": '{"token"' + " " * 60_000,
    "numbers in a list": "[" + "1," * 30_000 + "1]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_costs_little_time(name):
    body = HOSTILE[name].encode()
    assert len(body) <= KIB_64
    started = time.thread_time()

    with pytest.raises(WebhookError):
        parse_delivery(body, bearer=None, max_bytes=KIB_64, max_legs=30)

    assert time.thread_time() - started < QUICK_S


def test_a_number_field_that_holds_a_long_text_costs_little_time():
    order = '"symbol":"BTC/USDT","order_type":"LIMIT","side":"buy","qty_per":1'
    body = f'{{"group_name":"g","token":"t",{order},"price":"%s"}}'
    started = time.thread_time()

    with pytest.raises(WebhookError) as caught:
        parse_delivery((body % ("1" * 60_000 + "x")).encode(), bearer=None, max_bytes=KIB_64, max_legs=30)

    assert caught.value.code == "invalid_number"
    assert len(caught.value.text) < 500
    assert time.thread_time() - started < QUICK_S


@pytest.mark.parametrize(
    "body",
    [
        '{"a": 1, "a": 2}',
        '{"a": 1, "A": 2}',
        '{"a": {"b": 1, "b": 1}}',
        '{"orders": [{"side": "buy", "SIDE": "sell"}]}',
        '{"a": "\\u0000"}',
        '{"a": "\\ud800"}',
        '{"\\u0000": 1}',
        '{"a": 1} {"b": 2}',
        '{"a": 1}\x00',
        "{'a': 1}",
        "\ufeff",
    ],
)
def test_what_could_be_read_in_two_ways_or_not_be_stored_is_no_json(body):
    with pytest.raises(WebhookError) as caught:
        read_object(body.encode(), max_bytes=KIB_64)

    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize("extra", [0, 1])
def test_a_body_may_have_exactly_the_bytes_that_are_allowed(extra):
    body = b'{"a": "' + b"x" * (KIB_64 - 9 + extra) + b'"}'

    if extra:
        with pytest.raises(WebhookError) as caught:
            read_object(body, max_bytes=KIB_64)
        assert caught.value.code == "payload_too_large"
    else:
        assert len(body) == KIB_64
        assert read_object(body, max_bytes=KIB_64)


def test_the_longest_number_that_is_read_fits_the_bound():
    longest = "-" + "0" * 39 + "1e+000000001"

    assert len(longest) <= MAX_LITERAL
    assert decimal_of(longest) == -10
    assert decimal_of(" " * MAX_LITERAL + "1") is None
