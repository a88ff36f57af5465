"""The reasons for refusing a delivery: a table of codes, HTTP statuses and sentences."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.utils.functional import Promise, lazy
from django.utils.translation import gettext_lazy as _

MAX_SHOWN = 80  # characters of a value
MAX_PARAM = 400  # characters of an explanation with several values
_WHOLE_TOKEN = re.compile(r"t[hr]_[\w-]{40,}")
# Also matches a part of a token, but not the end of nor(th_wind).
_TOKEN = re.compile(rf"(?<!\w)t[hr]_[\w-]{{4,}}|{_WHOLE_TOKEN.pattern}")
_MARK = 3  # characters of a token that stay readable

TEXTS = {
    "invalid_json": (HTTPStatus.BAD_REQUEST, _("The body is not valid JSON")),
    "payload_too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _("The request body is too large")),
    "missing_field": (HTTPStatus.BAD_REQUEST, _("Required field missing: %(field)s")),
    "strategy_not_found": (HTTPStatus.NOT_FOUND, _("No active strategy found: %(group_name)s")),
    "invalid_token": (HTTPStatus.UNAUTHORIZED, _("The webhook token is not valid")),
    "sender_not_allowed": (HTTPStatus.FORBIDDEN, _("This address may not send messages here")),
    "https_required": (HTTPStatus.FORBIDDEN, _("Messages are only accepted over HTTPS")),
    "price_required": (HTTPStatus.BAD_REQUEST, _("A %(order_type)s order requires price")),
    "stop_price_required": (HTTPStatus.BAD_REQUEST, _("A %(order_type)s order requires stop_price")),
    "invalid_order_type": (HTTPStatus.BAD_REQUEST, _("%(field)s is not an order type: %(value)s")),
    "invalid_side": (HTTPStatus.BAD_REQUEST, _("%(field)s must be buy or sell: %(value)s")),
    "invalid_position": (
        HTTPStatus.BAD_REQUEST,
        _("%(field)s must be long, short or flat: %(value)s"),
    ),
    "invalid_number": (HTTPStatus.BAD_REQUEST, _("%(field)s has a value that cannot be used: %(value)s")),
    "invalid_symbol": (HTTPStatus.BAD_REQUEST, _("%(field)s cannot be traded here: %(value)s")),
    "unsupported_field": (HTTPStatus.BAD_REQUEST, _("%(field)s cannot be followed here: %(reason)s")),
    "ambiguous_dialect": (
        HTTPStatus.BAD_REQUEST,
        _("The message can be read in more than one way (%(dialects)s). Name the dialect in the message."),
    ),
    "unsupported_dialect": (
        HTTPStatus.BAD_REQUEST,
        _("Messages for %(dialect)s are not read here: %(reason)s"),
    ),
    "placeholder_not_filled": (
        HTTPStatus.BAD_REQUEST,
        _("The placeholder in %(field)s was not filled in: %(value)s"),
    ),
    "batch_too_large": (HTTPStatus.BAD_REQUEST, _("At most %(max)s orders can be processed at once")),
    "no_accounts": (HTTPStatus.BAD_REQUEST, _("No account is connected to the strategy: %(group_name)s")),
    "id_conflict": (HTTPStatus.CONFLICT, _("A different message was already received with the same id")),
    "throttled": (
        HTTPStatus.TOO_MANY_REQUESTS,
        _("Too many requests. Try again in %(retry_after_s)s seconds."),
    ),
    "unavailable": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        _("The message could not be stored. Please send it again."),
    ),
}


class WebhookError(Exception):
    """The refusal of a whole delivery. `code` never changes; `leg` is the bad leg's place in `orders`.

    `detail` follows the sentence in brackets. An unreadable body leaves `text_shown`, the text without secrets, and the
    token and the group_name that stand in the text, so that the delivery can be attributed to a strategy.
    """

    webhook_id: str | None = None  # names the delivery's row, once stored
    note: object = ""  # for the delivery's row only, which staff read; the answer does not tell
    detail: object = ""
    text_shown = ""
    token_found = ""
    group_found = ""

    def __init__(self, code: str, *, leg: int | None = None, **params: object) -> None:
        super().__init__(code)
        self.code = code
        self.leg = leg
        self.params = {name: _shown_param(value) for name, value in params.items()}

    @property
    def http_status(self) -> int:
        return int(TEXTS[self.code][0])

    @property
    def text(self) -> str:
        """The sentence in the language that is active now."""
        text = fill_phrase(TEXTS[self.code][1], self.params, self.leg)
        return f"{text} ({self.detail})" if self.detail else text

    @property
    def body(self) -> dict[str, Any]:
        """The body of the answer."""
        return error_body(self.text, self.code, self.webhook_id)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer that belong to this refusal."""
        return {"Retry-After": self.params["retry_after_s"]} if self.code == "throttled" else {}


def error_body(text: Any, code: Any, webhook_id: str | None = None) -> dict[str, Any]:
    """The shape of every API error."""
    return {"success": False, "error": text, "code": code, "webhook_id": webhook_id}


def shown_value(value: object, limit: int = MAX_SHOWN) -> str:
    """Makes a sender's value fit for the answer: a short line of printable characters, with tokens masked."""
    masked = _TOKEN.sub(lambda found: f"{found[0][:_MARK]}***", str(value))
    line = "".join(char if char.isprintable() else "?" for char in masked[: limit + 1])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _shown_param(value: object) -> str:
    """Leaves a translatable phrase as it is, because the language is chosen on reading."""
    return value if isinstance(value, Promise) else shown_value(value, MAX_PARAM)  # type: ignore[return-value]


def holds_token(text: str) -> bool:
    return _WHOLE_TOKEN.search(text) is not None


def fill_phrase(template: object, params: Mapping[str, object], leg: int | None = None) -> str:
    text = str(template) % params
    return text if leg is None else f"{text} (orders[{leg}])"


lazy_phrase = lazy(fill_phrase, str)
