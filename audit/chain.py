"""The chain of the audit trail: each entry's hash covers the entry before, so a missing or changed entry shows."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

START = "0" * 64  # the hash before the first entry

Json = str | int | bool | None | list["Json"] | dict[str, "Json"]


def hash_of(fields: Mapping[str, Any], previous: str) -> str:
    """SHA-256 in hex over the entry's fields and the hash of the entry before."""
    covered = {**{name: plain_value(value) for name, value in fields.items()}, "previous": previous}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def plain_value(value: Any) -> Json:
    """The value as JSON that every database returns unchanged: a number with a fraction becomes a text."""
    match value:
        case Enum():
            return plain_value(value.value)
        case None | bool() | int():
            return value
        case Decimal():
            return f"{value.normalize():f}"
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case Mapping():
            return {_text(key): plain_value(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            items = [plain_value(item) for item in value]
            return sorted(items, key=str) if isinstance(value, set | frozenset) else items
        case _:
            return _text(value)


def _text(value: object) -> str:
    """PostgreSQL keeps neither NUL nor half of a surrogate pair. A stored reason stays untranslated."""
    text = str.__str__(value) if isinstance(value, str) else str(value)
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")
