"""Reads `KEY=VALUE` text, as OctoBot's alerts are written."""

import re
from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from webhooks.errors import lazy_phrase, shown_value
from webhooks.message.json_faults import Fault

_SEPARATOR = re.compile(r"[;\r\n]|\\r|\\n")
_KEY = re.compile(r"\w{1,64}")
_OCTOBOT = {"exchange", "symbol", "signal"}
_MAY_HOLD_EQUALS = {"token"}


class UnreadablePairs(Exception):
    """A text of pairs with a fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.position)
        self.fault = fault


def looks_like_pairs(text: str) -> bool:
    """Whether the keys of OctoBot, or the key DIALECT, stand in a text that is no JSON."""
    names = {name.lower() for _position, name, _value, _equals in _pairs(text)}
    return names >= _OCTOBOT or "dialect" in names


def read_pairs(text: str) -> dict[str, object]:
    """Returns the values by lower-case key. A part without `=` is dropped, as OctoBot does.

    Raises UnreadablePairs for a key that comes twice, and for a value with another `=`, whose end OctoBot would drop.
    """
    fields: dict[str, object] = {}
    for position, name, value, equals in _pairs(text):
        if equals is not None and name.lower() not in _MAY_HOLD_EQUALS:
            raise UnreadablePairs(
                Fault(equals, lazy_phrase(_("more than one = after %(field)s"), {"field": shown_value(name)}))
            )
        if name.lower() in fields:
            phrase = _("%(field)s is given twice")
            raise UnreadablePairs(Fault(position, lazy_phrase(phrase, {"field": shown_value(name)})))
        fields[name.lower()] = value
    return fields


def _pairs(text: str) -> Iterator[tuple[int, str, str, int | None]]:
    """Yields position, key, value, and the position of a second `=`, for each part that is a pair."""
    for begin, part in _parts(text):
        name, equals, value = part.partition("=")
        if not equals or not _KEY.fullmatch(name.strip()):
            continue
        place = value.find("=")
        second = None if place < 0 else begin + len(name) + 1 + place
        yield begin + len(name) - len(name.lstrip()), name.strip(), value.strip(), second


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Yields position and text of each part between separators, without quotes around the whole text."""
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    if end - begin > 1 and text[begin] == text[end - 1] == '"':
        begin, end = begin + 1, end - 1
    for separator in _SEPARATOR.finditer(text, begin, end):
        yield begin, text[begin : separator.start()]
        begin = separator.end()
    yield begin, text[begin:end]
