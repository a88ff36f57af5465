"""The legs of a delivery, before the planner assigns the legs to accounts."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from exchanges.enums import OrderType, Side
from orders.domain.enums import CancelType, LegType
from orders.domain.terms import Aim, Terms

_NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Leg:
    """A checked entry of a delivery's `orders`. `index` is the entry's place in the list, from 0.

    A leg of the four order types has one size: `qty_per`, `qty`, a size or a target in `terms`; a flat or shrinking
    position and a cancel need none. `qty_per` is a percentage, or shares for stocks; a negative `qty_per` closes a
    position. `qty` is in base units, or shares for stocks. `tag` is the sender's name for the order.
    A price that is relative to the market's price stands in `terms`, and the leg's own price is empty.
    """

    index: int
    leg_type: LegType
    symbol: str = ""  # as the sender wrote the symbol; each account's exchange resolves the symbol
    side: Side | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    qty_per: Decimal | None = None
    qty: Decimal | None = None
    priority: int | None = None
    order_id: str = ""
    tag: str = ""
    terms: Terms = _NO_TERMS
    symbols: tuple[str, ...] = ()  # of a CANCEL_ALL_ORDER with a list of symbols; `symbol` is empty then

    @property
    def is_cancel(self) -> bool:
        return isinstance(self.leg_type, CancelType)

    @property
    def is_closing(self) -> bool:
        """Whether the leg is an exit whatever is held."""
        is_percent = self.qty_per is not None and self.qty_per < 0
        return is_percent or self.terms.reduce_only or (self.aim is not None and self.aim.is_flat)

    @property
    def aim(self) -> Aim | None:
        return self.terms.aim

    @property
    def may_close(self) -> bool:
        """Whether the leg is an exit, or may turn out to be one: what is held decides at its turn."""
        return self.is_closing or self.aim is not None


def in_run_order(legs: Iterable[Leg]) -> list[Leg]:
    """Returns the legs in run order (SPEC section 8).

    Legs run by `priority`, legs without priority last. Among equals, cancels, MARKET legs and closing legs run before
    legs that rest at the exchange. The list position decides the remaining ties.
    """
    return sorted(legs, key=_run_key)


def _run_key(leg: Leg) -> tuple[bool, int, bool, int]:
    rests = not (leg.is_cancel or leg.leg_type is OrderType.MARKET or leg.is_closing)
    return (leg.priority is None, leg.priority or 0, rests, leg.index)
