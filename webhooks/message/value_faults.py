"""Names the likely fault where JSON needs a value, and in a text that is no JSON at all."""

import re

from django.utils.translation import gettext_lazy as _

from webhooks.errors import lazy_phrase, shown_value
from webhooks.message.secrets import REMOVED, is_secret_name

_BARE_POINT = re.compile(r"[+-]?(\.\d{1,30})")
_PLUS = re.compile(r"\+\d")
_WORD = re.compile(r"[^\W\d][\w.-]{0,60}")
_ABSENT = {"na", "nan", "n/a", "none", "undefined", "nil", "inf", "infinity"}
_CONSTANTS = {"true", "false", "null"}


def fault_of_value(text: str, stop: int, field: str) -> object:
    """Returns the fault of a value that begins at `stop`. `field` is the value's name, "" if unknown."""
    point = _BARE_POINT.match(text, stop)
    if point:
        return lazy_phrase(_("a number must start with a digit: %(number)s"), {"number": f"0{point[1]}"})
    if _PLUS.match(text, stop):
        return _("a number must not start with a plus sign")
    word = _WORD.match(text, stop)
    if word:
        return _fault_of_word(REMOVED if is_secret_name(field) else word[0])
    if text[stop] in ",}]":
        return lazy_phrase(_("%(field)s has no value"), {"field": field or "?"})
    return _("a value is missing here: a number, or a text in double quotes")


def _fault_of_word(word: str) -> object:
    shown = {"word": shown_value(word)}
    if word.lower() in _ABSENT:
        return lazy_phrase(_("%(word)s without quotes: a value that does not exist in the script"), shown)
    if word.lower() in _CONSTANTS:
        return lazy_phrase(_("%(word)s in capitals: JSON writes true, false and null"), shown)
    return lazy_phrase(_("text without quotes: %(word)s"), shown)


def fault_of_text(text: str) -> object:
    """Returns the fault of a text that does not begin as JSON."""
    if not text.strip():
        return _(
            "the message is empty: in a strategy alert an order without alert_message sends an empty text for"
            " {{strategy.order.alert_message}}"
        )
    if re.match(r"\s*(?:payload|data|json|body)=", text):
        return _("a form field (payload=...) instead of the JSON itself")
    if "{" in text:
        return _("text before the JSON")
    return _("plain text instead of a JSON object")
