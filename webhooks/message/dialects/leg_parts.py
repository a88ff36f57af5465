"""Builds the parts of a leg that several dialects share."""

from collections.abc import Mapping
from decimal import Decimal

from exchanges.enums import OrderType
from webhooks.message.dialects.foreign_fields import ForeignFields

_WHOLE = Decimal(-100)
FIRST, SECOND = Decimal(0), Decimal(1)  # priorities


def cancel_all(symbol: object, **more: object) -> dict[str, object]:
    return {"order_type": "CANCEL_ALL_ORDER", "symbol": symbol, **more}


def full_exit(leg: Mapping[str, object], order: Mapping[str, object]) -> dict[str, object]:
    """Returns the leg that closes the whole position. A limit or a stop price needs a size, which is -100 percent."""
    if order["order_type"] == "MARKET":
        return {**leg, "market_position": "flat"}
    return {**leg, **order, "qty_per": _WHOLE}


def order_of(fields: ForeignFields, order_type: str, names: Mapping[str, str]) -> dict[str, object]:
    """Reads the prices that an order type needs. `names` gives the other system's name for each price field of ours.

    Raises `price_required` or `stop_price_required`: the other systems would take the current price.
    """
    kind = OrderType(order_type)
    needed = {"price": kind.needs_price, "stop_price": kind.needs_stop_price}
    order: dict[str, object] = {"order_type": order_type}
    for ours, theirs in names.items():
        fields.skip(theirs)
        if not needed[ours]:
            continue
        order[ours] = fields.positive(theirs)
        if order[ours] is None:
            raise fields.error(f"{ours}_required", order_type=order_type)
    return order


def only_one(fields: ForeignFields, names: Mapping[str, str]) -> dict[str, object]:
    """Reads exactly one of several exclusive numbers, and returns the number under our name."""
    given = {
        ours: number for theirs, ours in names.items() if (number := fields.positive(theirs)) is not None
    }
    if not given:
        raise fields.error("missing_field", field=next(iter(names)))
    if len(given) > 1:
        raise fields.invalid(
            next(iter(names)), ", ".join(f"{name} {number}" for name, number in given.items())
        )
    return dict(given)
