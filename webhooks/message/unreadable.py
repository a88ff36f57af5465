"""Says where a text cannot be read, and the likely fault, and keeps what may be kept of the text."""

import re

from django.utils.translation import gettext_lazy as _

from webhooks.errors import WebhookError, lazy_phrase
from webhooks.message.secrets import scrub_text

MAX_SHOWN_BYTES = 4096
_TOKEN = re.compile(r"t[hr]_[\w-]{4,100}")
_TOKEN_FIELD = re.compile(
    r"""(?i:(?:(?<!\w)|(?<=\\n))(?:user_)?token["'“”]?\s{0,20}[:=])\s{0,20}["'“”]?\s{0,20}(th_[A-Za-z0-9_-]{43})(?![\w-])"""
)
_GROUP = re.compile(
    r"""group_name["'“”]?\s{0,20}[:=]\s{0,20}["'“”]?([^"'“”,;{}\\\r\n\x00]{1,200})""", re.IGNORECASE
)


def unreadable(text: str, position: int, fault: object) -> WebhookError:
    """Returns `invalid_json` with the place of a fault: line and column from 1, in characters of the text."""
    error = WebhookError("invalid_json")
    line, column = place_of(text, position)
    params = {"line": str(line), "column": str(column), "fault": fault}
    error.detail = lazy_phrase(_("line %(line)s, column %(column)s: %(fault)s"), params)
    error.text_shown = shown_text(text)
    token = _TOKEN.search(text)
    error.token_found = token[0] if token else ""
    error.group_found = group_of(text)
    return error


def group_of(text: str) -> str:
    """Returns the group name that a text names first, whether or not the text can be read; else ""."""
    group = _GROUP.search(text)
    return group[1].strip() if group else ""


def tokens_of(text: str) -> set[str]:
    """Returns the webhook tokens that stand in a field `token` of a text, whether or not the text can be read."""
    return set(_TOKEN_FIELD.findall(text))


def place_of(text: str, position: int) -> tuple[int, int]:
    """Returns line and column, both from 1."""
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)


def shown_text(text: str) -> str:
    """Returns the text without secrets, without characters that a database refuses, and at most 4 KiB long."""
    clean = "".join(char if char.isprintable() or char in "\r\n\t" else "?" for char in scrub_text(text))
    return clean.encode()[:MAX_SHOWN_BYTES].decode(errors="ignore")
