"""A message in the vocabulary of this service: what every dialect becomes."""

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class OwnMessage:
    """A message in our own vocabulary, before our own reader checks each leg.

    `fields` has lower-case keys; `orders` holds the legs. `percent_of_balance` says that a percent meant equity or free
    balance at the other system. `market_type` is SPOT or FUTURES where the message insists. `leverage` is the number
    that the message names. The caller refuses what the strategy's owner or the accounts do not agree with.
    """

    fields: dict[str, object]
    dialect: str
    warnings: tuple[str, ...] = ()
    percent_of_balance: bool = False
    market_type: str = ""
    leverage: Decimal | None = None


@dataclass(slots=True)
class Translation:
    """What a dialect's reader understood: legs in our own fields, and `top`, fields of the whole message."""

    legs: list[dict[str, object]]
    top: dict[str, object] = field(default_factory=dict)
    percent_of_balance: bool = False
    market_type: str = ""
    leverage: Decimal | None = None


def is_entry_leg(leg: dict[str, object]) -> bool:
    """Whether a translated leg may open or enlarge a position."""
    qty_per = leg.get("qty_per")
    return not (
        str(leg.get("order_type", "")).startswith("CANCEL")
        or leg.get("market_position") == "flat"
        or leg.get("reduce_only") is True
        or (isinstance(qty_per, Decimal) and qty_per < 0)
    )
