"""Reads single fields of a message that was written for another system."""

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from webhooks.errors import WebhookError, lazy_phrase, shown_value
from webhooks.message.fields import Fields
from webhooks.message.placeholders import holds_placeholder
from webhooks.message.risk_fields import changes_risk

NO_COUNTERPART = _("this service has no counterpart")


class ForeignFields(Fields):
    """Fields by lower-case name. Notes which fields were read, and collects warnings.

    `path` is the name of the object that holds the fields, for nested objects. A literal placeholder in a field that is
    read raises `placeholder_not_filled`.
    """

    def __init__(
        self, fields: Mapping[str, object], *, path: str = "", warnings: list[str] | None = None
    ) -> None:
        super().__init__(fields)
        self.path = path
        self.warnings: list[str] = [] if warnings is None else warnings
        self._read: set[str] = set()

    def get(self, *names: str) -> object | None:
        self._read.update(names)
        value = super().get(*names)
        if holds_placeholder(value):
            raise self.invalid(names[0], value)
        return value

    def has(self, name: str) -> bool:
        """Whether the message has the key, also with a value that counts as absent."""
        return name in self.layers[0]

    def error(self, code: str, **params: object) -> WebhookError:
        if "field" in params:
            params["field"] = f"{self.path}{params['field']}"
        return super().error(code, **params)

    def text(self, name: str) -> str:
        """Returns a short text or a number as text; "" if absent. Raises `missing_field` never."""
        return self.name(name)

    def required_text(self, name: str) -> str:
        text = self.name(name)
        if not text:
            raise self.error("missing_field", field=name)
        return text

    def word(self, name: str, words: Collection[str], *, code: str = "invalid_number") -> str:
        """Returns the value in lower case, which is one of `words`; "" if absent."""
        value = self.get(name)
        if value is None:
            return ""
        if str(value).lower() not in words:
            raise self.invalid(name, value, code=code)
        return str(value).lower()

    def required_positive(self, name: str) -> Decimal:
        number = self.positive(name)
        if number is None:
            raise self.error("missing_field", field=name)
        return number

    def label(self, name: str) -> str:
        """Returns a label as a tag: at most 64 printable characters."""
        return shown_value(self.get(name) or "", MAX_TAG)

    def nested(self, name: str) -> "ForeignFields | None":
        """Returns the fields of an object; None if absent. Refuses any other value."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.invalid(name, value)
        return ForeignFields(value, path=f"{self.path}{name}.", warnings=self.warnings)

    def skip(self, *names: str) -> None:
        """Marks fields that mean nothing here and need no warning."""
        self._read.update(names)

    def warn(self, phrase: object, **params: object) -> None:
        shown = {name: shown_value(value) for name, value in params.items()}
        self.warnings.append(lazy_phrase(phrase, shown))

    def refuse(self, name: str, reason: object = NO_COUNTERPART) -> WebhookError:
        return self.error("unsupported_field", field=name, reason=reason)

    def refuse_given(self, *names: str, reason: object = NO_COUNTERPART, is_entry: bool = True) -> None:
        """Refuses an entry with one of these fields. An exit or a cancel goes on with a warning."""
        for name in names:
            if _says_nothing(self.get(name)):
                continue
            if is_entry:
                raise self.refuse(name, reason)
            self.warn(_("%(field)s was ignored."), field=f"{self.path}{name}")

    def finish(self, *, is_entry: bool) -> None:
        """Refuses an entry with an unread field that would change risk; warns of other unread fields."""
        unread = list(self._unread())
        self.refuse_given(*(name for name in unread if changes_risk(name)), is_entry=is_entry)
        others = [shown_value(self.path + name) for name in unread if not changes_risk(name)]
        if others:
            self.warn(_("Unknown fields were ignored: %(fields)s"), fields=", ".join(others))

    def _unread(self) -> Iterator[str]:
        for name, value in self.layers[0].items():
            if name not in self._read and not _says_nothing(value):
                yield name


MAX_TAG = 64


def _says_nothing(value: object) -> bool:
    return value is None or value is False or str(value).strip().lower() in ("", "nan", "false")
