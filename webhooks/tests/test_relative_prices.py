"""Prices that are written as distances from the market's price."""

from decimal import Decimal

import pytest
from django.utils.translation import override
from hypothesis import given
from hypothesis import strategies as st

from orders.domain.terms import RelativeKind, RelativePrice, RelativePrices
from webhooks.tests.test_payload import leg_of, limit, parse, refusal

PERCENT, TICKS, OFFSET = RelativeKind
UNITS = {PERCENT: ["%"], TICKS: ["tick", "ticks", "Ticks", "TICK"], OFFSET: ["d", "D"]}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("-0.5%", PERCENT, "-0.5"),
        ("+.5%", PERCENT, "0.5"),
        (" -99.999 % ", PERCENT, "-99.999"),
        ("+999%", PERCENT, "999"),
        ("+10 ticks", TICKS, "10"),
        ("-1tick", TICKS, "-1"),
        ("+2.0 ticks", TICKS, "2"),
        ("-100d", OFFSET, "-100"),
        ("+0.00000001D", OFFSET, "0.00000001"),
    ],
)
def test_a_price_may_be_a_distance_from_the_price_of_the_market(text, kind, value):
    leg = leg_of(price=text)

    assert leg.price is None
    assert leg.terms.relative == RelativePrices(price=RelativePrice(kind, Decimal(value)))


def test_a_leg_may_mix_a_number_and_a_distance():
    leg = leg_of(order_type="STOP_LIMIT", price="90000", stop_price="+1%")

    assert leg.price == 90000
    assert leg.stop_price is None
    assert leg.terms.relative == RelativePrices(stop_price=RelativePrice(PERCENT, Decimal(1)))


def test_a_distance_at_the_top_counts_for_each_leg():
    body = {"group_name": "g", "token": "t", "symbol": "BTC/USDT", "price": "-1%", "side": "buy", "qty": 1}
    legs = parse(body | {"orders": [{"order_type": "LIMIT"}, {"order_type": "LIMIT", "price": 5}]}).legs

    assert [leg.price for leg in legs] == [None, 5]
    assert [bool(leg.terms.relative) for leg in legs] == [True, False]


def test_a_distance_is_stored_as_understood():
    (stored,) = parse(limit(price="-0.50 %")).content["orders"]

    assert "price" not in stored
    assert stored["relative"] == {"price": {"percent": "-0.5"}}


@pytest.mark.parametrize("text", ["+100", "100", " +1e2 "])
def test_a_sign_without_a_unit_makes_no_distance(text):
    leg = leg_of(price=text)

    assert (leg.price, bool(leg.terms.relative)) == (100, False)


UNREADABLE = [
    "-100",
    "-0",
    "0",
    "0.5%",
    "5 ticks",
    "100d",
    "%",
    "-%",
    "-5 %%",
    "--5%",
    "- 5%",
    "−5%",
    "-5 pips",
]
UNREADABLE += ["-5t", "-1e2%", "95000 -0.5%", "-5%d", "@5", "e5%", "-５%", True, "abc"]


@pytest.mark.parametrize("value", UNREADABLE)
def test_a_refusal_says_how_a_distance_is_written(value):
    error = refusal(limit(price=value))

    assert (error.code, error.params["field"]) == ("invalid_number", "price")
    with override("en"):
        assert "with sign and unit: -0.5%, +10 ticks, -100d" in error.text
    with override("ko"):
        assert "부호와 단위를 붙여 쓰세요: -0.5%, +10 ticks, -100d" in error.text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("-100%", "a percent lies between -100 and 1000"),
        ("+1000%", "a percent lies between -100 and 1000"),
        ("+0%", "the distance is 0"),
        ("-0.0d", "the distance is 0"),
        ("+" + "9" * 41 + "d", "too many digits"),
        ("+0.0000000000000000001d", "too many digits"),
        ("+0.5 ticks", "ticks are whole"),
    ],
)
def test_a_distance_that_cannot_be_meant_is_refused(text, hint):
    error = refusal(limit(order_type="STOP_MARKET", stop_price=text))

    assert (error.code, error.params["field"]) == ("invalid_number", "stop_price")
    with override("en"):
        assert hint in error.text


@pytest.mark.parametrize(("side", "stop_price"), [("buy", "-1%"), ("sell", "+10 ticks")])
def test_a_stop_that_every_market_has_reached_is_refused(side, stop_price):
    error = refusal(limit(order_type="STOP_LIMIT", side=side, stop_price=stop_price))

    assert (error.code, error.params) == ("invalid_number", {"field": "stop_price", "value": stop_price})
    with override("en"):
        assert "a stop that sells lies below the market (-), a stop that buys above (+)" in error.text


@pytest.mark.parametrize("more", [{"side": ...}, {"market_position": "flat", "side": "sell", "qty_per": ...}])
def test_a_stop_whose_side_is_not_known_yet_waits_for_its_turn(more):
    leg = leg_of(**({"order_type": "STOP_MARKET", "stop_price": "+1%", "qty_per": -100} | more))

    assert leg.terms.relative.stop_price == RelativePrice(PERCENT, Decimal(1))


def test_a_placeholder_is_no_distance():
    error = refusal(limit(price="{{close}}"))

    assert error.code == "placeholder_not_filled"
    assert not error.detail


@given(st.data())
def test_two_spellings_of_one_distance_are_one_leg(data):
    kind = data.draw(st.sampled_from(RelativeKind))
    bounds = {PERCENT: ("0.01", "99.99", 2), TICKS: (1, 10**6, 0), OFFSET: ("0.0001", "100000", 4)}[kind]
    size = data.draw(st.decimals(*bounds[:2], places=bounds[2]))
    sign = data.draw(st.sampled_from("+-"))

    def spell():
        blank = st.sampled_from(["", " ", "  "])
        zeros = data.draw(st.sampled_from(["", "0", "00"]))
        digits = f"{size:f}" + (zeros if "." in f"{size:f}" else f".{zeros}")
        unit = data.draw(st.sampled_from(UNITS[kind]))
        text = f"{sign}{data.draw(st.sampled_from(['', '0', '00']))}{digits}{data.draw(blank)}{unit}"
        return f"{data.draw(blank)}{text}{data.draw(blank)}"

    first, second = leg_of(price=spell()), leg_of(price=spell())

    assert first == second
    assert first.terms.to_json() == second.terms.to_json()
    assert first.terms.relative.price.value == Decimal(f"{sign}{size}")
