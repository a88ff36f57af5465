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
from exchanges.enums import MarketType
from exchanges.errors import (
    AuthenticationFailed,
    DuplicateClientOrderId,
    ExchangeError,
    OrderNotFound,
    OutcomeUnknown,
    Rejected,
    Throttled,
)

FUTURES, SPOT = MarketType.FUTURES, MarketType.SPOT


def conclude(status, code=None, message="Words.", *, market_type=FUTURES, retry_after=None):
    body = None if code is None else {"code": code, "msg": message}
    return classify_binance(status, body, market_type=market_type, retry_after=retry_after)


# Both markets say this with HTTP 400.
SHARED = {
    "filter_failure": [-1013, -1111],
    "unknown_symbol": [-1121],
    "market_closed": [-1122],
    "no_liquidity": [-1112],
    "clock_skew": [-1021],
    "rejected": [-1100, -1102, -1128, -1199, -2010],
    "authentication_failed": [-1002, -1022, -2014, -2015, -2017],
    "order_not_found": [-2011, -2013],
    "throttled": [-1003, -1015],
    "outcome_unknown": [-1000, -1001, -1006, -1007, -1010, -1016, -5000, -1099, -1200, -9999, 0, 1],
}
# One market says this with HTTP 400. The other market means something else, or has no such code.
OF_FUTURES = {
    "filter_failure": [-4000, -4003, -4005, -4014, -4023, -4999],
    "price_band": [-4002, -4013, -4016, -4024, -4131],
    "insufficient_margin": [-2018, -2019],
    "reduce_only_rejected": [-2022, -2024, -4118],
    "below_min_quantity": [-4004],
    "below_min_notional": [-4164, -5029],
    "hedge_mode": [-4060, -4061, -4062],
    "order_type_unsupported": [-4120],
    "stop_would_trigger": [-2021, -4142],
    "no_liquidity": [-2020],
    "in_liquidation": [-2023],
    "market_closed": [-4140, -4141],
    "clock_skew": [-5028],
    "overloaded": [-1008],
    "rejected": [-2025, -2026, -2027, -2028, -5021, -5022],
    "account_blocked": [-4088, -4109],
    "duplicate_client_order_id": [-4116],
    "outcome_unknown": [-4117],
}
ON_SPOT = {"outcome_unknown": sorted(code for codes in OF_FUTURES.values() for code in codes)}
CONCLUSIONS = {
    "account_blocked": AuthenticationFailed,
    "authentication_failed": AuthenticationFailed,
    "order_not_found": OrderNotFound,
    "duplicate_client_order_id": DuplicateClientOrderId,
    "throttled": Throttled,
    "outcome_unknown": OutcomeUnknown,
}


TABLES = [(FUTURES, SHARED), (SPOT, SHARED), (FUTURES, OF_FUTURES), (SPOT, ON_SPOT)]
CODES = [
    (market_type, code, reason)
    for market_type, table in TABLES
    for reason, codes in table.items()
    for code in codes
]


@pytest.mark.parametrize(("market_type", "code", "reason"), CODES)
def test_a_code_proves_what_the_table_says(market_type, code, reason):
    error = conclude(400, code, market_type=market_type)

    assert (type(error), error.code) == (CONCLUSIONS.get(reason, Rejected), reason)
    assert (error.http_status, error.exchange_code, error.message) == (400, str(code), "Words.")


@pytest.mark.parametrize(
    ("message", "conclusion", "reason"),
    [
        ("Account has insufficient balance for requested action.", Rejected, "insufficient_balance"),
        ("Filter failure: MAX_NUM_ORDERS", Rejected, "filter_failure"),
        ("Filter failure: PERCENT_PRICE_BY_SIDE", Rejected, "price_band"),
        ("Stop price would trigger immediately.", Rejected, "stop_would_trigger"),
        ("Market is closed.", Rejected, "market_closed"),
        ("This action is disabled on this account.", Rejected, "account_blocked"),
        ("This account may not place or cancel orders.", Rejected, "account_blocked"),
        ("This symbol is not permitted for this account.", Rejected, "account_blocked"),
        ("This symbol is restricted for this account.", Rejected, "account_blocked"),
        ("Market orders are not supported for this symbol.", Rejected, "order_type_unsupported"),
        ("Order would immediately match and take.", Rejected, "rejected"),
        ("Duplicate order sent.", DuplicateClientOrderId, "duplicate_client_order_id"),
        ("", OutcomeUnknown, "outcome_unknown"),
        (None, OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_a_rejected_new_order_is_told_apart_by_its_words(message, conclusion, reason):
    error = conclude(400, -2010, message, market_type=SPOT)

    assert (type(error), error.code) == (conclusion, reason)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Filter failure: LOT_SIZE", "filter_failure"),
        ("Filter failure: MARKET_LOT_SIZE", "filter_failure"),
        ("Filter failure: PRICE_FILTER", "filter_failure"),
        ("Filter failure: MIN_NOTIONAL", "below_min_notional"),
        ("Filter failure: NOTIONAL", "below_min_notional"),
        ("Filter failure: PERCENT_PRICE", "price_band"),
        ("Invalid quantity.", "filter_failure"),
        ("", "filter_failure"),
    ],
)
def test_a_filter_is_told_by_its_name(message, reason):
    error = conclude(400, -1013, message, market_type=SPOT)

    assert (type(error), error.code) == (Rejected, reason)


@pytest.mark.parametrize(
    ("message", "conclusion"),
    [("Account has insufficient balance for requested action.", Rejected), ("Mystery.", OutcomeUnknown)],
)
def test_a_message_of_the_engine_counts_only_where_it_is_documented(message, conclusion):
    assert type(conclude(400, -1010, message, market_type=SPOT)) is conclusion


@pytest.mark.parametrize("status", [400, 503])
def test_busy_futures_refuse_and_ask_for_no_pause(status):
    error = conclude(status, -1008, "Request throttled by system-level protection.")

    assert (type(error), error.code) == (Rejected, "overloaded")


SERVICE, INTERNAL = (
    "Service Unavailable.",
    "Internal error; unable to process your request. Please try again.",
)
IN_DOUBT = "Unknown error, please check your request or try again later."


@pytest.mark.parametrize(
    ("status", "body", "market_type", "code"),
    [
        (503, {"msg": SERVICE}, FUTURES, "overloaded"),
        (503, {"code": -1001, "msg": INTERNAL}, FUTURES, "overloaded"),
        (503, {"msg": INTERNAL}, FUTURES, "overloaded"),
        (503, {"msg": IN_DOUBT}, FUTURES, "outcome_unknown"),
        (503, {"code": -1000, "msg": SERVICE}, FUTURES, "outcome_unknown"),
        (503, {"code": -1007, "msg": INTERNAL}, FUTURES, "outcome_unknown"),
        (503, {}, FUTURES, "outcome_unknown"),
        (503, None, FUTURES, "outcome_unknown"),
        (500, {"code": -1001, "msg": INTERNAL}, FUTURES, "outcome_unknown"),
        (502, {"msg": SERVICE}, FUTURES, "outcome_unknown"),
        (500, {"code": -1008, "msg": "Busy."}, FUTURES, "outcome_unknown"),
        (400, {"code": -1001, "msg": INTERNAL}, FUTURES, "outcome_unknown"),
        (503, {"msg": SERVICE}, SPOT, "outcome_unknown"),
        (503, {"code": -1001, "msg": INTERNAL}, SPOT, "outcome_unknown"),
        (503, {"code": -1008, "msg": "Busy."}, SPOT, "outcome_unknown"),
    ],
)
def test_an_unavailable_service_proves_only_what_futures_document(status, body, market_type, code):
    error = classify_binance(status, body, market_type=market_type, retry_after=None)

    assert error.code == code


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


BODIES = [None, {}, [], "text", {"code": None}, {"code": True}, {"code": [1]}, {"code": "x"}, {"msg": 5}]


@pytest.mark.parametrize("status", [200, 301, 302, 307, 308, 400, 404, 410, 500, 502, 503, 504, 523])
@pytest.mark.parametrize("body", BODIES)
def test_an_answer_without_a_code_proves_nothing(status, body):
    assert type(classify_binance(status, body, market_type=FUTURES, retry_after=None)) is OutcomeUnknown


def test_codes_may_be_text():
    assert type(conclude(400, "-2013")) is OrderNotFound


answers = st.none() | st.dictionaries(st.sampled_from(["code", "msg"]), st.integers(-5000, 0) | st.text())


@settings(max_examples=500, deadline=None)
@given(st.integers(200, 599), answers, st.sampled_from([FUTURES, SPOT]))
def test_a_refusal_is_read_from_client_errors_and_from_busy_futures_only(status, body, market_type):
    error = classify_binance(status, body, market_type=market_type, retry_after=None)

    assert isinstance(error, ExchangeError)
    is_busy = error.code == "overloaded" and (status, market_type) == (503, FUTURES)
    assert type(error) is OutcomeUnknown or 400 <= status < 500 or is_busy


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
        ("OK-ACCESS-PASSPHRASE: word, Set-Cookie: sid=abc! 'secret': 'x' end", "*** *** *** end"),
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
