import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.utils.translation import override
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.enums import OrderType, Side
from orders.domain.enums import CancelType
from orders.domain.legs import Leg
from webhooks.errors import WebhookError
from webhooks.message.payload import parse_delivery

LIMIT = {
    "group_name": "test1",
    "symbol": "BTC/USDT",
    "order_type": "LIMIT",
    "side": "buy",
    "price": "90000",
    "qty_per": 5,
    "token": "th_secret",
}
MARKET = {
    "group_name": "g",
    "token": "t",
    "symbol": "BTCUSDT",
    "order_type": "MARKET",
    "side": "buy",
    "qty": 1,
}


def parse(body, *, bearer=None):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_delivery(raw, bearer=bearer, max_bytes=65536, max_legs=30)


def refusal(body, *, bearer=None):
    with pytest.raises(WebhookError) as caught:
        parse(body, bearer=bearer)
    return caught.value


def limit(**changes):
    return {name: value for name, value in (LIMIT | changes).items() if value is not ...}


def leg_of(**changes):
    return parse(limit(**changes)).legs[0]


def batch(*orders, **top):
    return {"group_name": "test1", "token": "t", "orders": list(orders)} | top


# Whole deliveries


@pytest.mark.parametrize(
    ("legs", "expected"),
    [
        ([LIMIT], (False, False)),
        ([LIMIT, LIMIT | {"qty_per": -50, "side": "sell"}], (True, False)),
        ([LIMIT | {"qty_per": -50, "side": "sell"}], (True, True)),
        ([{"group_name": "test1", "order_type": "CANCEL_ALL_ORDER", "token": "t"}], (True, True)),
    ],
)
def test_a_delivery_tells_whether_its_legs_may_leave_the_market(legs, expected):
    shared = {"group_name", "token"}
    delivery = parse(batch(*({k: v for k, v in leg.items() if k not in shared} for leg in legs)))

    assert (delivery.leaves, delivery.only_leaves) == expected


def test_a_further_warning_follows_those_of_the_message():
    assert parse(LIMIT | {"note": "x"}).warned("soon").warnings[-1] == "soon"


def test_a_single_order_becomes_one_leg():
    delivery = parse(LIMIT)

    assert delivery.group_name == "test1"
    assert delivery.token == "th_secret"
    assert delivery.legs == (
        Leg(0, OrderType.LIMIT, "BTC/USDT", Side.BUY, price=Decimal(90000), qty_per=Decimal(5)),
    )
    assert (delivery.alert_id, delivery.sent_at, delivery.dry_run, delivery.warnings) == ("", None, False, ())


def test_a_batch_keeps_list_order_and_falls_back_to_the_top():
    first = {"symbol": "BTC/USDT", "order_type": "LIMIT", "price": "90000", "priority": 2}
    second = {"symbol": "ETH/USDT", "side": "sell", "priority": "1"}

    legs = parse(batch(first, second, side="buy", order_type="MARKET", qty_per=5)).legs

    assert [(leg.index, leg.symbol, leg.side, leg.leg_type, leg.priority) for leg in legs] == [
        (0, "BTC/USDT", Side.BUY, OrderType.LIMIT, 2),
        (1, "ETH/USDT", Side.SELL, OrderType.MARKET, 1),
    ]


def test_the_priority_of_the_top_is_not_that_of_a_leg():
    assert parse(batch(MARKET, priority=7)).legs[0].priority is None
    assert leg_of(priority=7).priority == 7


def test_keys_and_enum_values_are_read_in_any_case():
    body = {name.upper(): value for name, value in limit(order_type="limit", side="BUY").items()}

    assert parse(body).legs == parse(LIMIT).legs


def test_a_byte_order_mark_is_tolerated():
    assert parse(b"\xef\xbb\xbf" + json.dumps(LIMIT).encode()).legs == parse(LIMIT).legs


def test_numbers_stay_exact():
    body = json.dumps(limit()).replace("5,", "0.1000000000000000055511151231257827,", 1)

    assert parse(body.encode()).legs[0].qty_per == Decimal("0.1000000000000000055511151231257827")


def test_the_token_may_come_in_the_header_and_the_body_wins():
    assert parse(limit(token=...), bearer="th_header").token == "th_header"
    assert parse(limit(token=""), bearer="th_header").token == "th_header"
    assert parse(LIMIT, bearer="th_header").token == "th_secret"


def test_the_token_is_neither_printed_nor_stored():
    delivery = parse(LIMIT)

    assert "th_secret" not in repr(delivery)
    assert "th_secret" not in json.dumps(delivery.content)


def test_what_is_stored_is_json_with_the_known_fields():
    delivery = parse(limit(id=7, timenow="2026-01-02T03:04:05Z", foo=1, priority=3, dry_run=True))

    assert json.loads(json.dumps(delivery.content)) == {
        "group_name": "test1",
        "id": "7",
        "timestamp": "2026-01-02T03:04:05+00:00",
        "dry_run": True,
        "orders": [
            {
                "order_type": "LIMIT",
                "symbol": "BTC/USDT",
                "side": "buy",
                "price": "90000",
                "qty_per": "5",
                "priority": 3,
            }
        ],
    }


# Fingerprint


def test_the_fingerprint_ignores_spelling_but_no_content():
    same = json.dumps({k.upper(): v for k, v in reversed(LIMIT.items())}, indent=3).replace(" 5,", " 5.0,")

    assert parse(same.encode()).fingerprint == parse(LIMIT).fingerprint
    assert parse(limit(token="th_other")).fingerprint == parse(LIMIT).fingerprint
    assert parse(limit(price="90001")).fingerprint != parse(LIMIT).fingerprint
    assert parse(limit(unknown=1)).fingerprint != parse(LIMIT).fingerprint


# Not JSON


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"BUY BTC",
        b"[]",
        b'"text"',
        b"NaN",
        b"\xff\xfe\x00",
        b'{"a": 1, "a": 2}',
        b'{"a": 1, "A": 2}',
        b'{"orders": [{"side": "buy", "SIDE": "sell"}]}',
        b'{"a": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"a": ["\\u0000"]}',
        b'{"a": 1} x',
        b'{"a":' * 13000,
        b"[" * 60000,
        b'{"a": [[[[[[[[1]]]]]]]]}',
    ],
)
def test_what_is_not_a_plain_json_object_is_refused(body):
    assert refusal(body).code == "invalid_json"


def test_eight_levels_are_not_too_deep():
    body = json.dumps(LIMIT)[:-1] + ', "a": [[[[[[[1]]]]]]]}'

    assert parse(body.encode()).legs == parse(LIMIT).legs


def test_a_body_over_the_limit_is_refused_before_it_is_read():
    assert refusal(b"x" * 65537).code == "payload_too_large"


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(body):
    assert refusal(body).http_status == 400


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["NaN", "", "buy"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(LIMIT)), inner, max_size=4)
    ),
    max_leaves=8,
)
_names = st.sampled_from(
    [*LIMIT, "orders", "id", "timestamp", "dry_run", "order_id", "stop_price", "qty", "priority"]
)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(_names, _json, max_size=5))
def test_no_value_in_any_field_raises_anything_else(changes):
    with suppress(WebhookError):
        delivery = parse(LIMIT | changes)

        assert json.dumps(delivery.content)
        assert all(str(warning) for warning in delivery.warnings)


# Required fields


@pytest.mark.parametrize("absent", [..., None, "", "NaN", " ", float("nan")])
@pytest.mark.parametrize("field", ["group_name", "token", "symbol", "side", "order_type"])
def test_a_required_field_that_is_absent_is_named(field, absent):
    error = refusal(limit(**{field: absent}))

    assert (error.code, error.params) == ("missing_field", {"field": field})


@pytest.mark.parametrize(
    ("order_type", "missing", "code"),
    [
        ("LIMIT", "price", "price_required"),
        ("STOP_LIMIT", "price", "price_required"),
        ("STOP_LIMIT", "stop_price", "stop_price_required"),
        ("STOP_MARKET", "stop_price", "stop_price_required"),
    ],
)
@pytest.mark.parametrize("absent", [..., None, "", "NaN", float("nan")])
def test_an_order_type_requires_its_prices(order_type, missing, code, absent):
    error = refusal(limit(**{"order_type": order_type, "stop_price": 1, missing: absent}))

    assert (error.code, error.params) == (code, {"order_type": order_type})


@pytest.mark.parametrize("absent", [..., None, "", {}, "x", [], 3])
def test_orders_is_a_list_of_at_least_one(absent):
    body = {"group_name": "g", "token": "t", "orders": absent}

    assert refusal({k: v for k, v in body.items() if v is not ...}).code == "missing_field"


def test_an_entry_that_is_not_an_object_is_named():
    error = refusal(batch(MARKET, "sell"))

    assert (error.code, error.leg) == ("missing_field", 1)


def test_more_legs_than_allowed_are_refused():
    assert len(parse(batch(*[MARKET] * 30)).legs) == 30
    assert refusal(batch(*[MARKET] * 31)).params == {"max": "30"}


@override("en")
def test_a_bad_leg_of_a_batch_is_named():
    error = refusal(batch(MARKET, MARKET | {"qty": "abc"}))

    assert error.text == "qty has a value that cannot be used: abc (orders[1])"


@pytest.mark.parametrize("token", [1, True, False, [], {}])
def test_a_token_that_is_not_text_is_not_valid(token):
    assert refusal(limit(token=token), bearer="th_header").code == "invalid_token"


@pytest.mark.parametrize("group_name", [5, True, ["a"], "x" * 201, "a\nb"])
def test_a_name_that_no_strategy_can_have_is_not_found(group_name):
    error = refusal(limit(group_name=group_name))

    assert error.code == "strategy_not_found"
    assert len(error.params["group_name"]) <= 80


# Enums, symbols, numbers


@pytest.mark.parametrize("value", ["BUY_NOW", 5, True, ["LIMIT"]])
def test_a_bad_order_type_is_refused(value):
    assert refusal(limit(order_type=value)).code == "invalid_order_type"


@pytest.mark.parametrize(
    ("value", "side"),
    [("buy", Side.BUY), ("Long", Side.BUY), ("SELL", Side.SELL), ("short", Side.SELL), (" buy ", Side.BUY)],
)
def test_sides_have_two_names_each(value, side):
    assert leg_of(side=value).side is side


@pytest.mark.parametrize("value", ["flat", 1, True, ["buy"]])
def test_a_bad_side_is_refused(value):
    assert refusal(limit(side=value)).code == "invalid_side"


@pytest.mark.parametrize("value", [5, True, [], "x" * 65, "BTC\nUSDT"])
def test_a_bad_symbol_is_refused(value):
    assert refusal(limit(symbol=value)).code == "invalid_symbol"


@pytest.mark.parametrize("value", ["1e5", "+90000", "90000.50", ".5", "5.", 90000, 0.5, " 90000 "])
def test_numbers_may_be_text(value):
    assert leg_of(price=value).price == Decimal(str(value).strip())


BAD_NUMBERS = [
    "abc",
    "1,000",
    "0x10",
    "١٢",
    "1e31",
    "1e20",
    "1e-19",
    "1e-31",
    "1" * 41,
    "0." + "0" * 35 + "1",
    "1e9999999999",
    "Infinity",
    "-inf",
    float("inf"),
    True,
    [1],
    {"a": 1},
    10**50,
]


@pytest.mark.parametrize("field", ["price", "qty_per"])
@pytest.mark.parametrize("value", BAD_NUMBERS)
def test_a_bad_number_is_refused_by_name(field, value):
    error = refusal(limit(**{field: value}))

    assert (error.code, error.params["field"]) == ("invalid_number", field)
    assert len(error.params["value"]) <= 80


@pytest.mark.parametrize("literal", ["1e400", "1e-400", "1e999999999999999999999", "9" * 5000])
def test_a_number_literal_out_of_bounds_is_refused_by_name(literal):
    body = json.dumps(limit(price="@")).replace('"@"', literal)

    assert refusal(body.encode()).params["field"] == "price"


@pytest.mark.parametrize("value", [0, "-1", "0.0"])
@pytest.mark.parametrize("field", ["price", "stop_price", "qty"])
def test_prices_and_qty_are_positive(field, value):
    sizes = {"qty_per": ..., "qty": 1}
    error = refusal(limit(**{"order_type": "STOP_LIMIT", "stop_price": 1, **sizes, field: value}))

    assert (error.code, error.params["field"]) == ("invalid_number", field)


# Size


@pytest.mark.parametrize("value", [0, "-100.0001", -101, "NaN", float("nan"), "-0"])
def test_a_qty_per_of_nothing_or_below_minus_100_is_refused(value):
    error = refusal(limit(qty_per=value))

    assert (error.code, error.params["field"]) == ("invalid_number", "qty_per")


@pytest.mark.parametrize("absent", [..., None, ""])
def test_a_leg_without_size_is_refused(absent):
    assert refusal(limit(qty_per=absent)).params == {"field": "qty_per"}


def test_both_sizes_are_refused_by_name():
    error = refusal(limit(qty=1))

    assert (error.code, error.params) == ("invalid_number", {"field": "qty, qty_per", "value": "1, 5"})


def test_qty_serves_where_qty_per_is_absent():
    leg = leg_of(qty="0.25", qty_per="NaN")

    assert (leg.qty, leg.qty_per) == (Decimal("0.25"), None)


def test_a_leg_whose_size_is_not_a_number_does_not_take_that_of_the_top():
    assert refusal(batch({**MARKET, "qty": None, "qty_per": "NaN"}, qty_per=50)).code == "invalid_number"


@pytest.mark.parametrize("qty_per", [-100, -1, "-0.5"])
def test_a_closing_leg_needs_no_side(qty_per):
    assert leg_of(side=..., qty_per=qty_per).side is None


# Cancels


def test_cancel_needs_only_the_order_id():
    body = {"group_name": "g", "token": "t", "order_type": "cancel", "order_id": 12345, "priority": 1}

    assert parse(body).legs == (Leg(0, CancelType.CANCEL, priority=1, order_id="12345"),)


@pytest.mark.parametrize("value", [True, ["a"], "x" * 201, "a\nb"])
def test_an_order_id_that_names_nothing_is_refused(value):
    assert refusal(limit(order_type="CANCEL", order_id=value)).params["field"] == "order_id"


def test_cancel_without_order_id_is_refused():
    assert refusal(limit(order_type="CANCEL")).params == {"field": "order_id"}


def test_the_order_id_falls_back_to_the_top():
    assert parse(batch({"order_type": "CANCEL"}, order_id="abc")).legs[0].order_id == "abc"


def test_cancel_all_takes_symbol_and_side_as_filters():
    body = {"group_name": "g", "token": "t", "order_type": "CANCEL_ALL_ORDER"}

    assert parse(body).legs == (Leg(0, CancelType.CANCEL_ALL_ORDER),)
    assert parse(body | {"symbol": "BTC/USDT", "side": "sell"}).legs == (
        Leg(0, CancelType.CANCEL_ALL_ORDER, "BTC/USDT", Side.SELL),
    )


@pytest.mark.parametrize("name", ["symbol", "symbols"])
def test_cancel_all_takes_a_list_of_symbols(name):
    body = {
        "group_name": "g",
        "token": "t",
        "order_type": "CANCEL_ALL_ORDER",
        name: ["BTCUSDT", " ETH/USDT "],
    }

    delivery = parse(body)

    assert delivery.legs == (Leg(0, CancelType.CANCEL_ALL_ORDER, symbols=("BTCUSDT", "ETH/USDT")),)
    assert delivery.content["orders"][0]["symbol"] == ["BTCUSDT", "ETH/USDT"]
    assert refusal(body | {"symbol": "BTCUSDT", "symbols": "ETHUSDT"}).code in (
        "unsupported_field",
        "invalid_symbol",
    )


@pytest.mark.parametrize("symbols", [[], [""], ["NaN"], [None], [5], ["BTCUSDT", "x" * 65], [["BTCUSDT"]]])
def test_a_list_with_anything_but_symbols_is_refused_because_no_symbol_means_all(symbols):
    body = {"group_name": "g", "token": "t", "order_type": "CANCEL_ALL_ORDER", "symbol": symbols}

    assert refusal(body).code == "invalid_symbol"


def test_each_symbol_of_a_list_counts_as_an_order_of_the_delivery():
    listed = {"order_type": "CANCEL_ALL_ORDER", "symbol": ["BTCUSDT"] * 16}

    assert refusal(batch(listed, listed)).code == "batch_too_large"


# Warnings


@override("en")
@pytest.mark.parametrize(
    ("order_type", "ignored"),
    [
        ("MARKET", ["price", "stop_price"]),
        ("LIMIT", ["stop_price"]),
        ("STOP_MARKET", ["price"]),
        ("STOP_LIMIT", []),
    ],
)
def test_prices_that_a_type_does_not_use_are_dropped_with_a_warning(order_type, ignored):
    delivery = parse(limit(order_type=order_type, stop_price=80000))

    assert [str(text) for text in delivery.warnings] == [
        f"{order_type} does not use {field}: it was ignored." for field in ignored
    ]
    assert all(getattr(delivery.legs[0], field) is None for field in ignored)


@override("en")
def test_cancel_all_says_that_it_ignores_an_order_id():
    warnings = parse(limit(order_type="CANCEL_ALL_ORDER", order_id="1", price=..., qty_per=...)).warnings

    assert [str(text) for text in warnings] == ["CANCEL_ALL_ORDER does not use order_id: it was ignored."]


@override("en")
def test_unknown_fields_are_named_in_one_warning():
    warnings = parse(batch(MARKET | {"Colour": 3}, foo=1)).warnings

    assert [str(text) for text in warnings] == [
        "Unknown fields were ignored: foo, orders[0].group_name, orders[0].token, orders[0].colour"
    ]


@override("en")
def test_at_most_twenty_unknown_fields_are_named():
    (warning,) = parse(limit(**{f"x{i}": i for i in range(21)}, **{"y" * 300: 1})).warnings

    assert str(warning).count("x") == 20
    assert str(warning).endswith("x19, …")


# Id, time and dry run


@pytest.mark.parametrize(("field", "value"), [("id", "a-1"), ("alert_id", "a-1"), ("ID", " a-1 ")])
def test_the_alert_has_a_name(field, value):
    assert parse(limit(**{field: value})).alert_id == "a-1"


@pytest.mark.parametrize("value", ["x" * 201, True, [], "a\x07"])
def test_a_bad_id_is_refused(value):
    assert refusal(limit(id=value)).params["field"] == "id"


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-02T03:04:05Z",
        "2026-01-02T12:04:05+09:00",
        "2026-01-02 03:04:05",
        1767323045,
        "1767323045",
        1767323045000,
        "1767323045000",
        "1767323045.000",
    ],
)
@pytest.mark.parametrize("field", ["timestamp", "timenow"])
def test_the_time_of_sending_is_read_in_utc(field, value):
    assert parse(limit(**{field: value})).sent_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "value", ["soon", "2026-13-01", True, [], "9" * 30, "0001-01-01T00:00:00+14:00", "1e-31"]
)
def test_a_bad_time_is_refused(value):
    error = refusal(limit(timestamp=value))

    assert (error.code, error.params["field"]) == ("invalid_number", "timestamp")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        ("TRUE", True),
        (1, True),
        ("1", True),
        (False, False),
        ("false", False),
        (0, False),
        (..., False),
    ],
)
def test_dry_run_is_a_yes_or_a_no(value, expected):
    assert parse(limit(dry_run=value)).dry_run is expected


@pytest.mark.parametrize("value", ["yes", 2, [], "tru", {"a": 1}, "on"])
def test_an_unclear_dry_run_is_refused(value):
    assert refusal(limit(dry_run=value)).params["field"] == "dry_run"


def test_dry_run_in_a_leg_is_refused():
    error = refusal(batch(MARKET | {"dry_run": True}))

    assert (error.params["field"], error.leg) == ("dry_run", 0)


@pytest.mark.parametrize("value", ["1.5", "high", True, 2**31])
def test_priority_is_an_integer(value):
    assert refusal(limit(priority=value)).params["field"] == "priority"
