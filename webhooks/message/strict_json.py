"""Reads the JSON of senders such as TradingView without floats, without ambiguity and with bounded work."""

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Context, Decimal

from webhooks.errors import WebhookError

NOT_A_NUMBER = "NaN"
MAX_DEPTH = 8
MAX_DIGITS = 40
MAX_EXPONENT = 30
MAX_LITERAL = 64  # characters: room for sign, digits, point and exponent of the longest accepted number
HIGHEST, LOWEST = 19, -18  # powers of ten of a number's first digit, as far as money columns store numbers
EXACT = Context(prec=2 * MAX_DIGITS)  # libraries change the thread's own context

_DECIMAL = re.compile(r"[+-]?(?P<digits>\d+\.?\d*|\.\d+)(?:[eE](?P<exponent>[+-]?\d{1,9}))?", re.ASCII)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def read_object(body: bytes, *, max_bytes: int) -> dict[str, object]:
    """Returns the body as a dict with lower-case keys. Numbers become Decimals, or stay text where out of bounds.

    NaN and Infinity are no JSON, but senders use both: both become text. Raises WebhookError and no other exception:
    `payload_too_large`, or `invalid_json` for a body that is no JSON object in UTF-8, for a key that appears twice
    (also in two spellings), for too many levels, and for characters that a database cannot store.
    """
    if len(body) > max_bytes:
        raise WebhookError("payload_too_large")
    parsed = _parse_json(body)
    if not isinstance(parsed, dict) or not _is_plain(parsed, MAX_DEPTH):
        raise WebhookError("invalid_json")
    return parsed


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


def fingerprint_of(fields: Mapping[str, object]) -> str:
    """Returns the SHA-256 of the fields. Order and case of keys, spaces, and the spelling of numbers do not matter."""
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), default=_canonical_number)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _parse_json(body: bytes) -> object:
    try:
        return json.loads(
            body.decode("utf-8-sig"),
            parse_int=_decimal_or_literal,
            parse_float=_decimal_or_literal,
            parse_constant=str,
            object_pairs_hook=_unique_fields,
        )
    except (ValueError, RecursionError) as error:
        raise WebhookError("invalid_json") from error


def _decimal_or_literal(literal: str) -> Decimal | str:
    number = decimal_of(literal)
    return literal if number is None else number


def _unique_fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = {name.lower(): value for name, value in pairs}
    if len(fields) != len(pairs):
        raise WebhookError("invalid_json")
    return fields


def _is_plain(value: object, depth: int) -> bool:
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is None
    if isinstance(value, dict):
        return depth > 0 and all(_is_plain(part, depth - 1) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(part, depth - 1) for part in value)
    return True


def _canonical_number(number: Decimal) -> str:
    return str(EXACT.normalize(number))
