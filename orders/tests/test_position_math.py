from decimal import Context, Decimal, Inexact, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.amounts import exact
from exchanges.enums import Side
from orders.domain.position_math import PositionState, apply_adjustment, apply_fill


def after(*fills, state=None):
    state = state or PositionState()
    for side, quantity, price in fills:
        state, _ = apply_fill(state, side=Side(side), quantity=Decimal(quantity), price=Decimal(price))
    return state


def state_of(quantity, cost, realized_profit):
    return PositionState(Decimal(quantity), Decimal(cost), Decimal(realized_profit))


@pytest.mark.parametrize(
    ("fills", "expected"),
    [
        ([("buy", "1", "100")], ("1", "100", "0")),
        ([("buy", "1", "100"), ("buy", "1", "200")], ("2", "300", "0")),
        ([("buy", "1", "100"), ("sell", "0.4", "110")], ("0.6", "60", "4")),
        ([("buy", "1", "100"), ("sell", "1", "90")], ("0", "0", "-10")),
        ([("buy", "1", "100"), ("sell", "3", "110")], ("-2", "-220", "10")),
        ([("sell", "1", "100")], ("-1", "-100", "0")),
        ([("sell", "2", "100"), ("buy", "1", "90")], ("-1", "-100", "10")),
        ([("sell", "1", "100"), ("buy", "3", "120")], ("2", "240", "-20")),
        ([("buy", "3", "1"), ("sell", "1", "1")], ("2", "2", "0")),
    ],
)
def test_fills_open_close_and_turn_a_position(fills, expected):
    assert after(*fills) == state_of(*expected)


def test_a_fill_says_what_it_realized():
    _, realized = apply_fill(state_of(2, 200, 50), side=Side.SELL, quantity=Decimal(1), price=Decimal(130))

    assert realized == 30


def test_what_is_closed_leaves_at_18_places():
    state = after(("sell", "1", "1"), state=state_of("3", "2", "0"))

    assert state == state_of("2", "1.333333333333333333", "0.333333333333333333")


def test_a_fee_in_quote_adds_up_beside_the_profit():
    state, realized = apply_fill(
        PositionState(fees=Decimal(1)),
        side=Side.BUY,
        quantity=Decimal(1),
        price=Decimal(100),
        fee=Decimal("0.1"),
        fee_in_quote=True,
    )

    assert (state, realized) == (PositionState(Decimal(1), Decimal(100), fees=Decimal("1.1")), 0)


def test_a_fee_in_another_currency_changes_nothing():
    fill = {"side": Side.BUY, "quantity": Decimal(1), "price": Decimal(100)}

    assert apply_fill(PositionState(), **fill, fee=Decimal(5)) == apply_fill(PositionState(), **fill)


def test_a_fee_in_base_units_lessens_what_a_buy_adds_but_not_what_it_costs():
    bought, _ = apply_fill(
        PositionState(), side=Side.BUY, quantity=Decimal(1), price=Decimal(100), base_fee=Decimal("0.001")
    )
    sold, realized = apply_fill(bought, side=Side.SELL, quantity=Decimal("0.999"), price=Decimal(110))

    assert (bought.quantity, bought.cost) == (Decimal("0.999"), 100)
    assert (sold.quantity, sold.cost, realized) == (0, 0, Decimal("9.89"))


@pytest.mark.parametrize(
    ("quantity", "price", "base_fee"), [("0", "1", "0"), ("1", "0", "0"), ("1", "1", "1")]
)
def test_what_is_no_fill_is_refused(quantity, price, base_fee):
    with pytest.raises(ValueError, match="a fill has"):
        apply_fill(
            PositionState(),
            side=Side.BUY,
            quantity=Decimal(quantity),
            price=Decimal(price),
            base_fee=Decimal(base_fee),
        )


def test_the_thread_s_context_changes_nothing():
    with localcontext(Context(prec=2, traps=[Inexact])):
        state = after(("buy", "1.2345", "100.01"), ("sell", "0.2345", "110.07"))

    assert state.quantity == 1
    assert state.cost == Decimal("100.01")


sides = st.sampled_from(list(Side))
numbers = st.decimals(Decimal("1E-8"), 10**6, places=8, allow_nan=False, allow_infinity=False)
trades = st.lists(st.tuples(sides, numbers, numbers), max_size=8)


@exact
def total(fills):
    return sum((side.sign * quantity for side, quantity, _ in fills), Decimal(0))


@exact
def cash(fills):
    return -sum((side.sign * quantity * price for side, quantity, price in fills), Decimal(0))


def closing(fills, price):
    left = total(fills)
    return [(Side.SELL if left > 0 else Side.BUY, left.copy_abs(), price)] if left else []


@settings(max_examples=500, deadline=None)
@given(trades)
def test_the_position_is_the_sum_of_its_trades(fills):
    state = after(*fills)

    assert state.quantity == total(fills)
    assert state.quantity * state.cost >= 0
    assert (state.quantity == 0) is (state.cost == 0)


@settings(max_examples=500, deadline=None)
@given(trades, numbers)
def test_a_flat_position_costs_nothing_and_has_realized_all_the_cash(fills, price):
    fills = fills + closing(fills, price)

    state = after(*fills)

    assert (state.quantity, state.cost, state.realized_profit) == (0, 0, cash(fills))


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(sides, numbers), min_size=1, max_size=6), numbers, st.randoms())
def test_at_one_price_the_order_of_fills_does_not_matter(fills, price, random):
    fills = [(side, quantity, price) for side, quantity in fills]
    shuffled = random.sample(fills, len(fills))

    assert after(*shuffled) == after(*fills)


@settings(max_examples=500, deadline=None)
@given(trades, st.lists(st.decimals(0, Decimal("1E-9"), places=12), min_size=8, max_size=8))
def test_base_fees_come_off_the_sum(fills, base_fees):
    state = PositionState()
    for (side, quantity, price), base_fee in zip(fills, base_fees, strict=False):
        state, _ = apply_fill(state, side=side, quantity=quantity, price=price, base_fee=base_fee)

    assert state.quantity == total(fills) - sum(base_fees[: len(fills)], Decimal(0))


def test_an_adjustment_moves_a_position_like_a_fill():
    adjusted, realized = apply_adjustment(
        state_of(2, 200, 50), quantity=Decimal(-1), price=Decimal(130), fee=Decimal(2)
    )

    assert (adjusted, realized) == (PositionState(Decimal(1), Decimal(100), Decimal(80), Decimal(2)), 30)


def test_an_adjustment_may_open_a_position():
    adjusted, realized = apply_adjustment(PositionState(), quantity=Decimal(1), price=Decimal(100))

    assert (adjusted, realized) == (state_of(1, 100, 0), 0)


def test_a_payment_adds_to_the_realized_profit_and_moves_nothing():
    adjusted, realized = apply_adjustment(state_of(2, 200, 50), amount=Decimal("-0.5"))

    assert (adjusted, realized) == (state_of(2, 200, "49.5"), 0)


def test_an_adjustment_without_a_price_is_refused():
    with pytest.raises(ValueError, match="a fill has"):
        apply_adjustment(PositionState(), quantity=Decimal(1))
