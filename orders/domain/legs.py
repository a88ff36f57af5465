"""What a delivery asks for, before anyone knows for which accounts."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from exchanges.enums import OrderType, Side
from orders.domain.enums import CancelType, LegType


@dataclass(frozen=True, slots=True)
class Leg:
    """One entry of a delivery's `orders`, checked. `index` is its place in the list.

    Exactly one of `qty_per` (percent, or shares for stocks; negative closes) and `qty` (base units or shares) is set
    for the four order types; neither for cancels.
    """

    index: int
    leg_type: LegType
    symbol: str = ""  # as sent; resolved per account
    side: Side | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    qty_per: Decimal | None = None
    qty: Decimal | None = None
    priority: int | None = None
    order_id: str = ""

    @property
    def is_cancel(self) -> bool:
        return isinstance(self.leg_type, CancelType)

    @property
    def is_closing(self) -> bool:
        return self.qty_per is not None and self.qty_per < 0


def in_run_order(legs: Iterable[Leg]) -> list[Leg]:
    """Legs as they run: by priority, then those that free or reduce before those that rest, then as listed."""
    return sorted(legs, key=_run_key)


def _run_key(leg: Leg) -> tuple[bool, int, bool, int]:
    rests = not (leg.is_cancel or leg.leg_type is OrderType.MARKET or leg.is_closing)
    return (leg.priority is None, leg.priority or 0, rests, leg.index)
