"""Conclusions from an exchange's answer, by the exchange's code and the HTTP status. An unlisted code proves nothing.

This module does not use ccxt's error classes, because the classes mix refusals with doubts and depend on the URL.
https://developers.binance.com/docs/binance-spot-api-docs/errors
https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code
"""

import re

from exchanges.errors import (
    AuthenticationFailed,
    DuplicateClientOrderId,
    ExchangeError,
    OrderNotFound,
    OutcomeUnknown,
    Rejected,
    Throttled,
)

DEFAULT_RETRY_S = 60
MAX_RETRY_S = 3 * 24 * 3600  # Binance's longest ban
MAX_MESSAGE = 200

_BANNED = 418  # the exchange bans the address, whatever the code
_THROTTLED = (_BANNED, 429)
_FORBIDDEN_BY_FIREWALL = 403
_UNAUTHORIZED = 401
_NO_REFUSAL = (408, 409)  # the exchange gave up waiting; the exchange did a part of the request

_NEW_ORDER_REJECTED = -2010
_TOO_MANY_ORDERS = -1015  # Binance counts orders per account, and everything else per address
_TOO_MANY = (-1003, _TOO_MANY_ORDERS)
_NO_SUCH_ORDER = (-2011, -2013)
_DUPLICATE = -4116
_BAD_KEY = (-1022, -2014, -2015)
_BY_MESSAGE = (
    ("insufficient balance", "insufficient_balance"),
    ("filter failure", "filter_failure"),
)
# Codes of certain refusals, with a reason code more exact than "rejected" where we know such a reason.
_REFUSALS = {
    -1013: "filter_failure",
    -1021: "clock_skew",
    -1111: "filter_failure",
    -1121: "unknown_symbol",
    -2018: "insufficient_margin",
    -2019: "insufficient_margin",
    -2020: "rejected",
    -2021: "rejected",
    -2022: "reduce_only_rejected",
    -2023: "rejected",
    -2024: "reduce_only_rejected",
    -2025: "rejected",
    -2026: "rejected",
    -2027: "rejected",
    -2028: "rejected",
    -4061: "hedge_mode",
    -4118: "reduce_only_rejected",
    -4120: "order_type_unsupported",
    -4164: "below_min_notional",
}
_STOP_IS_TRIGGERING = -4117  # the order may be in the order book by now
_PARAMETER_REFUSALS = range(-1199, -1099)
_FUTURES_FILTERS = range(-4999, -3999)

_CODE = re.compile(r"-?\d{1,6}", re.ASCII)
_SECRET = re.compile(r"\S*(?:://|signature=|api-?key[=:])\S*|[\w+/=-]{32,}", re.ASCII | re.IGNORECASE)


def classify_binance(http_status: int, body: object | None, *, retry_after: str | None) -> ExchangeError:
    """Returns the error that the caller raises after an answer without success.

    `body` is the parsed JSON, None for any other content. `retry_after` is the unread header Retry-After.
    """
    code, message = _code_of(body), _message_of(body)
    is_firewall = http_status == _FORBIDDEN_BY_FIREWALL and code is None
    per_account = code == _TOO_MANY_ORDERS and http_status != _BANNED
    if http_status in _THROTTLED or is_firewall:
        return _throttled_error(http_status, code, message, retry_after, per_account=per_account)
    if http_status == _UNAUTHORIZED:
        return _error_of(AuthenticationFailed, http_status, code, message)
    if code is None or not _is_refusal(http_status):
        return _error_of(OutcomeUnknown, http_status, code, message)
    if code in _TOO_MANY:
        return _throttled_error(http_status, code, message, retry_after, per_account=per_account)
    return _by_code(http_status, code, message)


def classify_generic(
    http_status: int, body: object | None, *, retry_after: str | None = None
) -> ExchangeError:
    """Returns the error for an exchange with unlisted codes, where only certain HTTP statuses allow a conclusion."""
    code, message = _code_of(body), _message_of(body)
    if http_status in _THROTTLED:
        return _throttled_error(http_status, code, message, retry_after)
    if http_status == _UNAUTHORIZED:
        return _error_of(AuthenticationFailed, http_status, code, message)
    return _error_of(OutcomeUnknown, http_status, code, message)


def retry_after_s(header: str | None) -> int:
    """Reads the seconds of a Retry-After header, at most three days; 60 for a missing header, a date or other text."""
    digits = (header or "").strip()
    if not re.fullmatch(r"\d+", digits, re.ASCII):
        return DEFAULT_RETRY_S
    return min(int(digits[-12:]), MAX_RETRY_S) if len(digits.lstrip("0")) <= 12 else MAX_RETRY_S


def safe_message(text: str) -> str:
    """Makes an exchange's message safe to store and show: one short line without URLs, keys and signatures."""
    line = " ".join(_SECRET.sub("***", text[: 10 * MAX_MESSAGE]).split())
    printable = "".join(char for char in line if char.isprintable())
    return printable if len(printable) <= MAX_MESSAGE else printable[: MAX_MESSAGE - 1] + "…"


def _by_code(http_status: int, code: int, message: str) -> ExchangeError:
    if code == _NEW_ORDER_REJECTED:
        return _new_order_rejected(http_status, code, message)
    if code == _DUPLICATE:
        return _error_of(DuplicateClientOrderId, http_status, code, message)
    if code in _NO_SUCH_ORDER:
        return _error_of(OrderNotFound, http_status, code, message)
    if code in _BAD_KEY:
        return _error_of(AuthenticationFailed, http_status, code, message)
    reason = _refusal_reason(code)
    return _error_of(Rejected if reason else OutcomeUnknown, http_status, code, message, reason)


def _new_order_rejected(http_status: int, code: int, message: str) -> ExchangeError:
    """Reads the message of -2010, the code for every refusal by the matching engine.

    Without a message the refusal may mean a duplicate too, so the outcome stays unknown.
    """
    words = message.lower()
    if not words:
        return _error_of(OutcomeUnknown, http_status, code, message)
    if "duplicate order" in words:
        return _error_of(DuplicateClientOrderId, http_status, code, message)
    reason = next((reason for part, reason in _BY_MESSAGE if part in words), "")
    return _error_of(Rejected, http_status, code, message, reason)


def _refusal_reason(code: int) -> str:
    """The reason code of a certain refusal; "" for a code that proves no refusal."""
    if code in _REFUSALS:
        return _REFUSALS[code]
    if code in _PARAMETER_REFUSALS:
        return "rejected"
    return "filter_failure" if code in _FUTURES_FILTERS and code != _STOP_IS_TRIGGERING else ""


def _is_refusal(http_status: int) -> bool:
    return 400 <= http_status < 500 and http_status not in _NO_REFUSAL


def _throttled_error(
    http_status: int, code: int | None, message: str, retry_after: str | None, *, per_account: bool = False
) -> Throttled:
    return Throttled(
        message,
        retry_after_s=retry_after_s(retry_after),
        per_account=per_account,
        exchange_code=_code_text(code),
        http_status=http_status,
    )


def _error_of(
    conclusion: type[ExchangeError], http_status: int, code: int | None, message: str, reason: str = ""
) -> ExchangeError:
    return conclusion(message, code=reason, exchange_code=_code_text(code), http_status=http_status)


def _code_text(code: int | None) -> str:
    return "" if code is None else str(code)


def _code_of(body: object | None) -> int | None:
    """The exchange's code; None where the body has no code. The code may come as a number or as text."""
    code = body.get("code") if isinstance(body, dict) else None
    return int(str(code)) if _CODE.fullmatch(str(code)) else None


def _message_of(body: object | None) -> str:
    message = body.get("msg") if isinstance(body, dict) else None
    return safe_message(message) if isinstance(message, str) else ""
