"""Finds placeholders that the sender's system left as typed."""

import re

_PLACEHOLDER = re.compile(r"\{\{[^{}]{0,200}\}\}")


def holds_placeholder(value: object) -> bool:
    """Whether a text holds a literal `{{...}}`."""
    return isinstance(value, str) and _PLACEHOLDER.search(value) is not None


def placeholder_around(text: str, position: int) -> int | None:
    """Returns where the placeholder around a position begins, or None."""
    begin = text.rfind("{{", 0, position + 2)
    found = _PLACEHOLDER.match(text, begin) if begin >= 0 else None
    return begin if found and position <= found.end() else None
