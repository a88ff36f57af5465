"""Removes secrets from messages, of this service and of others, before anything is stored or shown."""

import re

REMOVED = "***"
_NAMES = (
    *(
        "secret",
        "password",
        "passphrase",
        "apikey",
        "api_key",
        "api-key",
        "api_secret",
        "apisecret",
        "email_token",
    ),
    *(
        "user_token",
        "token",
        "uuid",
        "license",
        "licence",
        "license_id",
        "licence_id",
        "authorization",
        "private_key",
    ),
)
_SECRET_KEYS = frozenset(_NAMES)
_LONG_CODE = 20  # characters: WunderTrading's `code` is a secret where the code names a bot

_WORDS = "|".join(
    (
        "secret",
        "password",
        "passphrase",
        "api[_-]?key",
        "token",
        "uuid",
        "licen[cs]e",
        "authorization",
        "private_key",
    )
)
_QUOTE = r"""(?:["'“”„‘’]|\\["']|&quot;|&\#34;|&\#39;)"""
_NAMED = re.compile(
    rf"""(?P<name>(?:{_WORDS}|(?<!\w)code)\w{{0,20}}{_QUOTE}?\s{{0,20}}[:=]\s{{0,20}})
        (?P<value>"(?:[^"\\\r\n]|\\.)*|'(?:[^'\\\r\n]|\\.)*|{_QUOTE}?[^"'“”‘’,;\r\n\\&}}]*)""",
    re.IGNORECASE | re.VERBOSE,
)
_NAMED_TO_LINE_END = re.compile(
    rf"(?P<name>(?:{_WORDS}|(?<!\w)code)\w{{0,20}}{_QUOTE}?\s{{0,20}}[:=])(?P<value>[^\r\n]*)", re.IGNORECASE
)
_SHAPES = (
    re.compile(r"(?P<name>t[hr]_)[\w-]{4,}"),
    re.compile(r"(?P<name>eyJ)[\w-]{8,}(?:\.[\w-]*){0,2}"),
    re.compile(r"(?P<name>\A\s*)\d{10,14}(?=,)"),
    re.compile(r"(?P<name>\A\s*(?:enter|exit)-(?:long|short|all))_\S+", re.IGNORECASE),
)


def without_secrets(value: object) -> object:
    """Returns the parsed value without the fields that hold secrets, and with tokens inside texts cut off."""
    if isinstance(value, dict):
        return {
            _cut_shapes(name): without_secrets(part)
            for name, part in value.items()
            if not _is_secret(name, part)
        }
    if isinstance(value, list):
        return [without_secrets(part) for part in value]
    return _cut_shapes(value) if isinstance(value, str) else value


def scrub_text(text: str) -> str:
    """Returns a text that could not be parsed without what may be a secret in it.

    A value ends at the next quote, comma, semicolon or line end; with an odd number of quotes, at the line's end.
    """
    pattern = _NAMED_TO_LINE_END if text.count('"') % 2 or text.count("'") % 2 else _NAMED
    return _cut_shapes(pattern.sub(rf"\g<name>{REMOVED}", text))


def is_secret_name(name: str) -> bool:
    return name.lower() in _SECRET_KEYS


def _is_secret(name: str, value: object) -> bool:
    return is_secret_name(name) or (name.lower() == "code" and len(str(value)) > _LONG_CODE)


def _cut_shapes(text: str) -> str:
    for shape in _SHAPES:
        text = shape.sub(rf"\g<name>{REMOVED}", text)
    return text
