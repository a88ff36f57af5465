"""Exact arithmetic on amounts, and the grids that exchanges put them on.

Nothing here depends on the thread's decimal context, which ccxt changes.
"""

from collections.abc import Callable
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
    getcontext,
    localcontext,
)
from functools import wraps
from typing import ParamSpec, TypeVar

from exchanges.enums import Side

# Products of three amounts of 38 digits fit; what is divided is cut, never rounded up.
EXACT = Context(prec=120, rounding=ROUND_DOWN)

P = ParamSpec("P")
R = TypeVar("R")


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Runs a function under a decimal context of its own."""

    @wraps(function)
    def under_own_context(*args: P.args, **kwargs: P.kwargs) -> R:
        if getcontext().prec == EXACT.prec:  # nobody else's has this many digits: called from within
            return function(*args, **kwargs)
        with localcontext(EXACT):
            return function(*args, **kwargs)

    return under_own_context


def plain(value: Decimal) -> str:
    """Shortest decimal notation without an exponent: 5.20 -> '5.2', 1E+2 -> '100'."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def floor_to_step(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of the step that is not above the value; with a step of 0 the value itself."""
    return _on_grid(value, step, ROUND_FLOOR)


def ceil_to_step(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of the step that is not below the value."""
    return _on_grid(value, step, ROUND_CEILING)


def round_to_tick(price: Decimal, tick: Decimal, side: Side) -> Decimal:
    """A limit price on the tick, never worse than asked: down for a buy, up for a sell."""
    return _on_grid(price, tick, ROUND_FLOOR if side is Side.BUY else ROUND_CEILING)


def nearest_tick(price: Decimal, tick: Decimal) -> Decimal:
    """A stop price on the tick; halves go up."""
    return _on_grid(price, tick, ROUND_HALF_UP)


@exact
def to_contracts(quantity: Decimal, contract_size: Decimal) -> Decimal:
    """Base units to contracts. Quantities on a market's lot, which is in base units, divide evenly."""
    return quantity / contract_size


@exact
def from_contracts(contracts: Decimal, contract_size: Decimal) -> Decimal:
    return contracts * contract_size


@exact
def _on_grid(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    if step <= 0:
        return value
    return (value / step).to_integral_value(rounding) * step
