"""Names the likely fault of a text that is no JSON, from the place where the decoder stopped.

Nothing is repaired: a repaired price is a trade that nobody wrote.
"""

import json
import re
from dataclasses import dataclass
from json import JSONDecodeError

from django.utils.translation import gettext_lazy as _

from webhooks.errors import lazy_phrase, shown_value
from webhooks.message.placeholders import placeholder_around
from webhooks.message.value_faults import fault_of_value

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(?P<colon>\s*:)?|[{}]')
_KEY = re.compile(r'"((?:[^"\\\r\n]|\\.){1,80})"\s{0,20}:')
_NAME_AT = re.compile(r'"([^"\r\n]{1,80})"')
_WORD_AT = re.compile(r"\w{1,40}")
_COMMENT = re.compile(r"//|/\*|#")
_ENTITY = re.compile(r"&(?:quot|#34|#x22|apos|#39|amp);", re.IGNORECASE)
_CURLY = "“”„‟″"
_SPACES = "\u00a0\u200b\u2003\u3000\ufeff"
_CUT = _(
    "the closing brace is missing: the message was cut (limit 4000 characters in the dialog, 40960 from the script)"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """`position` counts characters from 0. `phrase` is translated on reading."""

    position: int
    phrase: object


def fault_of(text: str, error: JSONDecodeError) -> Fault:
    """Returns the likely fault behind a decoder's error."""
    stop = error.pos
    begin = placeholder_around(text, stop)
    if begin is not None:
        return Fault(begin, _("a placeholder was not filled in, and breaks the JSON"))
    return _fault_of_copy(text, stop) or _fault_of_error(text, stop, error.msg)


def _fault_of_copy(text: str, stop: int) -> Fault | None:
    """Looks for characters that come from a web page, a word processor or a program."""
    char = text[stop : stop + 1]
    if _ENTITY.match(text, stop):
        return Fault(stop, _("HTML entities (&quot;) instead of quotes: copied from a web page"))
    if _COMMENT.match(text, stop):
        return Fault(stop, _("a comment: JSON has no comments"))
    if char and char in _SPACES:
        return Fault(stop, _("a space of another kind: copied from a web page or a word processor"))
    curly = stop if char and char in _CURLY else _curly_quote_before(text, stop)
    if curly is not None:
        return Fault(
            curly, _("typographic quotes instead of straight quotes: copied from a word processor or a chat")
        )
    if char in ("'", "‘", "’"):
        return Fault(stop, _("single quotes: JSON needs double quotes"))
    return None


def _curly_quote_before(text: str, stop: int) -> int | None:
    """Returns the typographic quote in the text that ends directly before the stop."""
    if stop == 0 or text[stop - 1] != '"':
        return None
    begin = text.rfind('"', 0, stop - 1) + 1
    return next((place for place in range(begin, stop - 1) if text[place] in _CURLY), None)


def _fault_of_error(text: str, stop: int, message: str) -> Fault:
    if message.startswith("Extra data"):
        return Fault(stop, _fault_after_end(text, stop))
    if message.startswith("Invalid control character"):
        return Fault(stop, _fault_of_control(text, stop))
    if message.startswith("Invalid \\"):
        return Fault(stop, _named(_("a lone backslash inside the text of %(field)s: write \\\\"), text, stop))
    is_cut = not text[stop:].strip() or message.startswith("Unterminated string")
    if is_cut:
        return Fault(stop, _CUT)
    if message.startswith("Expecting ','"):
        return Fault(stop, _fault_of_comma(text, stop))
    if message.startswith("Expecting property name"):
        return _fault_of_property(text, stop)
    if message.startswith("Expecting ':'"):
        return Fault(
            stop, _named(_("a colon is missing after %(field)s"), text, stop, _last_text(text, stop))
        )
    return _fault_of_missing_value(text, stop)


def _fault_after_end(text: str, stop: int) -> object:
    if text[stop] in "{[":
        return _("two objects in a row: put each on its own line or in [ , ]")
    if text[stop] in "}]":
        return _("a closing bracket too many")
    return _("text after the end of the JSON")


def _fault_of_control(text: str, stop: int) -> object:
    if text[stop] in "\r\n":
        phrase = _("a line break inside the text of %(field)s: write \\n, or add the closing quote")
    else:
        phrase = _("a control character inside the text of %(field)s: write \\t for a tab")
    return _named(phrase, text, stop)


def _fault_of_comma(text: str, stop: int) -> object:
    before, char = text[:stop].rstrip()[-1:], text[stop]
    after_text = text[stop - 1] == '"' or (before == '"' and char not in '"{[')
    if after_text and char != '"':
        return _named(
            _('an unescaped quote inside the text of %(field)s: write \\" or take the field out'), text, stop
        )
    if before.isdigit() and (char.isalnum() or char in "._"):
        return _fault_of_number_end(text, stop)
    if char == '"':
        found = _NAME_AT.match(text, stop)
        name = shown_value(found[1]) if found else '"'
        return lazy_phrase(_("a comma is missing before %(field)s"), {"field": name})
    if char in "{[":
        return lazy_phrase(_("a comma is missing before %(field)s"), {"field": char})
    return _("a comma or a closing bracket is missing here")


def _fault_of_number_end(text: str, stop: int) -> object:
    if text[stop].isdigit():
        return _named(_("the number of %(field)s has a leading zero or a space inside"), text, stop)
    return _named(
        _("the number of %(field)s has letters: format.volume writes K, M, B and T; use str.tostring"),
        text,
        stop,
    )


def _fault_of_property(text: str, stop: int) -> Fault:
    before = text[:stop].rstrip()
    comma = len(before) - 1
    char = text[stop]
    if before.endswith(",") and char == "}":
        return Fault(comma, _("a comma after the last field: take the comma out"))
    if before.endswith(",") and before[-2:-1].isdigit() and char.isdigit():
        return Fault(
            comma,
            _(
                "a thousands separator: str.format writes 95,000.5 by default; use str.tostring or"
                " {0,number,#.########}"
            ),
        )
    word = _WORD_AT.match(text, stop)
    if word:
        return Fault(
            stop, lazy_phrase(_("the name %(field)s needs double quotes"), {"field": shown_value(word[0])})
        )
    return Fault(stop, _("the name of a field in double quotes is missing here"))


def _fault_of_missing_value(text: str, stop: int) -> Fault:
    before = text[:stop].rstrip()
    if before.endswith(",") and text[stop] in "]}":
        return Fault(len(before) - 1, _("a comma after the last field: take the comma out"))
    return Fault(stop, fault_of_value(text, stop, field_before(text, stop)))


def field_before(text: str, position: int) -> str:
    """Returns the name of the last field before a position; "" without one."""
    names = _KEY.findall(text, max(0, position - 4000), position)
    return shown_value(names[-1]) if names else ""


def _last_text(text: str, position: int) -> str:
    found = _NAME_AT.findall(text, max(0, position - 200), position)
    return shown_value(found[-1]) if found else ""


def _named(phrase: object, text: str, position: int, field: str = "") -> object:
    name = field or field_before(text, position) or "?"
    return lazy_phrase(phrase, {"field": name})


# A key that appears twice


def find_double_key(text: str, begin: int) -> int | None:
    """Returns where a key of valid JSON appears for the second time, in any spelling; None if no key does."""
    open_objects: list[set[str]] = []
    for token in _TOKEN.finditer(text, begin):
        found = token[0]
        if found == "{":
            open_objects.append(set())
        elif found == "}":
            open_objects.pop()
        elif token["colon"]:
            name = str(json.loads(found[: found.rindex('"') + 1])).lower()
            if name in open_objects[-1]:
                return token.start()
            open_objects[-1].add(name)
    return None
