"""The prices and quantities of protective exits."""

from decimal import Decimal

import pytest

from exchanges.adapters.protocol import MarketSpec
from exchanges.amounts import plain
from exchanges.enums import MarketType, OrderType, Side
from orders.domain import protection as rules
from orders.domain.protection import ExpectedEntry
from orders.domain.reasons import Denied
from orders.domain.terms import Distance, DistanceKind, Protection, TakeProfit

D = Decimal
HUNDRED = D(100)
PRICE, PERCENT, OFFSET = DistanceKind.PRICE, DistanceKind.PERCENT, DistanceKind.OFFSET
ALL_TYPES = frozenset(OrderType)


def market(**fields):
    base = {
        "symbol": "BTC/USDT:USDT", "exchange_symbol": "BTCUSDT", "market_type": MarketType.FUTURES, "base": "BTC",
        "quote": "USDT", "tick_size": D("0.1"), "lot_size": D("0.001"), "min_quantity": D("0.001"),
        "max_quantity": None, "min_notional": D(5),
    }  # fmt: skip
    return MarketSpec(**base | fields)


def at(kind, value):
    return Distance(kind, D(value))


def takes(*steps):
    return Protection(take_profits=tuple(TakeProfit(at(PERCENT, p), D(portion)) for p, portion in steps))


@pytest.mark.parametrize(
    ("distance", "direction", "expected"),
    [
        (at(PRICE, 90), -1, "90"),
        (at(PERCENT, 5), -1, "95"),
        (at(PERCENT, 5), 1, "105"),
        (at(OFFSET, 3), -1, "97"),
    ],
)
def test_a_distance_counts_from_the_average(distance, direction, expected):
    assert rules.price_at(distance, D(100), direction) == D(expected)


@pytest.mark.parametrize(
    ("wanted", "sign", "best", "expected"),
    [
        (Protection(), 1, None, None),
        (Protection(stop_loss=at(PERCENT, "5.55")), 1, None, "94.4"),
        (Protection(stop_loss=at(PERCENT, "5.55")), -1, None, "105.6"),
        (Protection(trailing_stop=at(OFFSET, 4)), 1, "110", "106"),
        (Protection(trailing_stop=at(OFFSET, 4)), 1, "90", "96"),
        (Protection(trailing_stop=at(OFFSET, 4)), -1, "90", "94"),
        (Protection(stop_loss=at(OFFSET, 2), trailing_stop=at(OFFSET, 4)), 1, "101", "98"),
        (Protection(breakeven_after=at(PERCENT, 5)), 1, "104", None),
        (Protection(breakeven_after=at(PERCENT, 5)), 1, "105", "100"),
        (Protection(stop_loss=at(OFFSET, 9), breakeven_after=at(OFFSET, 5)), -1, "95", "100"),
    ],
)
def test_the_tightest_stop_counts_and_is_rounded_away_from_the_market(wanted, sign, best, expected):
    best = None if best is None else D(best)

    found = rules.stop_price(wanted, sign, average=D(100), best=best, tick=D("0.1"))

    assert found == (None if expected is None else D(expected))


def test_the_limit_of_a_stop_limit_lies_behind_the_stop():
    assert rules.limit_behind(D(100), 1, D("0.1")) == D(95)
    assert rules.limit_behind(D(100), -1, D("0.1")) == D(105)


@pytest.mark.parametrize(("best", "last", "sign", "expected"), [
    (None, None, 1, None), (None, 5, 1, 5), (5, None, 1, 5), (5, 6, 1, 6), (5, 6, -1, 5),
])  # fmt: skip
def test_the_better_price_is_the_one_in_favor_of_the_position(best, last, sign, expected):
    assert rules.better_of(best, last, sign) == expected


def test_tighter_and_passed_depend_on_the_side():
    assert rules.is_tighter(D(2), D(1), 1)
    assert not rules.is_tighter(D(2), D(1), -1)
    assert rules.has_passed(D(2), D(2), 1)
    assert not rules.has_passed(D(3), D(2), -1)
    assert not rules.has_passed(None, D(2), 1)


def steps_of(wanted, size, *, sign=1, notional=False, **fields):
    found = rules.take_profit_steps(
        wanted, sign, average=D(100), size=D(size), market=market(**fields), notional=notional
    )
    return [(step.step, plain(step.price), plain(step.quantity)) for step in found]


def test_portions_are_split_by_the_largest_remainder_and_never_exceed_the_size():
    thirds = takes((10, "33.4"), (20, "33.3"), (30, "33.3"))

    assert steps_of(thirds, "1") == [(1, "110", "0.334"), (2, "120", "0.333"), (3, "130", "0.333")]
    assert steps_of(thirds, "0.002") == [(1, "110", "0.001"), (2, "120", "0.001")]
    assert steps_of(takes((10, 50)), "1", lot_size=D(0)) == [(1, "110", "0.5")]


def test_the_nearest_take_profit_comes_first():
    assert [step for step, _, _ in steps_of(takes((20, 50), (10, 50)), "1")] == [2, 1]
    assert steps_of(takes((20, 50), (10, 50)), "1", sign=-1) == [(2, "90", "0.5"), (1, "80", "0.5")]


def test_a_step_below_the_minimum_joins_the_next_one_and_the_last_one_joins_the_step_before():
    least = {"min_quantity": D("0.2")}

    assert steps_of(takes((10, 10), (20, 90)), "1", **least) == [(2, "120", "1")]
    assert steps_of(takes((10, 90), (20, 10)), "1", **least) == [(1, "110", "1")]
    assert steps_of(takes((10, 10)), "1", **least) == []
    assert steps_of(takes((10, 100)), "0.04", notional=True) == []


@pytest.mark.parametrize(
    ("kind", "side", "limit", "stop", "last", "expected"),
    [
        (OrderType.MARKET, Side.BUY, None, None, 100, 100),
        (OrderType.MARKET, Side.BUY, None, None, None, None),
        (OrderType.LIMIT, Side.BUY, 90, None, 100, 90),
        (OrderType.LIMIT, Side.BUY, 110, None, 100, 100),
        (OrderType.LIMIT, Side.SELL, 110, None, 100, 110),
        (OrderType.LIMIT, Side.BUY, 90, None, None, 90),
        (OrderType.STOP_LIMIT, Side.BUY, 111, 110, 100, 111),
        (OrderType.STOP_MARKET, Side.BUY, None, 110, 100, 110),
    ],
)
def test_where_an_entry_is_expected_to_be_filled(kind, side, limit, stop, last, expected):
    assert rules.expected_price(kind, side, limit, stop, last) == expected


def denial(wanted, side=Side.BUY, quantity="1", *, order_types=ALL_TYPES, notional=False, **fields):
    entry = ExpectedEntry(side, D(quantity), D(100))
    try:
        rules.check_protection(
            wanted,
            entry,
            market=market(**fields),
            order_types=order_types,
            exchange="x",
            notional=notional,
        )
    except Denied as denied:
        return denied.code
    return ""


@pytest.mark.parametrize(
    ("wanted", "side", "code"),
    [
        (Protection(stop_loss=at(PERCENT, 5)), Side.BUY, ""),
        (Protection(stop_loss=at(PRICE, 105)), Side.SELL, ""),
        (Protection(stop_loss=at(PRICE, 105)), Side.BUY, "protection_wrong_side"),
        (Protection(stop_loss=at(PRICE, 100)), Side.BUY, "protection_wrong_side"),
        (Protection(stop_loss=at(PRICE, "0.05")), Side.BUY, "protection_wrong_side"),
        (Protection(stop_loss=at(OFFSET, 100)), Side.BUY, "protection_wrong_side"),
        (Protection(breakeven_after=at(PRICE, 99)), Side.BUY, "protection_wrong_side"),
        (Protection(breakeven_after=at(PERCENT, 1)), Side.BUY, ""),
        (takes((10, 100)), Side.BUY, ""),
        (takes((100, 100)), Side.SELL, "protection_wrong_side"),
    ],
)
def test_a_protection_on_the_wrong_side_is_denied(wanted, side, code):
    assert denial(wanted, side) == code


def test_a_protection_outside_of_the_sizes_of_the_market_is_denied():
    stop = Protection(stop_loss=at(PERCENT, 50))

    assert denial(stop, quantity="0.06", notional=True) == "protection_too_small"
    assert denial(stop, quantity="3", market_max_quantity=D(2)) == "protection_too_large"
    assert denial(stop, quantity="3", max_quantity=D(2)) == "protection_too_large"
    assert denial(takes((10, 10)), min_quantity=D("0.2")) == "protection_too_small"


def test_a_stop_needs_an_exchange_with_stops():
    plain = frozenset({OrderType.MARKET, OrderType.LIMIT})

    assert denial(Protection(trailing_stop=at(PERCENT, 5)), order_types=plain) == "protection_unsupported"
    assert denial(takes((10, 100)), order_types=plain) == ""
    assert rules.stop_type(plain | {OrderType.STOP_LIMIT}) is OrderType.STOP_LIMIT


def at_risk(wanted, price=HUNDRED, sign=1):
    return rules.quantity_at_risk(wanted, price, sign=sign, capital=D(1000), risk_per=D(1), market=market())


def test_the_quantity_at_risk_loses_its_percentage_at_the_stop():
    assert at_risk(Protection(stop_loss=at(OFFSET, 3))) == D("3.333")
    assert at_risk(Protection(stop_loss=at(PRICE, 105)), sign=-1) == D(2)


@pytest.mark.parametrize(
    ("wanted", "price", "code"),
    [
        (Protection(), D(100), "risk_needs_stop"),
        (Protection(stop_loss=at(OFFSET, 3)), None, "price_unavailable"),
        (Protection(stop_loss=at(PRICE, 100)), D(100), "protection_wrong_side"),
    ],
)
def test_a_risk_without_a_distance_is_denied(wanted, price, code):
    with pytest.raises(Denied) as denied:
        at_risk(wanted, price)

    assert denied.value.code == code
