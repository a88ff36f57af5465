"""Reads single fields of a delivery: finds the value, recognizes absent values, and checks the value."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from webhooks.errors import WebhookError, holds_token, shown_value
from webhooks.message.placeholders import holds_placeholder
from webhooks.message.strict_json import EXACT, NOT_A_NUMBER, decimal_of

MAX_TEXT = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS = Decimal(10) ** 11  # the year 5138 in seconds, the year 1973 in milliseconds
_MAX_INTEGER = 2**31 - 1
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class Fields:
    """Fields by lower-case name, the nearest layer first. Every refusal names `leg`.

    `""`, `"NaN"`, NaN and null count as absent. Readers raise WebhookError for an unusable value. For an absent field
    `name` returns "", `flag` returns False, and the other readers return None.
    """

    def __init__(self, *layers: Mapping[str, object], leg: int | None = None) -> None:
        self.layers = layers
        self.leg = leg

    def get(self, *names: str) -> object | None:
        """Returns the value of the first name with a value, from the nearest layer with a value."""
        for name in names:
            for layer in self.layers:
                if not _is_absent(layer.get(name)):
                    return _trimmed_text(layer[name])
        return None

    def nearest(self, name: str) -> object | None:
        """Returns the value from the nearest layer with this key, also a value that counts as absent."""
        return next((layer[name] for layer in self.layers if name in layer), None)

    def error(self, code: str, **params: object) -> WebhookError:
        return WebhookError(code, leg=self.leg, **params)

    def invalid(self, field: str, value: object, *, code: str = "invalid_number") -> WebhookError:
        code = "placeholder_not_filled" if holds_placeholder(value) else code
        return self.error(code, field=field, value=shown_value(value))

    def decimal(self, name: str) -> Decimal | None:
        value = self.get(name)
        number = decimal_of(value) if isinstance(value, str) else value
        if value is not None and not isinstance(number, Decimal):
            raise self.invalid(name, value)
        return number  # type: ignore[return-value]

    def positive(self, name: str) -> Decimal | None:
        number = self.decimal(name)
        if number is not None and number <= 0:
            raise self.invalid(name, number)
        return number

    def integer(self, name: str) -> int | None:
        number = self.decimal(name)
        if number is None:
            return None
        if number != int(number) or number.copy_abs() > _MAX_INTEGER:
            raise self.invalid(name, number)
        return int(number)

    def name(self, *names: str) -> str:
        """Returns a name, which may be a text or a number; "" if absent."""
        value = self.get(*names)
        if value is None:
            return ""
        if not isinstance(value, str | Decimal) or not is_name(str(value)):
            raise self.invalid(names[0], value)
        return str(value)

    def flag(self, name: str) -> bool:
        """Returns a flag, False if absent. Refuses an unknown word, so that no misspelling counts as false."""
        value = self.get(name)
        if value is None:
            return False
        if str(value).lower() not in _FLAGS:
            raise self.invalid(name, value)
        return _FLAGS[str(value).lower()]

    def instant(self, *names: str) -> datetime | None:
        """Reads ISO 8601 (UTC without a zone), or an epoch in seconds or milliseconds. Returns an aware time in UTC."""
        value = self.get(*names)
        if value is None:
            return None
        if not isinstance(value, str | Decimal):
            raise self.invalid(names[0], value)
        try:
            return _parse_instant(str(value))
        except (ValueError, OverflowError) as error:
            raise self.invalid(names[0], value) from error


def is_name(text: str) -> bool:
    """Whether a name may be stored: short, printable, and without a token, which may come in a wrong field."""
    return len(text) <= MAX_TEXT and text.isprintable() and not holds_token(text)


def _is_absent(value: object) -> bool:
    return value is None or _trimmed_text(value) in ("", NOT_A_NUMBER)


def _trimmed_text(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _parse_instant(text: str) -> datetime:
    epoch = decimal_of(text)
    if epoch is not None:
        unit_us = 1_000 if epoch >= _FIRST_MS else 1_000_000
        return _EPOCH + timedelta(microseconds=int(EXACT.multiply(epoch, unit_us)))
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
