"""Decides which dialect a message is written in, and translates the message into our own fields."""

from collections.abc import Callable, Mapping

from django.utils.translation import gettext_lazy as _

from webhooks.errors import WebhookError
from webhooks.message.dialects import marks
from webhooks.message.dialects.foreign_fields import ForeignFields
from webhooks.message.dialects.octobot import read_octobot
from webhooks.message.dialects.openalgo import read_openalgo
from webhooks.message.dialects.openalgo_strategy import read_openalgo_strategy
from webhooks.message.dialects.own_message import OwnMessage, Translation, is_entry_leg
from webhooks.message.dialects.own_reading import read_own
from webhooks.message.dialects.poabot import read_poabot, without_commas
from webhooks.message.dialects.three_commas import read_three_commas
from webhooks.message.dialects.traderspost import read_traderspost
from webhooks.message.dialects.unsupported import refuse_by_name
from webhooks.message.fields import Fields

OWN = "own"
ENVELOPE = ("group_name", "token", "id", "alert_id", "timestamp", "timenow", "max_lag", "dry_run", "dialect")
READERS: Mapping[str, Callable[[ForeignFields], Translation]] = {
    "traderspost": read_traderspost,
    "3commas": read_three_commas,
    "octobot": read_octobot,
    "poabot": read_poabot,
    "openalgo": read_openalgo,
    "openalgo-strategy": read_openalgo_strategy,
}


def read_own_message(
    message: Mapping[str, object], *, default: str = "", is_text: bool = False
) -> OwnMessage:
    """Translates the fields of a JSON object or of key=value text, which have lower-case keys.

    The message's `dialect`, or else `default`, decides. Without both, the marks of exactly one dialect decide; a
    message without marks is in our own fields. No dialect is tried after another.
    Text of pairs (`is_text`) without a named dialect is OctoBot's.
    """
    named = named_dialect(message) or default.lower()
    dialect = named or ("octobot" if is_text else _dialect_by_marks(message))
    if dialect == OWN:
        return OwnMessage(read_own(message), OWN)
    if dialect not in READERS:
        raise refuse_by_name(dialect)
    return _translate(message, dialect, is_guess=not named)


def named_dialect(message: Mapping[str, object]) -> str:
    return Fields(message).name("dialect").lower()


def _dialect_by_marks(message: Mapping[str, object]) -> str:
    found = marks.dialects_marked(message)
    if len(found) > 1:
        raise WebhookError("ambiguous_dialect", dialects=", ".join(found))
    if not found and marks.is_strategy_webhook(message):
        raise WebhookError("ambiguous_dialect", dialects="openalgo-strategy: LONG, SHORT, BOTH")
    return found[0] if found else OWN


def _translate(message: Mapping[str, object], dialect: str, *, is_guess: bool) -> OwnMessage:
    fields = ForeignFields(without_commas(message) if dialect == "poabot" else message)
    if is_guess:
        fields.warn(_("The message was read as a message for %(dialect)s."), dialect=dialect)
    translation = READERS[dialect](fields)
    fields.skip(*ENVELOPE)
    fields.finish(is_entry=any(is_entry_leg(leg) for leg in translation.legs))
    kept = {name: message[name] for name in ENVELOPE if name in message}
    return OwnMessage(
        fields={**translation.top, **kept, "orders": translation.legs},
        dialect=dialect,
        warnings=tuple(fields.warnings),
        percent_of_balance=translation.percent_of_balance,
        market_type=translation.market_type,
        leverage=translation.leverage,
    )
