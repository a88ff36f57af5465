"""Reads the JSON of the control API. A mistake is refused with a sentence about the mistake."""

from decimal import Decimal, InvalidOperation

from exchanges.paper.engine.catalog import MARKETS, OPENING_PRICES
from exchanges.paper.engine.codec import Json, loads
from exchanges.paper.engine.errors import Refusal

Query = dict[str, list[str]]


def parse_json(body: bytes) -> object:
    try:
        return loads(body) if body else {}
    except ValueError as error:
        raise Refusal(-1104, "The body is not JSON.") from error


def json_object(body: object) -> Json:
    if not isinstance(body, dict):
        raise Refusal(-1104, "The body is not a JSON object.")
    return body


def required_text(asked: Json, name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise Refusal(-1102, f"{name} is missing.")
    return value


def parse_number(name: str, value: object) -> Decimal:
    try:
        parsed = Decimal(str(value))
    except InvalidOperation as error:
        raise Refusal(-1104, f"{name} is not a number: {value}") from error
    if not parsed.is_finite():
        raise Refusal(-1104, f"{name} is not a number: {value}")
    return parsed


def parse_decimal(name: str, value: object) -> Decimal:
    """Reads a number that is zero or more."""
    parsed = parse_number(name, value)
    if parsed < 0:
        raise Refusal(-1104, f"{name} is not a positive number: {value}")
    return parsed


def parse_decimals(body: object) -> dict[str, Decimal]:
    return {name: parse_decimal(name, value) for name, value in json_object(body).items()}


def known_symbol(symbol: str) -> str:
    if symbol not in OPENING_PRICES:
        raise Refusal(-1121, f"Invalid symbol: {symbol}")
    return symbol


def known_kind(kind: object) -> str:
    if not isinstance(kind, str) or kind not in MARKETS:
        raise Refusal(-1104, f"A market is spot or futures: {kind}")
    return kind
