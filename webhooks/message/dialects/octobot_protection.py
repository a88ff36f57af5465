"""OctoBot's STOP_PRICE and TAKE_PROFIT_PRICE of an entry."""

import re
from decimal import ROUND_DOWN, Decimal

from django.utils.translation import gettext_lazy as _

from webhooks.message.dialects.foreign_fields import ForeignFields
from webhooks.message.dialects.octobot_amounts import read_level
from webhooks.message.strict_json import EXACT

_TAKE_PROFIT = re.compile(r"take_profit_price(_\d{1,3})?")
_RATIO = re.compile(r"take_profit_volume_ratio(_\d{1,3})?")
_MOST = 8
_PORTION_STEP = Decimal("0.0001")
_KEYS = {"": "price", "%": "percent", "d": "offset"}


def read_protection(fields: ForeignFields, side: str) -> dict[str, object]:
    """Returns stop_loss and take_profit as far as the message has them."""
    leg: dict[str, object] = {}
    if (stop := _read_level(fields, "stop_price", sign=-1 if side == "buy" else 1)) is not None:
        leg["stop_loss"] = stop
    prices = _read_prices(fields, sign=1 if side == "buy" else -1)
    ratios = _read_ratios(fields)
    if len(prices) > _MOST:
        raise fields.refuse("take_profit_price", _("an entry takes at most 8 take profits"))
    if ratios and len(ratios) != len(prices):
        raise fields.invalid("take_profit_volume_ratio", ", ".join(str(ratio) for ratio in ratios))
    if prices:
        leg["take_profit"] = _with_portions(prices, ratios)
    return leg


def _read_prices(fields: ForeignFields, *, sign: int) -> list[dict[str, object]]:
    found = (_read_level(fields, name, sign=sign) for name in _names(fields, _TAKE_PROFIT))
    return [level for level in found if level is not None]


def _read_ratios(fields: ForeignFields) -> list[Decimal]:
    found = (fields.positive(name) for name in _names(fields, _RATIO))
    return [ratio for ratio in found if ratio is not None]


def _names(fields: ForeignFields, pattern: re.Pattern[str]) -> list[str]:
    """Returns the names by number, the name without a number first."""
    names = [name for name in fields.layers[0] if pattern.fullmatch(name)]
    return sorted(names, key=lambda name: int(f"0{name.rpartition('_')[2]}") if name[-1].isdigit() else -1)


def _read_level(fields: ForeignFields, name: str, *, sign: int) -> dict[str, object] | None:
    """Reads a price or a distance. Refuses a distance whose sign points to the wrong side of the price."""
    level = read_level(fields, name)
    if level is None:
        return None
    number, unit = level
    distance = EXACT.multiply(number, sign) if unit else number
    if distance <= 0:
        raise fields.invalid(name, f"{number}{unit}")
    return {_KEYS[unit]: distance}


def _with_portions(prices: list[dict[str, object]], ratios: list[Decimal]) -> object:
    """Shares 100 percent by the ratios, or evenly. The last take profit takes what rounding leaves."""
    if len(prices) == 1:
        return prices[0]
    weights = ratios or [Decimal(1)] * len(prices)
    total = sum(weights, Decimal(0))
    portions = [
        (EXACT.divide(EXACT.multiply(weight, Decimal(100)), total)).quantize(_PORTION_STEP, ROUND_DOWN)
        for weight in weights[:-1]
    ]
    portions.append(Decimal(100) - sum(portions, Decimal(0)))
    return [
        {**price, "portion": portion.normalize()} for price, portion in zip(prices, portions, strict=True)
    ]
