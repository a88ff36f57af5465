"""Protective exits: the prices and quantities that protect a position, and the check of an entry that asks for them.

Prices count from the average price of the account's own position. `sign` is 1 for a long position and -1 for a short
one. Stop prices are rounded away from the market, so that no rounding triggers a stop early; take profits are rounded
to the better price.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from exchanges.adapters.protocol import MarketSpec
from exchanges.amounts import ceil_to_step, exact, floor_to_step, plain, round_to_tick
from exchanges.enums import OrderType, Side
from orders.domain.exits import smallest_tradable
from orders.domain.reasons import Denied
from orders.domain.terms import Distance, DistanceKind, Protection

STOP = 0  # the step of the stop; take profits have the steps 1 to 8
_PERCENT = Decimal(100)
_NOTHING = Decimal(0)
_STOP_LIMIT_PERCENT = Decimal(5)  # the limit of a stop-limit behind its stop, where no stop-market exists


@dataclass(frozen=True, slots=True)
class TakeProfitStep:
    """A take profit on the tick and the lot. `step` counts from 1 in the order of the sender."""

    step: int
    price: Decimal
    quantity: Decimal


@exact
def price_at(distance: Distance, average: Decimal, direction: int) -> Decimal:
    """Returns the price of a distance: `direction` 1 counts upwards from the average, -1 downwards."""
    if distance.kind is DistanceKind.PRICE:
        return distance.value
    if distance.kind is DistanceKind.OFFSET:
        return average + direction * distance.value
    return average * (_PERCENT + direction * distance.value) / _PERCENT


def better_of(best: Decimal | None, last: Decimal | None, sign: int) -> Decimal | None:
    """Returns the better price for the position, of those that are known."""
    if best is None or last is None:
        return last if best is None else best
    return max(best, last) if sign > 0 else min(best, last)


@exact
def stop_price(
    protection: Protection, sign: int, *, average: Decimal, best: Decimal | None, tick: Decimal
) -> Decimal | None:
    """Returns where the stop belongs now, on the tick: the tightest of stop loss, trailing stop and breakeven.

    `best` is the best price since the position is protected. None without a stop, or before breakeven is reached.
    """
    prices = [price_at(distance, average, -sign) for distance in (protection.stop_loss,) if distance]
    reached = better_of(average, best, sign)
    assert reached is not None
    if protection.trailing_stop is not None:
        prices.append(price_at(protection.trailing_stop, reached, -sign))
    if protection.breakeven_after is not None:
        after = price_at(protection.breakeven_after, average, sign)
        prices += [average] if (reached - after) * sign >= 0 else []
    if not prices:
        return None
    return away_from_market(max(prices) if sign > 0 else min(prices), sign, tick)


def away_from_market(price: Decimal, sign: int, tick: Decimal) -> Decimal:
    """Rounds a stop price to the tick: down for a long position, up for a short one."""
    return floor_to_step(price, tick) if sign > 0 else ceil_to_step(price, tick)


@exact
def limit_behind(stop: Decimal, sign: int, tick: Decimal) -> Decimal:
    """Returns the limit price of a stop-limit: 5 percent behind the stop, where the exchange knows no stop-market."""
    return away_from_market(stop * (_PERCENT - sign * _STOP_LIMIT_PERCENT) / _PERCENT, sign, tick)


def is_tighter(new: Decimal, old: Decimal, sign: int) -> bool:
    return (new - old) * sign > 0


def has_passed(last: Decimal | None, price: Decimal, sign: int) -> bool:
    """Whether the last price is at the price, or beyond in the direction `sign`."""
    return last is not None and (last - price) * sign >= 0


@exact
def take_profit_steps(
    protection: Protection, sign: int, *, average: Decimal, size: Decimal, market: MarketSpec, notional: bool
) -> list[TakeProfitStep]:
    """Returns the take profits of a position, the nearest first. The sum of the quantities never exceeds `size`.

    Portions are cut to the lot by the largest remainder. A step below the exchange's minimum joins the next farther
    step, and the farthest one joins the step before; steps that are together below the minimum are left out.
    `notional`: the exchange checks the notional of exits.
    """
    side = Side.SELL if sign > 0 else Side.BUY
    quantities = _split(size, [step.portion for step in protection.take_profits], market.lot_size)
    steps = [
        TakeProfitStep(
            number, round_to_tick(price_at(tp.at, average, sign), market.tick_size, side), quantity
        )
        for number, (tp, quantity) in enumerate(
            zip(protection.take_profits, quantities, strict=True), start=1
        )
    ]
    steps.sort(key=lambda step: (step.price * sign, step.step))
    return _merge_small(steps, market, notional=notional)


def _split(size: Decimal, portions: Sequence[Decimal], lot: Decimal) -> list[Decimal]:
    """Splits the portions (percent) of a size into multiples of the lot by the largest remainder."""
    exact_shares = [size * portion / _PERCENT for portion in portions]
    shares = [floor_to_step(share, lot) for share in exact_shares]
    left = floor_to_step(sum(exact_shares, _NOTHING), lot) - sum(shares, _NOTHING)
    by_remainder = sorted(range(len(shares)), key=lambda i: exact_shares[i] - shares[i], reverse=True)
    extra = int(left / lot) if lot > 0 else 0
    for index in by_remainder[:extra]:
        shares[index] += lot
    return shares


def _merge_small(
    steps: Sequence[TakeProfitStep], market: MarketSpec, *, notional: bool
) -> list[TakeProfitStep]:
    merged: list[TakeProfitStep] = []
    carried = _NOTHING
    for step in steps:
        quantity = step.quantity + carried
        if quantity < smallest_tradable(market, step.price, checks_notional=notional):
            carried = quantity
            continue
        merged.append(TakeProfitStep(step.step, step.price, quantity))
        carried = _NOTHING
    if carried and merged:
        last = merged.pop()
        merged.append(TakeProfitStep(last.step, last.price, last.quantity + carried))
    return merged


@dataclass(frozen=True, slots=True)
class ExpectedEntry:
    """An entry before sending. `price` is where the entry is expected to be filled."""

    side: Side
    quantity: Decimal
    price: Decimal


def expected_price(
    order_type: OrderType, side: Side, limit: Decimal | None, stop: Decimal | None, last: Decimal | None
) -> Decimal | None:
    """Returns the price at which an entry is expected to be filled; None where no price is known.

    A limit order that the market has passed already is filled at the market's price.
    """
    if order_type.needs_stop_price:
        return limit or stop
    if limit is None or last is None:
        return limit or last
    return better_of(limit, last, -side.sign)


@exact
def check_protection(
    protection: Protection,
    entry: ExpectedEntry,
    *,
    market: MarketSpec,
    order_types: frozenset[OrderType],
    exchange: str,
    notional: bool,
) -> None:
    """Raises Denied for an entry that cannot be protected as asked, at the price where the entry is expected."""
    sign = entry.side.sign
    if wants_stop(protection) and stop_type(order_types) is None:
        raise Denied("protection_unsupported", {"exchange": exchange})
    _check_levels(protection, entry, market)
    stop = stop_price(protection, sign, average=entry.price, best=None, tick=market.tick_size)
    if stop is not None:
        _check_level("stop_loss", stop, entry, market, direction=-sign)
        _check_stop_quantity(entry, stop, market, notional=notional)
    if protection.take_profits and not take_profit_steps(
        protection, sign, average=entry.price, size=entry.quantity, market=market, notional=notional
    ):
        raise _too_small(entry, market, entry.price, notional=notional)


def _check_levels(protection: Protection, entry: ExpectedEntry, market: MarketSpec) -> None:
    sign = entry.side.sign
    if protection.stop_loss is not None:
        level = price_at(protection.stop_loss, entry.price, -sign)
        _check_level("stop_loss", level, entry, market, direction=-sign)
    if protection.breakeven_after is not None:
        level = price_at(protection.breakeven_after, entry.price, sign)
        _check_level("breakeven_after", level, entry, market, direction=sign)
    for step in protection.take_profits:
        level = price_at(step.at, entry.price, sign)
        _check_level("take_profit", level, entry, market, direction=sign)


def wants_stop(protection: Protection) -> bool:
    return any((protection.stop_loss, protection.trailing_stop, protection.breakeven_after))


def stop_type(order_types: frozenset[OrderType]) -> OrderType | None:
    """The order type of a stop: a stop-market, else a stop-limit, else none."""
    return next((kind for kind in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT) if kind in order_types), None)


def _check_level(
    name: str, level: Decimal, entry: ExpectedEntry, market: MarketSpec, *, direction: int
) -> None:
    if level <= 0 or (level - entry.price) * direction <= 0:
        numbers = {"symbol": market.symbol, "price": _short(level), "reference": _short(entry.price)}
        raise Denied("protection_wrong_side", {"field": name, **numbers})


def _check_stop_quantity(entry: ExpectedEntry, stop: Decimal, market: MarketSpec, *, notional: bool) -> None:
    largest = market.market_max_quantity or market.max_quantity
    if largest is not None and entry.quantity > largest:
        numbers = {"symbol": market.symbol, "quantity": _short(entry.quantity), "maximum": _short(largest)}
        raise Denied("protection_too_large", numbers)
    if entry.quantity < smallest_tradable(market, stop, checks_notional=notional):
        raise _too_small(entry, market, stop, notional=notional)


def _too_small(entry: ExpectedEntry, market: MarketSpec, price: Decimal, *, notional: bool) -> Denied:
    needed = ceil_to_step(smallest_tradable(market, price, checks_notional=notional), market.lot_size)
    numbers = {"symbol": market.symbol, "quantity": _short(entry.quantity), "needed": _short(needed)}
    return Denied("protection_too_small", numbers)


@exact
def quantity_at_risk(
    protection: Protection,
    entry_price: Decimal | None,
    *,
    sign: int,
    capital: Decimal,
    risk_per: Decimal,
    market: MarketSpec,
) -> Decimal:
    """Returns the quantity of which the stop costs `risk_per` percent of the capital, on the lot. Raises Denied."""
    if protection.stop_loss is None:
        raise Denied("risk_needs_stop")
    if entry_price is None:
        raise Denied("price_unavailable", {"symbol": market.symbol})
    distance = (entry_price - price_at(protection.stop_loss, entry_price, -sign)) * sign
    if distance <= 0:
        entry = ExpectedEntry(Side.BUY if sign > 0 else Side.SELL, _NOTHING, entry_price)
        _check_levels(protection, entry, market)
    return floor_to_step(capital * risk_per / (_PERCENT * distance), market.lot_size)


def _short(number: Decimal) -> str:
    return plain(floor_to_step(number, Decimal(1).scaleb(-18)))
