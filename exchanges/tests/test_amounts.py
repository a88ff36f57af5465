from decimal import Context, Decimal, Inexact, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.amounts import (
    ceil_to_step,
    floor_to_step,
    from_contracts,
    nearest_tick,
    round_to_tick,
    to_contracts,
)
from exchanges.enums import Side

amounts = st.decimals(0, 10**12, places=10, allow_nan=False, allow_infinity=False)
steps = st.sampled_from([Decimal(text) for text in ("1E-8", "0.001", "0.05", "0.5", "1", "3", "10", "1E+2")])


@pytest.mark.parametrize(
    ("value", "step", "low", "high"),
    [
        ("0.0129", "0.001", "0.012", "0.013"),
        ("0.012", "0.001", "0.012", "0.012"),
        ("0.0009", "0.001", "0", "0.001"),
        ("7", "5", "5", "10"),
        ("1.23", "0", "1.23", "1.23"),
        ("0.3", "0.1", "0.3", "0.3"),
    ],
)
def test_values_go_down_and_up_to_the_step(value, step, low, high):
    assert floor_to_step(Decimal(value), Decimal(step)) == Decimal(low)
    assert ceil_to_step(Decimal(value), Decimal(step)) == Decimal(high)


@pytest.mark.parametrize(
    ("price", "buy", "sell", "stop"),
    [
        ("100.14", "100.1", "100.2", "100.1"),
        ("100.15", "100.1", "100.2", "100.2"),
        ("100.1", "100.1", "100.1", "100.1"),
        ("0.04", "0", "0.1", "0"),
    ],
)
def test_limit_prices_are_never_worse_than_asked_and_stops_are_near(price, buy, sell, stop):
    asked, tick = Decimal(price), Decimal("0.1")

    assert round_to_tick(asked, tick, Side.BUY) == Decimal(buy)
    assert round_to_tick(asked, tick, Side.SELL) == Decimal(sell)
    assert nearest_tick(asked, tick) == Decimal(stop)


@settings(max_examples=500, deadline=None)
@given(amounts, steps)
def test_the_grid_encloses_the_value(value, step):
    low, high = floor_to_step(value, step), ceil_to_step(value, step)

    assert low <= value <= high
    assert high - low in (0, step)
    assert low % step == high % step == 0
    assert nearest_tick(value, step) in (low, high)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(["0.001", "1", "10", "100", "0.0001"]))
def test_contracts_and_base_units_are_inverse_on_the_lot(count, size):
    contract_size = Decimal(size)

    assert to_contracts(from_contracts(Decimal(count), contract_size), contract_size) == count


def test_a_poor_or_strict_context_of_the_thread_changes_nothing():
    with localcontext(Context(prec=2, traps=[Inexact])):
        assert floor_to_step(Decimal("12345.6789"), Decimal("0.001")) == Decimal("12345.678")
        assert to_contracts(Decimal("123.456"), Decimal("0.001")) == 123456
