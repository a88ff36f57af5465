"""From the bytes of a POST to one message in our own fields, whatever the dialect and the number of objects."""

from dataclasses import dataclass, replace
from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from webhooks.errors import WebhookError
from webhooks.message.bodies import Message, decode_body, is_json, read_text
from webhooks.message.dialects.marks import text_dialect_marked
from webhooks.message.dialects.own_message import OwnMessage
from webhooks.message.dialects.recognition import ENVELOPE, OWN, READERS, read_own_message
from webhooks.message.dialects.unsupported import REASONS, refuse_by_name

_SHARED = tuple(name for name in ENVELOPE if name != "max_lag")


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """`own` is the message in our own fields. `given` are the objects as sent, for the fingerprint."""

    own: OwnMessage
    given: tuple[Message, ...]


def read_message(body: bytes, *, max_bytes: int, dialect: str = "") -> ReadMessage:
    """Reads a body. `dialect` is the default for a message that names no dialect; "" lets the marks decide.

    Raises WebhookError and no other exception.
    """
    text = decode_body(body, max_bytes=max_bytes)
    if not is_json(text):
        _refuse_text_dialect(text, dialect.lower())
    given = read_text(text, may_be_pairs=dialect.lower() == "octobot")
    is_text = not is_json(text)
    messages = [read_own_message(message, default=dialect, is_text=is_text) for message in given]
    return ReadMessage(messages[0] if len(messages) == 1 else _joined(given, messages), given)


def _refuse_text_dialect(text: str, dialect: str) -> None:
    """Refuses text in the notation of a system that is known and not read."""
    name = dialect or text_dialect_marked(text)
    if name in REASONS or (dialect and dialect not in READERS and dialect != OWN):
        raise refuse_by_name(name)


def _joined(given: tuple[Message, ...], messages: list[OwnMessage]) -> OwnMessage:
    """Returns one message with the orders of all objects, in order. The first object speaks for the delivery."""
    first = messages[0]
    _check_agreement(given, messages)
    legs = [leg for message in messages for leg in _legs_of(message)]
    if first.dialect != OWN:  # the objects run one after another, each with its own order inside
        legs = [
            {**leg, "priority": Decimal(index)} if isinstance(leg, dict) else leg
            for index, leg in enumerate(legs)
        ]
    top = {name: first.fields[name] for name in ENVELOPE if name in first.fields}
    return replace(
        first,
        fields={**top, "orders": legs},
        warnings=tuple(dict.fromkeys(warning for message in messages for warning in message.warnings)),
        percent_of_balance=any(message.percent_of_balance for message in messages),
    )


def _check_agreement(given: tuple[Message, ...], messages: list[OwnMessage]) -> None:
    dialects = dict.fromkeys(message.dialect for message in messages)
    if len(dialects) > 1:
        raise WebhookError("ambiguous_dialect", dialects=", ".join(dialects))
    for read in ("market_type", "leverage"):
        if len({getattr(message, read) for message in messages}) > 1:
            raise _disagreement(read)
    first = messages[0].fields
    for sent, message in zip(given[1:], messages[1:], strict=True):
        fields = message.fields if message.dialect == OWN else sent
        for name in _SHARED:
            said = fields.get(name)
            if said not in (None, "", "NaN") and said != first.get(name):
                raise _disagreement(name)


def _disagreement(name: str) -> WebhookError:
    return WebhookError(
        "unsupported_field",
        field=name,
        reason=_("all objects of one delivery must say the same as the first"),
    )


def _legs_of(message: OwnMessage) -> list[object]:
    """Returns the legs of one object, each with the fields that stand at the object's top."""
    entries = message.fields.get("orders")
    if message.dialect != OWN:
        assert isinstance(entries, list)
        return sorted(entries, key=lambda leg: leg.get("priority", 0))
    top = {name: value for name, value in message.fields.items() if name not in (*ENVELOPE, "orders")}
    if entries is None:
        return [top]
    if not isinstance(entries, list):
        raise WebhookError("missing_field", field="orders")
    top.pop("priority", None)
    return [_layered(top, entry) if isinstance(entry, dict) else entry for entry in entries]


def _layered(top: Message, entry: Message) -> Message:
    return {**top, **{name: value for name, value in entry.items() if value not in (None, "")}}
