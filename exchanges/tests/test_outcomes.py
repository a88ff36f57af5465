import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.adapters.outcomes import (
    MAX_MESSAGE,
    classify_binance,
    classify_generic,
    retry_after_s,
    safe_message,
)
from exchanges.errors import (
    AuthenticationFailed,
    DuplicateClientOrderId,
    ExchangeError,
    OrderNotFound,
    OutcomeUnknown,
    Rejected,
    Throttled,
)


def conclude(status, code=None, message="Words.", *, retry_after=None):
    body = None if code is None else {"code": code, "msg": message}
    return classify_binance(status, body, retry_after=retry_after)


# Binance says this with HTTP 400.
CODES = {
    "filter_failure": [-1013, -1111, -4000, -4003, -4014, -4131, -4999],
    "unknown_symbol": [-1121],
    "clock_skew": [-1021],
    "insufficient_margin": [-2018, -2019],
    "reduce_only_rejected": [-2022, -2024, -4118],
    "below_min_notional": [-4164],
    "hedge_mode": [-4061],
    "order_type_unsupported": [-4120],
    "rejected": [-1100, -1102, -1128, -1199, -2010, -2020, -2021, -2025, -2027],
    "authentication_failed": [-1022, -2014, -2015],
    "order_not_found": [-2011, -2013],
    "duplicate_client_order_id": [-4116],
    "throttled": [-1003, -1015],
    "outcome_unknown": [
        -1000,
        -1001,
        -1006,
        -1007,
        -1008,
        -1010,
        -1016,
        -4117,
        -5000,
        -1099,
        -1200,
        -9999,
        0,
        1,
    ],
}
CONCLUSIONS = {
    "authentication_failed": AuthenticationFailed,
    "order_not_found": OrderNotFound,
    "duplicate_client_order_id": DuplicateClientOrderId,
    "throttled": Throttled,
    "outcome_unknown": OutcomeUnknown,
}


@pytest.mark.parametrize(
    ("code", "reason"), [(code, reason) for reason, codes in CODES.items() for code in codes]
)
def test_a_code_proves_what_the_table_says(code, reason):
    error = conclude(400, code)

    assert (type(error), error.code) == (CONCLUSIONS.get(reason, Rejected), reason)
    assert (error.http_status, error.exchange_code, error.message) == (400, str(code), "Words.")


@pytest.mark.parametrize(
    ("message", "conclusion", "reason"),
    [
        ("Account has insufficient balance for requested action.", Rejected, "insufficient_balance"),
        ("Filter failure: MAX_NUM_ORDERS", Rejected, "filter_failure"),
        ("Stop price would trigger immediately.", Rejected, "rejected"),
        ("Market is closed.", Rejected, "rejected"),
        ("Duplicate order sent.", DuplicateClientOrderId, "duplicate_client_order_id"),
        ("", OutcomeUnknown, "outcome_unknown"),
        (None, OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_a_rejected_new_order_is_told_apart_by_its_words(message, conclusion, reason):
    error = conclude(400, -2010, message)

    assert (type(error), error.code) == (conclusion, reason)


@pytest.mark.parametrize(
    ("status", "code", "conclusion"),
    [
        (429, -1003, Throttled),
        (429, None, Throttled),
        (418, -1003, Throttled),
        (418, None, Throttled),
        (403, None, Throttled),
        (403, -1121, Rejected),
        (401, -2015, AuthenticationFailed),
        (401, None, AuthenticationFailed),
        (408, -1007, OutcomeUnknown),
        (409, -2021, OutcomeUnknown),
        (503, -1008, OutcomeUnknown),
        (503, -1003, OutcomeUnknown),
        (503, -2010, OutcomeUnknown),
        (504, -1007, OutcomeUnknown),
        (200, -2010, OutcomeUnknown),
        (307, -2010, OutcomeUnknown),
    ],
)
def test_the_status_goes_before_the_code(status, code, conclusion):
    assert type(conclude(status, code)) is conclusion


@pytest.mark.parametrize(
    ("status", "code", "per_account"),
    [
        (429, -1015, True),
        (400, -1015, True),
        (418, -1015, False),
        (429, -1003, False),
        (400, -1003, False),
        (429, None, False),
        (403, None, False),
    ],
)
def test_only_too_many_orders_is_about_one_account(status, code, per_account):
    assert conclude(status, code).per_account is per_account


def test_an_exchange_without_a_table_says_nothing_about_one_account():
    assert classify_generic(429, {"code": -1015}).per_account is False


@pytest.mark.parametrize("message", ["Service Unavailable.", "Unknown error, please check your request."])
def test_an_unavailable_futures_service_proves_nothing(message):
    assert type(classify_binance(503, {"msg": message}, retry_after=None)) is OutcomeUnknown


BODIES = [None, {}, [], "text", {"code": None}, {"code": True}, {"code": [1]}, {"code": "x"}, {"msg": 5}]


@pytest.mark.parametrize("status", [200, 301, 302, 307, 308, 400, 404, 410, 500, 502, 503, 504, 523])
@pytest.mark.parametrize("body", BODIES)
def test_an_answer_without_a_code_proves_nothing(status, body):
    assert type(classify_binance(status, body, retry_after=None)) is OutcomeUnknown


def test_codes_may_be_text():
    assert type(conclude(400, "-2013")) is OrderNotFound


answers = st.none() | st.dictionaries(st.sampled_from(["code", "msg"]), st.integers(-5000, 0) | st.text())


@settings(max_examples=500, deadline=None)
@given(st.integers(200, 599), answers)
def test_a_refusal_is_read_from_client_errors_only(status, body):
    error = classify_binance(status, body, retry_after=None)

    assert isinstance(error, ExchangeError)
    assert type(error) is OutcomeUnknown or 400 <= status < 500


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 60),
        ("", 60),
        ("7", 7),
        (" 120 ", 120),
        ("0", 0),
        ("000000000000000007", 7),
        ("-5", 60),
        ("7.5", 60),
        ("soon", 60),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 60),
        ("259201", 259200),
        ("9" * 5000, 259200),
        ("٣", 60),
    ],
)
def test_retry_after_is_seconds_within_three_days(header, seconds):
    assert retry_after_s(header) == seconds
    assert conclude(429, retry_after=header).retry_after_s == seconds
    assert classify_generic(429, None, retry_after=header).retry_after_s == seconds


KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Order would trigger.", "Order would trigger."),
        ("GET https://api.binance.com/api/v3/order?x=1 failed", "GET *** failed"),
        ("at /order?symbol=A&signature=abc123 now", "at *** now"),
        ("bad apiKey=abc here", "bad *** here"),
        (f"key {KEY}.", "key ***."),
        ("two\nlines\x00", "two lines"),
    ],
)
def test_messages_hold_no_secret(text, expected):
    assert safe_message(text) == expected


@settings(max_examples=500, deadline=None)
@given(st.text())
def test_messages_are_short(text):
    assert len(safe_message(text * 50)) <= MAX_MESSAGE


@pytest.mark.parametrize(
    ("status", "conclusion"),
    [
        (418, Throttled),
        (429, Throttled),
        (401, AuthenticationFailed),
        (400, OutcomeUnknown),
        (403, OutcomeUnknown),
        (500, OutcomeUnknown),
        (200, OutcomeUnknown),
        (302, OutcomeUnknown),
    ],
)
def test_an_exchange_without_a_table_is_believed_in_http_only(status, conclusion):
    assert type(classify_generic(status, {"code": -2010, "msg": "Insufficient balance."})) is conclusion
