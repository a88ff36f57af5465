"""Turns the bytes of a POST into objects with lower-case keys, or says where the text cannot be read."""

import re
from codecs import BOM_UTF8
from json import JSONDecodeError

from django.utils.translation import gettext_lazy as _

from webhooks.errors import WebhookError, lazy_phrase
from webhooks.message.json_faults import fault_of, find_double_key
from webhooks.message.key_values import UnreadablePairs, looks_like_pairs, read_pairs
from webhooks.message.strict_json import DECODER, MAX_DEPTH, UNSTORABLE, DoubleKey, is_plain
from webhooks.message.unreadable import unreadable
from webhooks.message.value_faults import fault_of_text

_JSON_SPACE = re.compile(r"[ \t\r\n]+")
Message = dict[str, object]


def decode_body(body: bytes, *, max_bytes: int) -> str:
    """Returns the text without a byte order mark. Raises `payload_too_large`, or `invalid_json` for no UTF-8."""
    if len(body) > max_bytes:
        raise WebhookError("payload_too_large")
    encoded = body.removeprefix(BOM_UTF8)
    try:
        return encoded.decode()
    except UnicodeDecodeError as error:
        text = encoded.decode(errors="replace")
        position = len(encoded[: error.start].decode())
        raise unreadable(text, position, _("a byte that is not UTF-8")) from error


def is_json(text: str) -> bool:
    return text.strip()[:1] in ("{", "[")


def read_text(text: str, *, may_be_pairs: bool = False) -> tuple[Message, ...]:
    """Reads a JSON object, a JSON array of objects, one object per line, or `KEY=VALUE` text.

    Numbers become Decimals. Raises `invalid_json` with the place of the fault for anything else.
    """
    if is_json(text):
        return _read_json(text)
    if not may_be_pairs and not looks_like_pairs(text):
        raise unreadable(text, 0, fault_of_text(text))
    try:
        fields = read_pairs(text)
    except UnreadablePairs as error:
        raise unreadable(text, error.fault.position, error.fault.phrase) from error
    if not fields:
        raise unreadable(text, 0, fault_of_text(text))
    _check_plain(text, fields)
    return (fields,)


def _read_json(text: str) -> tuple[Message, ...]:
    values = _read_values(text)
    if len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    messages = []
    for value in values:
        if not isinstance(value, dict):
            raise unreadable(text, 0, _("a list holds something else than objects"))
        _check_plain(text, value)
        messages.append(value)
    if not messages:
        raise unreadable(text, 0, _("the list is empty"))
    return tuple(messages)


def _read_values(text: str) -> list[object]:
    """Reads values one after another, each on a line of its own."""
    values: list[object] = []
    position = _after_space(text, 0)
    while position < len(text):
        value, end = _read_value(text, position)
        values.append(value)
        position = _after_space(text, end)
        is_next_line = "\n" in text[end:position] and text[position : position + 1] == "{"
        if position < len(text) and not is_next_line:
            fault = fault_of(text, JSONDecodeError("Extra data", text, position))
            raise unreadable(text, fault.position, fault.phrase)
    return values


def _read_value(text: str, position: int) -> tuple[object, int]:
    try:
        return DECODER.raw_decode(text, position)
    except JSONDecodeError as error:
        fault = fault_of(text, error)
        raise unreadable(text, fault.position, fault.phrase) from error
    except DoubleKey as error:
        place = find_double_key(text, position)
        twice, spelled = _("%(field)s is given twice"), _("%(field)s is given twice (in two spellings)")
        phrase = lazy_phrase(spelled if error.in_two_spellings else twice, {"field": error.name})
        raise unreadable(text, place or 0, phrase) from error
    except RecursionError as error:
        raise unreadable(text, position, _too_deep()) from error


def _after_space(text: str, position: int) -> int:
    found = _JSON_SPACE.match(text, position)
    return found.end() if found else position


def _check_plain(text: str, value: object) -> None:
    if is_plain(value, MAX_DEPTH):
        return
    found = UNSTORABLE.search(text)
    if found:
        raise unreadable(text, found.start(), _("a character that cannot be stored"))
    raise unreadable(text, 0, _too_deep())


def _too_deep() -> object:
    return lazy_phrase(_("more than %(levels)s levels of brackets"), {"levels": str(MAX_DEPTH)})
