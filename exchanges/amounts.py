"""Exact arithmetic on amounts, and rounding to an exchange's lots and ticks.

No function of this module depends on the thread's decimal context, because ccxt changes the thread's context.
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

# A product of three amounts of 38 digits fits. Quotients are cut after the last digit, never rounded up.
EXACT = Context(prec=120, rounding=ROUND_DOWN)

P = ParamSpec("P")
R = TypeVar("R")


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Runs the function under the context EXACT, whatever context the thread has."""

    @wraps(function)
    def under_own_context(*args: P.args, **kwargs: P.kwargs) -> R:
        if getcontext().prec == EXACT.prec:  # only EXACT has so many digits: the caller runs under EXACT
            return function(*args, **kwargs)
        with localcontext(EXACT):
            return function(*args, **kwargs)

    return under_own_context


def plain(value: Decimal) -> str:
    """The shortest decimal notation without an exponent: 5.20 -> '5.2', 1E+2 -> '100'."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def floor_to_step(value: Decimal, step: Decimal) -> Decimal:
    """Rounds the value down to a multiple of the step. A step of 0 or below leaves the value as it is."""
    return _on_grid(value, step, ROUND_FLOOR)


def ceil_to_step(value: Decimal, step: Decimal) -> Decimal:
    """Rounds the value up to a multiple of the step."""
    return _on_grid(value, step, ROUND_CEILING)


def round_to_tick(price: Decimal, tick: Decimal, side: Side) -> Decimal:
    """Rounds a limit price to the tick, never to a worse price: down for a buy, up for a sell."""
    return _on_grid(price, tick, ROUND_FLOOR if side is Side.BUY else ROUND_CEILING)


def nearest_tick(price: Decimal, tick: Decimal) -> Decimal:
    """Rounds a stop price to the nearest tick; halves go up."""
    return _on_grid(price, tick, ROUND_HALF_UP)


@exact
def to_contracts(quantity: Decimal, contract_size: Decimal) -> Decimal:
    """Converts base units to contracts. A quantity on the market's lot (in base units) divides without a remainder."""
    return quantity / contract_size


@exact
def from_contracts(contracts: Decimal, contract_size: Decimal) -> Decimal:
    return contracts * contract_size


@exact
def _on_grid(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    if step <= 0:
        return value
    return (value / step).to_integral_value(rounding) * step
