"""A price that is relative to the market's price, as a number."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.enums import OrderType, Side
from orders.domain.reasons import Denied, reason_text
from orders.domain.sizing import price_from_market
from orders.domain.terms import RelativeKind, RelativePrice, RelativePrices, Terms, still_relative
from orders.models import Order
from orders.tests.test_sizing import market
from orders.turns.relative_prices import Levels, has_relative_price, levels_of

PERCENT, TICKS, OFFSET = RelativeKind
LAST = Decimal(95000)


def relative(kind, value):
    return RelativePrice(kind, Decimal(value))


@pytest.mark.parametrize(
    ("kind", "value", "price", "text"),
    [
        (PERCENT, "-0.5", "94525", "-0.5%"),
        (PERCENT, "0.123456789", "95117.28394955", "+0.123456789%"),
        (TICKS, "10", "95001", "+10 ticks"),
        (TICKS, "-1", "94999.9", "-1 ticks"),
        (OFFSET, "-100", "94900", "-100d"),
        (OFFSET, "0.05", "95000.05", "+0.05d"),
    ],
)
def test_the_distance_counts_from_the_last_price(kind, value, price, text):
    distance = relative(kind, value)

    assert price_from_market(market(), distance, LAST) == Decimal(price)
    assert str(distance) == text


def test_a_number_has_no_more_digits_than_the_database():
    price = price_from_market(market(), relative(PERCENT, "-0.000000000000000001"), Decimal("0.001"))

    assert price == Decimal("0.000999999999999999")


@pytest.mark.parametrize(
    ("kind", "value", "last", "rules", "code"),
    [
        (PERCENT, "-1", None, {}, "price_unavailable"),
        (OFFSET, "-95000", LAST, {}, "relative_price_unusable"),
        (OFFSET, "-95000.1", LAST, {}, "relative_price_unusable"),
        (OFFSET, "99999999999999999999", LAST, {}, "relative_price_unusable"),
        (PERCENT, "-99.999999", Decimal("0.000000000000000001"), {}, "relative_price_unusable"),
        (TICKS, "10", LAST, {"tick_size": "0"}, "tick_unknown"),
    ],
)
def test_a_distance_that_gives_no_price_is_denied(kind, value, last, rules, code):
    with pytest.raises(Denied) as caught:
        price_from_market(market(**rules), relative(kind, value), last)

    assert caught.value.code == code
    assert reason_text(code, caught.value.params)


def test_terms_keep_relative_prices():
    terms = Terms(relative=RelativePrices(relative(PERCENT, "-0.50"), relative(TICKS, "10")))

    stored = terms.to_json()

    assert stored == {"relative": {"price": {"percent": "-0.5"}, "stop_price": {"ticks": "10"}}}
    assert Terms.from_json(stored) == terms


@given(st.sampled_from(RelativeKind), st.decimals("-1E6", "1E6", places=6))
def test_a_distance_survives_the_database(kind, value):
    assert RelativePrice.from_json(RelativePrice(kind, value).to_json()) == RelativePrice(kind, value)


STORED = {"relative": {"price": {"percent": "-1"}, "stop_price": {"offset": "-5"}}, "levered": False}


@pytest.mark.parametrize(
    ("known", "left"),
    [
        ((None, None), {"relative": STORED["relative"]}),
        ((1, None), {"relative": {"stop_price": {"offset": "-5"}}}),
        ((1, 1), {}),
    ],
)
def test_a_further_attempt_counts_what_no_attempt_has_counted(known, left):
    assert still_relative(STORED, price=known[0], stop_price=known[1]) == left
    assert still_relative({}, price=None, stop_price=None) == {}


def order(kind, **fields):
    return Order(order_type=kind, side=Side.BUY, terms=STORED, **fields)


@pytest.mark.parametrize(
    ("kind", "levels"),
    [
        (OrderType.MARKET, (None, None)),
        (OrderType.LIMIT, (94050, None)),
        (OrderType.STOP_MARKET, (None, 94995)),
        (OrderType.STOP_LIMIT, (94050, 94995)),
    ],
)
def test_an_order_type_counts_the_prices_that_it_uses(kind, levels):
    assert levels_of(order(kind), market(), LAST) == Levels(*levels)
    assert has_relative_price(order(kind)) is (kind is not OrderType.MARKET)


def test_a_number_that_was_rolled_back_is_counted_again():
    stale = order(OrderType.LIMIT, price=Decimal(1))

    assert levels_of(stale, market(), LAST).price == 94050


def test_an_order_with_numbers_keeps_the_numbers():
    plain = Order(order_type=OrderType.LIMIT, price=Decimal(7), terms={})

    assert levels_of(plain, market(), None) == Levels(Decimal(7), None)
    assert not has_relative_price(plain)
