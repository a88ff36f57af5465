"""Reads the JSON of senders such as TradingView without floats, without ambiguity and with bounded work."""

import hashlib
import json
import re
from decimal import Context, Decimal

from webhooks.errors import shown_value

NOT_A_NUMBER = "NaN"
MAX_DEPTH = 8
MAX_DIGITS = 40
MAX_EXPONENT = 30
MAX_LITERAL = 64  # characters: room for sign, digits, point and exponent of the longest accepted number
HIGHEST, LOWEST = 19, -18  # powers of ten of a number's first digit, as far as money columns store numbers
EXACT = Context(prec=2 * MAX_DIGITS)  # libraries change the thread's own context

_DECIMAL = re.compile(r"[+-]?(?P<digits>\d+\.?\d*|\.\d+)(?:[eE](?P<exponent>[+-]?\d{1,9}))?", re.ASCII)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
UNSTORABLE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])|\x00")  # the same characters, as JSON text writes them


class DoubleKey(ValueError):
    """A key that appears twice in one object, also in two spellings."""

    def __init__(self, name: str, *, in_two_spellings: bool) -> None:
        super().__init__(name)
        self.name = name
        self.in_two_spellings = in_two_spellings


def decimal_of(text: str) -> Decimal | None:
    """Returns the number in a text, or None for a text that is no number or a number that is out of bounds.

    Bounds: 40 digits, an exponent of 30, below 10^20 and, unless zero, at least 10^-18, without regard to the sign.
    """
    match = _DECIMAL.fullmatch(text) if len(text) <= MAX_LITERAL else None
    if match is None or len(match["digits"]) > MAX_DIGITS:
        return None
    if abs(int(match["exponent"] or 0)) > MAX_EXPONENT:
        return None
    number = Decimal(text)
    return None if number and not LOWEST <= number.adjusted() <= HIGHEST else number


def fingerprint_of(fields: object) -> str:
    """Returns the SHA-256 of the fields of one message, or of a list of messages.

    Order and case of keys, spaces, and the spelling of numbers do not matter.
    """
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), default=_canonical_number)
    return hashlib.sha256(canonical.encode()).hexdigest()


def is_plain(value: object, depth: int) -> bool:
    """Whether a parsed value has at most `depth` levels, and only characters that a database can store."""
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is None
    if isinstance(value, dict):
        return depth > 0 and all(is_plain(part, depth - 1) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return depth > 0 and all(is_plain(part, depth - 1) for part in value)
    return True


def _decimal_or_literal(literal: str) -> Decimal | str:
    number = decimal_of(literal)
    return literal if number is None else number


def _unique_fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name.lower() in fields:
            is_same = sum(1 for other, _value in pairs if other == name) > 1
            raise DoubleKey(shown_value(name.lower()), in_two_spellings=not is_same)
        fields[name.lower()] = value
    return fields


def _canonical_number(number: Decimal) -> str:
    return str(EXACT.normalize(number))


# NaN and Infinity are no JSON, but senders use both: both become text.
DECODER = json.JSONDecoder(
    parse_int=_decimal_or_literal,
    parse_float=_decimal_or_literal,
    parse_constant=str,
    object_pairs_hook=_unique_fields,
)
