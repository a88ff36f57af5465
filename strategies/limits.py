"""Risk limits: persons set limits at several levels, and the narrowest level with a value decides. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

LIMIT_NAMES = [
    "max_order_notional", "max_position_notional", "max_price_distance_percent", "max_open_orders",
    "max_orders_per_minute", "max_symbols", "max_daily_loss", "max_drawdown_percent", "max_errors_in_a_row",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """A strategy account's limits. Each value is the strategy account's, else the strategy's, else the system's."""

    max_order_notional: Decimal | None = None
    max_position_notional: Decimal | None = None
    max_price_distance_percent: Decimal | None = None
    max_open_orders: int | None = None
    max_orders_per_minute: int | None = None
    max_symbols: int | None = None
    max_daily_loss: Decimal | None = None
    max_drawdown_percent: Decimal | None = None
    max_errors_in_a_row: int | None = None

    @classmethod
    def of(cls, *levels: Any) -> "Limits":
        """Merges `levels`, which are rows of RiskLimits from the narrowest level to the widest."""
        return cls(**{name: _first_set(getattr(level, name) for level in levels) for name in LIMIT_NAMES})

    def narrowed(self, own: Sequence[Any]) -> "Limits":
        """Adds a narrower level: the values in `own`, in the order of LIMIT_NAMES, win unless None."""
        if all(value is None for value in own):
            return self
        pairs = zip(LIMIT_NAMES, own, strict=True)
        return Limits(*(getattr(self, name) if mine is None else mine for name, mine in pairs))


def _first_set(values: Any) -> Any:
    return next((value for value in values if value is not None), None)
