"""JSON and decimal text in Binance's notation."""

import dataclasses
import json
from decimal import ROUND_DOWN, Decimal
from typing import Any

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

Json = dict[str, Any]  # a JSON object

EIGHT = Decimal("0.00000001")


def _json_form(value: object) -> Json | str:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def dumps(value: object) -> bytes:
    """Writes a value as JSON. A Decimal becomes a string in plain notation."""
    if orjson:
        return orjson.dumps(value, default=_json_form)
    return json.dumps(value, default=_json_form, separators=(",", ":")).encode()


def loads(raw: bytes | str) -> Any:
    return orjson.loads(raw) if orjson else json.loads(raw)


def decimal_text(value: Decimal) -> str:
    """The exact value, without an exponent or trailing zeros."""
    shown = format(value, "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def eight_places(value: Decimal) -> str:
    return format(value, ".8f")


def fixed_places(value: Decimal, digits: int) -> str:
    return format(value, f".{digits}f")


def floor_to_step(value: Decimal, step: Decimal) -> Decimal:
    """Rounds the value down to a multiple of the step."""
    return (value / step).to_integral_value(ROUND_DOWN) * step
