"""OctoBot's notation of volumes and prices. Source: OctoBot, script_keywords (amount.py, price.py, quantity.py)."""

import re
from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from webhooks.message.dialects.foreign_fields import ForeignFields
from webhooks.message.strict_json import decimal_of

_VOLUME = re.compile(r"(?P<before>[+-]?[0-9.eE+-]{1,64}?)(?P<unit>[a-z%]{0,3})", re.IGNORECASE)
_PRICE = re.compile(r"(?P<mark>@?)(?P<number>[+-]?[0-9.]{1,64})(?P<unit>d|%|)", re.IGNORECASE)
_PERCENTS = {"%", "a%", "%a"}
_POSITION = {"p", "p%", "%p"}
_HOLDINGS = {"s%", "%s", "t%", "%t", "s", "t"}


def read_volume(fields: ForeignFields) -> dict[str, object]:
    """Reads VOLUME as the size of a leg. A percent of the balance is without leverage."""
    text = str(fields.get("volume") or "").replace(" ", "")
    if not text:
        raise fields.error("missing_field", field="volume")
    found = _VOLUME.fullmatch(text)
    number = decimal_of(found["before"]) if found else None
    if found is None or number is None or number <= 0:
        raise fields.invalid("volume", text)
    return _size_of(fields, number, found["unit"].lower())


def _size_of(fields: ForeignFields, number: Decimal, unit: str) -> dict[str, object]:
    if unit in ("", "b"):
        return {"qty": number}
    if unit == "q":
        return {"quote_qty": number}
    if unit in _PERCENTS:
        return {"qty_per": number, "levered": False}
    if unit in _POSITION:
        return {"qty_per": number.copy_negate()}
    if unit in _HOLDINGS:
        raise fields.refuse("volume", _("a percent of the pair's holdings has no counterpart here"))
    raise fields.invalid("volume", f"{number}{unit}")


def read_price(fields: ForeignFields, name: str, *, order_type: str) -> object:
    """Reads the price that an order type needs: a number, or the text of a distance from the current price."""
    level = read_level(fields, name)
    if level is None:
        code = f"{name}_required"
        raise fields.error(code, order_type=order_type)
    number, unit = level
    if not unit and number <= 0:
        raise fields.invalid(name, number)
    return (
        f"{number:+f}{unit}" if unit else number
    )  # our own reader wants the sign, which OctoBot may leave out


def read_level(fields: ForeignFields, name: str) -> tuple[Decimal, str] | None:
    """Returns number and unit of a price: "" is a price, "%" and "d" are signed distances from the current price."""
    value = fields.get(name)
    if value is None:
        return None
    text = str(value).replace(" ", "")
    found = _PRICE.fullmatch(text)
    number = decimal_of(found["number"]) if found else None
    if found is not None and number is not None:
        if found["mark"] and found["unit"]:
            raise fields.invalid(name, text)
        return number, found["unit"].lower()
    if text[:1] in ("e", "E") or text[-1:] in ("q", "Q"):
        raise fields.refuse(name, _("a price is a number, or relative to the current price only"))
    raise fields.invalid(name, text)
