from decimal import Context, Decimal, Inexact, localcontext

import pytest
from django.utils.translation import override
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exchanges.adapters.protocol import MarketSpec
from exchanges.amounts import exact
from exchanges.enums import MarketType, OrderType, Side
from orders.domain.reasons import Denied
from orders.domain.sizing import (
    Sized,
    from_contracts,
    minimum_that_would_do,
    reference_price,
    size_closing,
    size_opening,
    to_contracts,
)


def D(value):
    return None if value is None else Decimal(value)


def market(market_type=MarketType.FUTURES, **rules):
    numbers = {
        "tick_size": "0.1",
        "lot_size": "0.001",
        "min_quantity": "0.001",
        "max_quantity": "1000",
        "min_notional": "100",
    } | rules
    return MarketSpec(
        symbol="BTC/USDT",
        exchange_symbol="BTCUSDT",
        market_type=market_type,
        base="BTC",
        quote="USDT",
        **{name: D(number) for name, number in numbers.items()},
    )


SHARES = market(MarketType.STOCK, tick_size="50", lot_size="1", min_quantity="1", min_notional="0")


def opening(of=None, order_type="LIMIT", side="buy", currency="USDT", **numbers):
    given_numbers = {
        "qty_per": "5",
        "qty": None,
        "price": "90000" if order_type in ("LIMIT", "STOP_LIMIT") else None,
        "stop_price": None,
        "capital": "20000000",
        "leverage": "1",
        "last_price": None,
    } | numbers
    return size_opening(
        market=of or market(),
        order_type=OrderType(order_type),
        side=Side(side),
        capital_currency=currency,
        **{name: D(number) for name, number in given_numbers.items()},
    )


def closing(of=None, order_type="MARKET", side="sell", has_reduce_only=True, **numbers):
    given_numbers = {"qty_per": "-100", "price": None, "stop_price": None, "held": "0.5"} | numbers
    return size_closing(
        market=of or market(),
        order_type=OrderType(order_type),
        side=Side(side) if side else None,
        has_reduce_only=has_reduce_only,
        **{name: D(number) for name, number in given_numbers.items()},
    )


def denial(size, *args, **kwargs):
    with pytest.raises(Denied) as caught:
        size(*args, **kwargs)
    return caught.value


# Opening


def test_a_percentage_of_capital_is_divided_by_the_price_and_rounded_down():
    assert opening() == Sized(Side.BUY, D("11.111"), D("90000"), None, reduce_only=False)


def test_the_smallest_percentage_that_the_demo_sends_is_an_order():
    sized = opening(order_type="MARKET", qty_per="0.001", last_price="95000")

    assert sized.quantity == D("0.002")


@pytest.mark.parametrize(
    ("market_type", "leverage", "quantity"),
    [("FUTURES", "1", "1"), ("FUTURES", "10", "10"), ("SPOT", "10", "1")],
)
def test_leverage_counts_for_futures_only(market_type, leverage, quantity):
    sized = opening(market(MarketType(market_type)), qty_per="100", capital="90000", leverage=leverage)

    assert sized.quantity == D(quantity)


def test_more_than_all_the_capital_is_allowed():
    assert opening(qty_per="250", capital="90000").quantity == D("2.5")


@pytest.mark.parametrize(
    ("order_type", "expected"),
    [("LIMIT", 1), ("STOP_LIMIT", 1), ("STOP_MARKET", 2), ("MARKET", 3)],
)
def test_an_order_is_sized_by_its_own_price_first(order_type, expected):
    assert reference_price(OrderType(order_type), D(1), D(2), D(3)) == expected


@pytest.mark.parametrize(
    ("order_type", "side", "price", "stop_price"),
    [
        ("MARKET", "buy", None, None),
        ("LIMIT", "buy", "100.1", None),
        ("LIMIT", "sell", "100.2", None),
        ("STOP_LIMIT", "sell", "100.2", "200.2"),
        ("STOP_MARKET", "buy", None, "200.2"),
    ],
)
def test_prices_that_the_type_uses_are_put_on_the_tick(order_type, side, price, stop_price):
    given_prices = {"price": "100.17", "stop_price": "200.15", "last_price": "100"}

    sized = opening(order_type=order_type, side=side, qty_per=None, qty="2", **given_prices)

    assert (sized.price, sized.stop_price) == (D(price), D(stop_price))


def test_an_absolute_quantity_needs_no_capital_and_no_price():
    sized = opening(order_type="MARKET", qty_per=None, qty="0.25049", capital="0", currency="KRW")

    assert sized.quantity == D("0.250")


@pytest.mark.parametrize("numbers", [{"qty_per": "30"}, {"qty_per": None, "qty": "30"}])
def test_securities_are_counted_in_shares(numbers):
    assert opening(SHARES, order_type="MARKET", capital="0", **numbers).quantity == 30


@override("en")
@pytest.mark.parametrize(
    ("kwargs", "code", "text"),
    [
        (
            {"order_type": "MARKET"},
            "price_unavailable",
            "There is no current price for BTC/USDT. Send a LIMIT order, or try again.",
        ),
        ({"order_type": "MARKET", "last_price": "0"}, "price_unavailable", "no current price"),
        (
            {"currency": "KRW"},
            "capital_currency_mismatch",
            "The capital is in KRW, but BTC/USDT is paid in USDT.",
        ),
        ({"capital": "0"}, "no_capital", "No capital is allocated to this account in the strategy (0 USDT)."),
        (
            {"qty_per": "0.0001", "capital": "20000"},
            "below_lot",
            "quantity 0.000000222222222222 is less than one lot of 0.001 for BTC/USDT. Order at least 0.002.",
        ),
        (
            {"qty_per": None, "qty": "0.0019"},
            "below_min_notional",
            "The order is worth 90 USDT, below the minimum of 100 USDT for BTC/USDT. Order at least 0.002.",
        ),
        (
            {"qty_per": None, "qty": "0.004", "of": market(min_quantity="0.005")},
            "below_min_quantity",
            "The quantity 0.004 is below the minimum of 0.005 for BTC/USDT. Order at least 0.005.",
        ),
        (
            {"qty_per": None, "qty": "1001"},
            "above_max_quantity",
            "The quantity 1001 is above the maximum of 1000 for BTC/USDT. Order at most 1000.",
        ),
        (
            {"qty_per": None, "qty": "1E+20", "of": market(max_quantity=None)},
            "above_max_quantity",
            "at most 9999",
        ),
        (
            {"order_type": "MARKET", "qty_per": None, "qty": "121", "of": market(market_max_quantity="120")},
            "above_max_quantity",
            "The quantity 121 is above the maximum of 120 for BTC/USDT. Order at most 120.",
        ),
        (
            {
                "order_type": "STOP_MARKET",
                "stop_price": "90000",
                "qty_per": None,
                "qty": "121",
                "of": market(market_max_quantity="120"),
            },
            "above_max_quantity",
            "Order at most 120.",
        ),
        (
            {"price": "0.04"},
            "invalid_after_rounding",
            "The price 0.04 becomes zero on the tick of 0.1 for BTC/USDT. Use at least 0.1.",
        ),
        ({"order_type": "STOP_MARKET", "stop_price": "0.04"}, "invalid_after_rounding", "The price 0.04"),
        (
            {"of": SHARES, "qty_per": "1.5"},
            "not_whole_shares",
            "BTC/USDT is traded in multiples of 1: 1.5 cannot be ordered. Order 1 or another multiple.",
        ),
        ({"of": SHARES, "qty_per": "0.5"}, "not_whole_shares", "Order 1 or another multiple."),
    ],
)
def test_an_order_that_cannot_be_is_denied_with_the_numbers_that_matter(kwargs, code, text):
    denied = denial(opening, **kwargs)

    assert denied.code == code
    assert text in denied.text


# Closing


@pytest.mark.parametrize(
    ("held", "side", "qty_per", "expected"),
    [
        ("0.5", "sell", "-100", ("sell", "0.5")),
        ("0.5", None, "-100", ("sell", "0.5")),
        ("-0.5", "buy", "-100", ("buy", "0.5")),
        ("-0.5", None, "-50", ("buy", "0.25")),
        ("0.5", "sell", "-33.3", ("sell", "0.166")),
        ("0.5009", "sell", "-100", ("sell", "0.5")),
    ],
)
def test_a_close_takes_a_part_of_what_is_held(held, side, qty_per, expected):
    sized = closing(held=held, side=side, qty_per=qty_per)

    assert (sized.side.value, sized.quantity) == (expected[0], D(expected[1]))


@pytest.mark.parametrize(
    ("held", "side", "code"),
    [
        ("0", None, "no_position"),
        ("0", "sell", "no_long_position"),
        ("0", "buy", "no_short_position"),
        ("-1", "sell", "no_long_position"),
        ("1", "buy", "no_short_position"),
        ("0.0009", "sell", "no_long_position"),
        ("-0.0009", None, "no_short_position"),
    ],
)
def test_a_close_without_a_position_is_denied(held, side, code):
    assert denial(closing, held=held, side=side).code == code


def test_a_part_that_rounds_down_to_nothing_is_denied_with_the_number_that_would_do():
    denied = denial(closing, held="0.009", qty_per="-10")

    assert (denied.code, denied.params["needed"]) == ("below_lot", "0.001")


@pytest.mark.parametrize("order_type", ["LIMIT", "STOP_LIMIT"])
def test_the_price_of_a_close_is_rounded_for_the_side_that_closes(order_type):
    assert closing(order_type=order_type, side=None, price="100.11", stop_price="1").price == D("100.2")


def test_a_close_is_reduce_only_where_the_exchange_knows_it():
    assert closing(has_reduce_only=True).reduce_only is True
    assert closing(has_reduce_only=False).reduce_only is False


def test_the_minimum_notional_holds_for_a_close_only_without_reduce_only():
    small = {"held": "0.001", "last_price": "50000"}

    assert closing(**small, has_reduce_only=True).quantity == D("0.001")
    assert denial(closing, **small, has_reduce_only=False).params["needed"] == "0.002"


def test_a_close_is_not_denied_for_want_of_a_price():
    assert closing(held="0.001", has_reduce_only=False).quantity == D("0.001")


def test_the_minimum_and_maximum_quantity_hold_for_a_close():
    assert denial(closing, market(min_quantity="0.01"), held="0.009").code == "below_min_quantity"
    assert denial(closing, order_type="LIMIT", price="1", held="1001").code == "above_max_quantity"


@pytest.mark.parametrize(
    ("rules", "quantity"),
    [
        ({"market_max_quantity": "120"}, "120"),
        ({"market_max_quantity": "120.0009"}, "120"),
        ({"market_max_quantity": "1001"}, "1000"),
        ({"market_max_quantity": None}, "1000"),
        ({"market_max_quantity": "2000", "max_quantity": None}, "1500"),
    ],
)
@pytest.mark.parametrize("order_type", ["MARKET", "STOP_MARKET"])
def test_a_close_at_the_market_is_cut_down_to_what_the_exchange_takes(order_type, rules, quantity):
    assert closing(market(**rules), order_type=order_type, stop_price="1", held="1500").quantity == D(
        quantity
    )


def test_a_limit_price_lifts_the_maximum_of_market_orders():
    spec = market(market_max_quantity="120")

    assert opening(spec, qty_per=None, qty="121").quantity == 121
    assert closing(spec, order_type="LIMIT", price="1", held="121").quantity == 121


# Properties

lots = st.sampled_from(["1E-8", "0.001", "0.1", "1", "10"])
prices = st.decimals(Decimal("0.0001"), 10**6, places=4, allow_nan=False, allow_infinity=False)
amounts = st.decimals(Decimal("0.01"), 10**9, places=2, allow_nan=False, allow_infinity=False)
percents = st.decimals(Decimal("0.001"), 1000, places=3, allow_nan=False, allow_infinity=False)


@settings(max_examples=500, deadline=None)
@given(lots, prices, amounts, percents, st.integers(1, 125))
def test_an_opening_never_costs_more_than_was_asked_for_nor_a_lot_less(
    lot, price, capital, percent, leverage
):
    spec = market(lot_size=lot, min_quantity="0", min_notional="0", max_quantity=None, tick_size="0.0001")
    asked = capital * percent * leverage / 100
    assume(asked >= price * Decimal(lot))

    sized = opening(spec, qty_per=percent, price=price, capital=capital, leverage=leverage)

    exact(lambda: _assert_close(sized.quantity, price, Decimal(lot), asked))()


def _assert_close(quantity, price, lot, asked):
    assert quantity % lot == 0
    assert quantity * price <= asked < (quantity + lot) * price


@settings(max_examples=500, deadline=None)
@given(lots, prices, amounts, amounts)
def test_the_least_that_would_do_does_and_a_lot_less_does_not(lot, price, min_notional, min_quantity):
    spec = market(lot_size=lot, min_quantity=min_quantity, min_notional=min_notional, max_quantity=None)
    spec_free = market(lot_size=lot, min_quantity="0", min_notional="0")

    needed = minimum_that_would_do(spec, price)

    assert opening(spec, order_type="MARKET", qty_per=None, qty=needed, last_price=price).quantity == needed
    denial(opening, spec, order_type="MARKET", qty_per=None, qty=needed - Decimal(lot), last_price=price)
    assert minimum_that_would_do(spec_free, None) == Decimal(lot)


@settings(max_examples=500, deadline=None)
@given(
    lots,
    st.decimals(-(10**6), 10**6, places=8),
    st.decimals(-100, Decimal("-0.001"), places=3),
    st.none() | st.decimals(10, 10**6, places=8),
)
def test_a_close_is_never_larger_than_the_position_nor_than_a_market_order(lot, held, percent, largest):
    spec = market(lot_size=lot, min_quantity="0", max_quantity=None, market_max_quantity=largest)
    assume(abs(held) * -percent / 100 >= Decimal(lot))

    sized = closing(spec, side=None, held=held, qty_per=percent)

    assert 0 < sized.quantity <= min(abs(held), largest or abs(held))
    assert sized.quantity % Decimal(lot) == 0
    assert sized.side.sign * held < 0


def test_a_poor_or_strict_context_of_the_thread_changes_nothing():
    with localcontext(Context(prec=2, traps=[Inexact])):
        assert opening().quantity == D("11.111")
        assert closing(held="123.4567").quantity == D("123.456")


def test_contracts_are_converted_by_their_size():
    assert to_contracts(D("0.05"), D("0.01")) == 5
    assert from_contracts(D("5"), D("0.01")) == D("0.05")


def test_a_size_in_quote_currency_is_divided_by_the_price():
    assert opening(qty_per=None, quote_qty="1000").quantity == D("0.011")
    assert opening(order_type="MARKET", qty_per=None, quote_qty="1000", last_price="50000").quantity == D(
        "0.02"
    )
    with pytest.raises(Denied) as caught:
        opening(order_type="MARKET", qty_per=None, quote_qty="1000")
    assert caught.value.code == "price_unavailable"
