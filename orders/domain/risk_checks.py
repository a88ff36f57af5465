"""Checks an order against trading states and limits, from values in memory. Pure."""

from dataclasses import dataclass, field
from decimal import Decimal

from exchanges.amounts import exact, plain
from exchanges.enums import Side, TradingState
from orders.domain.reasons import Denied
from strategies.limits import Limits

_PERCENT = Decimal(100)


@dataclass(frozen=True, slots=True)
class LevelState:
    """The trading state of a level. `scope` is `system`, `strategy`, `account` or `strategy account`."""

    scope: str
    state: str  # a TradingState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OpenRemainder:
    """The part of an open order that may still fill, in base units."""

    symbol: str
    side: Side
    remaining: Decimal


@dataclass(slots=True)
class Exposure:
    """The positions, open orders and recent orders of a strategy account. Dust counts as no symbol."""

    held: dict[str, Decimal] = field(default_factory=dict)  # symbol -> signed quantity
    dust: set[str] = field(default_factory=set)  # symbols held with less than anybody can trade
    open_orders: list[OpenRemainder] = field(default_factory=list)
    orders_last_minute: int = 0

    @property
    def symbols(self) -> set[str]:
        held = {symbol for symbol, quantity in self.held.items() if quantity}
        return (held - self.dust) | {o.symbol for o in self.open_orders}


@dataclass(frozen=True, slots=True)
class Intended:
    """A sized entry before the check. `reference` is the price for the order's value, in quote currency.

    `limit` is the order's own limit price or stop price.
    """

    symbol: str
    quote: str
    side: Side
    quantity: Decimal
    reference: Decimal | None
    limit: Decimal | None
    last_price: Decimal | None
    token_notional: Decimal | None = None  # the most that the sender's token lets the order be worth


def strictest_of(*levels: LevelState) -> LevelState:
    """Returns the level with the strictest trading state; of equally strict levels the first."""
    return max(levels, key=lambda level: TradingState(level.state).strictness)


def check_state(strictest: LevelState, *, is_exit: bool) -> None:
    """Raises Denied (`halted`, `reduce_only`) where the strictest trading state does not let the order out."""
    if strictest.state == TradingState.ACTIVE or (is_exit and strictest.state == TradingState.REDUCE_ONLY):
        return
    code = "halted" if strictest.state == TradingState.HALTED else "reduce_only"
    raise Denied(code, {"scope": strictest.scope, "reason": strictest.reason})


@exact
def check_coins(symbol: str, quantity: Decimal, *, held: Decimal, selling: Decimal) -> None:
    """Raises Denied where a spot entry would sell coins that the strategy account does not hold.

    `held` is the position, `selling` what the open sell orders of the strategy account still sell; base units.
    """
    left = held - selling
    if quantity > left:
        params = {"symbol": symbol, "quantity": plain(quantity), "held": plain(max(left, Decimal(0)))}
        raise Denied("not_enough_coins", params)


@exact
def check_limits(order: Intended, limits: Limits, exposure: Exposure) -> None:
    """Raises Denied, with the limit and the value, where an entry goes beyond a limit."""
    _check_counts(order, limits, exposure)
    _check_notional(order, limits, exposure)
    _check_price_distance(order, limits)


def _check_counts(order: Intended, limits: Limits, exposure: Exposure) -> None:
    open_count = len(exposure.open_orders)
    _require_room("max_open_orders", open_count, limits.max_open_orders)
    _require_room("max_orders_per_minute", exposure.orders_last_minute, limits.max_orders_per_minute)
    if order.symbol not in exposure.symbols:
        _require_room("max_symbols", len(exposure.symbols), limits.max_symbols)


def _require_room(code: str, count: int, limit: int | None) -> None:
    """Raises Denied when the limit leaves no room for a further order or symbol."""
    if limit is not None and count >= limit:
        raise Denied(code, {"count": str(count), "limit": str(limit)})


def _check_notional(order: Intended, limits: Limits, exposure: Exposure) -> None:
    if order.token_notional is not None:
        notional = order.quantity * _reference_of(order)
        _require_notional_within("token_notional", order, notional, order.token_notional)
    if limits.max_order_notional is not None:
        notional = order.quantity * _reference_of(order)
        _require_notional_within("max_order_notional", order, notional, limits.max_order_notional)
    if limits.max_position_notional is not None:
        notional = abs(_worst_position(order, exposure)) * _reference_of(order)
        _require_notional_within("max_position_notional", order, notional, limits.max_position_notional)


def _worst_position(order: Intended, exposure: Exposure) -> Decimal:
    """Returns the signed position in case this order and every open order of the same symbol and side fill."""
    same_side = [
        o.remaining for o in exposure.open_orders if (o.symbol, o.side) == (order.symbol, order.side)
    ]
    added = order.quantity + sum(same_side, Decimal(0))
    return exposure.held.get(order.symbol, Decimal(0)) + order.side.sign * added


def _reference_of(order: Intended) -> Decimal:
    if not order.reference:
        raise Denied("price_unavailable", {"symbol": order.symbol})
    return order.reference


def _require_notional_within(code: str, order: Intended, notional: Decimal, limit: Decimal) -> None:
    if notional > limit:
        raise Denied(code, {"notional": plain(notional), "limit": plain(limit), "quote": order.quote})


def _check_price_distance(order: Intended, limits: Limits) -> None:
    allowed = limits.max_price_distance_percent
    if allowed is None or order.limit is None:
        return
    if not order.last_price:
        raise Denied("price_unavailable", {"symbol": order.symbol})
    distance = abs(order.limit - order.last_price) * _PERCENT / order.last_price
    if distance > allowed:
        raise Denied(
            "max_price_distance",
            {
                "price": plain(order.limit),
                "last_price": plain(order.last_price),
                "distance": plain(distance.quantize(Decimal("0.01"))),
                "limit": plain(allowed),
            },
        )
