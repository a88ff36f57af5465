from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.enums import Side, TradingState
from orders.domain.reasons import TEXTS, Denied
from orders.domain.risk_checks import (
    Exposure,
    Intended,
    LevelState,
    OpenRemainder,
    check_coins,
    check_limits,
    check_state,
    strictest_of,
)
from strategies.models import Limits

D = Decimal
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def order(**fields):
    plain = {"side": Side.BUY, "quantity": D(2), "reference": D(100), "limit": D(100), "last_price": D(100)}
    return Intended(symbol=BTC, quote="USDT", **(plain | fields))


def working(quantity, side=Side.BUY, symbol=BTC):
    return OpenRemainder(symbol, side, D(quantity))


def code_of(act, *args, **kwargs):
    try:
        act(*args, **kwargs)
    except Denied as denied:
        return denied.code
    return None


LONG_3 = Exposure(held={BTC: D(3)})
CASES = [
    (order(), {}, Exposure(), None),
    (order(), {"max_order_notional": D(200)}, Exposure(), None),
    (order(), {"max_order_notional": D("199.99")}, Exposure(), "max_order_notional"),
    (order(token_notional=D(200)), {}, Exposure(), None),
    (order(token_notional=D("199.99")), {"max_order_notional": D(1)}, Exposure(), "token_notional"),
    (order(reference=None), {"max_order_notional": D(1)}, Exposure(), "price_unavailable"),
    (order(), {"max_position_notional": D(500)}, LONG_3, None),
    (order(), {"max_position_notional": D(499)}, LONG_3, "max_position_notional"),
    (order(side=Side.SELL), {"max_position_notional": D(100)}, LONG_3, None),
    (order(), {"max_position_notional": D(300)}, Exposure(open_orders=[working(1)]), None),
    (order(), {"max_position_notional": D(299)}, Exposure(open_orders=[working(1)]), "max_position_notional"),
    (order(), {"max_position_notional": D(200)}, Exposure(open_orders=[working(1, Side.SELL)]), None),
    (order(), {"max_position_notional": D(200)}, Exposure(open_orders=[working(1, symbol=ETH)]), None),
    (order(reference=D(0)), {"max_position_notional": D(200)}, Exposure(), "price_unavailable"),
    (order(), {"max_open_orders": 1}, Exposure(), None),
    (order(), {"max_open_orders": 1}, Exposure(open_orders=[working(1)]), "max_open_orders"),
    (order(), {"max_open_orders": 0}, Exposure(), "max_open_orders"),
    (order(), {"max_orders_per_minute": 2}, Exposure(orders_last_minute=1), None),
    (order(), {"max_orders_per_minute": 2}, Exposure(orders_last_minute=2), "max_orders_per_minute"),
    (order(), {"max_symbols": 1}, Exposure(held={ETH: D(1)}), "max_symbols"),
    (order(), {"max_symbols": 1}, Exposure(held={ETH: D(0)}), None),
    (order(), {"max_symbols": 1}, Exposure(held={BTC: D(1)}), None),
    (order(), {"max_symbols": 1}, Exposure(open_orders=[working(1, symbol=ETH)]), "max_symbols"),
    (order(limit=D(110)), {"max_price_distance_percent": D(10)}, Exposure(), None),
    (order(limit=D("110.01")), {"max_price_distance_percent": D(10)}, Exposure(), "max_price_distance"),
    (order(limit=D("89.99")), {"max_price_distance_percent": D(10)}, Exposure(), "max_price_distance"),
    (order(limit=None), {"max_price_distance_percent": D(0)}, Exposure(), None),
    (order(last_price=None), {"max_price_distance_percent": D(10)}, Exposure(), "price_unavailable"),
]


@pytest.mark.parametrize(("intended", "limits", "exposure", "code"), CASES)
def test_a_limit_is_the_last_value_that_passes(intended, limits, exposure, code):
    assert code_of(check_limits, intended, Limits(**limits), exposure) == code


@pytest.mark.parametrize("is_exit", [False, True])
@pytest.mark.parametrize("state", TradingState)
@pytest.mark.parametrize("place", range(4))
def test_the_strictest_level_decides(place, state, is_exit):
    levels = [LevelState(scope, TradingState.ACTIVE) for scope in ("system", "strategy", "account", "share")]
    levels[place] = LevelState(levels[place].scope, state, "because")

    allowed = state == TradingState.ACTIVE or (is_exit and state == TradingState.REDUCE_ONLY)

    assert code_of(check_state, strictest_of(*levels), is_exit=is_exit) == (None if allowed else str(state))


amounts = st.decimals("0", "1000000", places=4)
sides = st.sampled_from(Side)
exposures = st.builds(
    Exposure,
    held=st.dictionaries(st.sampled_from([BTC, ETH]), st.decimals("-1000", "1000", places=4)),
    open_orders=st.lists(st.builds(OpenRemainder, st.sampled_from([BTC, ETH]), sides, amounts), max_size=4),
    orders_last_minute=st.integers(0, 10),
)
prices = st.none() | st.decimals("0", "1000000", places=2)
intentions = st.builds(order, side=sides, quantity=amounts, reference=prices, limit=prices, last_price=prices)
notionals = st.decimals("0", "1E+12", places=0)
bounds = {
    "max_order_notional": st.none() | notionals,
    "max_position_notional": st.none() | notionals,
    "max_price_distance_percent": st.none() | st.decimals("0", "100", places=2),
    "max_open_orders": st.none() | st.integers(0, 5),
    "max_orders_per_minute": st.none() | st.integers(0, 10),
    "max_symbols": st.none() | st.integers(0, 3),
}
limits = st.builds(Limits, **bounds)


@settings(max_examples=500, deadline=None)
@given(intentions, limits, exposures)
def test_what_passes_leaves_every_limit_kept(intended, bound, exposure):
    denied = code_of(check_limits, intended, bound, exposure)

    if denied is not None:
        assert denied in TEXTS
        return
    if bound.max_order_notional is not None:
        assert intended.quantity * intended.reference <= bound.max_order_notional
    if bound.max_position_notional is not None:
        after = exposure.held.get(BTC, D(0)) + intended.side.sign * intended.quantity
        assert intended.side.sign * after * intended.reference <= bound.max_position_notional
    if bound.max_open_orders is not None:
        assert len(exposure.open_orders) + 1 <= bound.max_open_orders
    if bound.max_symbols is not None:
        assert len(exposure.symbols) <= bound.max_symbols or BTC in exposure.symbols


@settings(max_examples=500, deadline=None)
@given(intentions, limits, exposures, st.sampled_from(sorted(bounds)))
def test_without_a_limit_no_more_is_denied(intended, bound, exposure, lifted):
    wider = Limits(**{name: None if name == lifted else getattr(bound, name) for name in bounds})

    if code_of(check_limits, intended, bound, exposure) is None:
        assert code_of(check_limits, intended, wider, exposure) is None


def test_a_spot_entry_sells_no_more_than_the_strategy_account_holds():
    check_coins("BTC/USDT", D("0.5"), held=D(1), selling=D("0.5"))

    with pytest.raises(Denied) as refused:
        check_coins("BTC/USDT", D("0.6"), held=D(1), selling=D("0.5"))
    assert refused.value.params == {"symbol": "BTC/USDT", "quantity": "0.6", "held": "0.5"}

    with pytest.raises(Denied) as refused:
        check_coins("BTC/USDT", D("0.1"), held=D(0), selling=D("0.5"))
    assert refused.value.params["held"] == "0"
