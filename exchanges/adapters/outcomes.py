"""Conclusions from an exchange's answer, by the exchange's code and the HTTP status. An unlisted code proves nothing.

This module does not use ccxt's error classes, because the classes mix refusals with doubts and depend on the URL.
https://developers.binance.com/docs/binance-spot-api-docs/errors
https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code
"""

import re

from exchanges.enums import MarketType
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
_UNAVAILABLE = 503
_NO_REFUSAL = (408, 409)  # the exchange gave up waiting; the exchange did a part of the request

_MESSAGE_OF_ENGINE, _NEW_ORDER_REJECTED = -1010, -2010
_FILTER_FAILURE = -1013
_TOO_MANY_ORDERS = -1015  # Binance counts orders per account, and everything else per address
_TOO_MANY = (-1003, _TOO_MANY_ORDERS)
_NO_SUCH_ORDER = (-2011, -2013)
_DUPLICATE = -4116  # of futures; spot tells a duplicate by the message of -2010
_BAD_KEY = (-1002, -1022, -2014, -2015, -2017)
_BLOCKED_ACCOUNT = (-4088, -4109, -4192, -4402)  # the key is right, and the account may not trade
# A filter's name in the message of -1013 or -2010, for filters with a reason code more exact than "filter_failure".
_BY_FILTER = (
    ("notional", "below_min_notional"),
    ("percent_price", "price_band"),
    ("filter failure", "filter_failure"),
)
# The matching engine's sentences, the only content of -2010 and of -1010:
# https://developers.binance.com/docs/binance-spot-api-docs/errors#messages-for--1010-error_msg_received--2010-new_order_rejected-and--2011-cancel_rejected
_BY_MESSAGE = (
    ("insufficient balance", "insufficient_balance"),
    ("would trigger immediately", "stop_would_trigger"),
    ("market is closed", "market_closed"),
    ("action is disabled", "account_blocked"),
    ("may not place or cancel", "account_blocked"),
    ("not permitted for this account", "account_blocked"),
    ("restricted for this account", "account_blocked"),
    ("not supported for this symbol", "order_type_unsupported"),
)
# Codes of certain refusals, with a reason code more exact than "rejected" where we know such a reason. A code has
# its meaning in one market only, unless both markets document the same meaning.
_REFUSALS = {
    -1021: "clock_skew",
    -1111: "filter_failure",
    -1112: "no_liquidity",
    -1121: "unknown_symbol",
    -1122: "market_closed",
}
_FUTURES_REFUSALS = {
    -2018: "insufficient_margin",
    -2019: "insufficient_margin",
    -2020: "no_liquidity",
    -2021: "stop_would_trigger",
    -2022: "reduce_only_rejected",
    -2023: "in_liquidation",
    -2024: "reduce_only_rejected",
    -2025: "rejected",
    -2026: "rejected",
    -2027: "rejected",
    -2028: "rejected",
    -4002: "price_band",
    -4004: "below_min_quantity",
    -4013: "price_band",
    -4016: "price_band",
    -4024: "price_band",
    -4060: "hedge_mode",
    -4061: "hedge_mode",
    -4062: "hedge_mode",
    -4118: "reduce_only_rejected",
    -4120: "order_type_unsupported",
    -4131: "price_band",
    -4140: "market_closed",
    -4141: "market_closed",
    -4142: "stop_would_trigger",
    -4164: "below_min_notional",
    -5021: "rejected",
    -5022: "rejected",
    -5028: "clock_skew",
    -5029: "below_min_notional",
}
_STOP_IS_TRIGGERING = -4117  # the order may be in the order book by now
_PARAMETER_REFUSALS = range(-1199, -1099)
_FUTURES_FILTERS = range(-4999, -3999)

# Futures refuse with HTTP 503 before the matching engine, and tell by code or text that nothing was executed:
# https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info#http-return-codes
_OVERLOADED = "overloaded"
_BUSY = -1008
_BUSY_TEXTS = ("service unavailable", "internal error; unable to process")
_CODES_OF_BUSY_TEXTS = (None, -1001)

_CODE = re.compile(r"-?\d{1,6}", re.ASCII)
_SECRET = re.compile(
    r"\S*(?:://|(?:signature|api[-_]?key|secret|password|passphrase|cookie|sessionid)[\"']?[=:]\s*)\S*|[\w+/=-]{32,}",
    re.ASCII | re.IGNORECASE,
)


def classify_binance(
    http_status: int, body: object | None, *, market_type: MarketType, retry_after: str | None
) -> ExchangeError:
    """Returns the error that the caller raises after an answer without success.

    `body` is the parsed JSON, None for any other content. `retry_after` is the unread header Retry-After. The same
    code may mean two things on spot and on futures.
    """
    code, message = _code_of(body), _message_of(body)
    is_firewall = http_status == _FORBIDDEN_BY_FIREWALL and code is None
    per_account = code == _TOO_MANY_ORDERS and http_status != _BANNED
    if http_status in _THROTTLED or is_firewall:
        return _throttled_error(http_status, code, message, retry_after, per_account=per_account)
    if http_status == _UNAUTHORIZED:
        return _error_of(AuthenticationFailed, http_status, code, message)
    if market_type is MarketType.FUTURES and _is_overload(http_status, code, message):
        return _error_of(Rejected, http_status, code, message, _OVERLOADED)
    if code is None or not _is_refusal(http_status):
        return _error_of(OutcomeUnknown, http_status, code, message)
    if code in _TOO_MANY:
        return _throttled_error(http_status, code, message, retry_after, per_account=per_account)
    return _by_code(http_status, code, message, market_type)


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


def _by_code(http_status: int, code: int, message: str, market_type: MarketType) -> ExchangeError:
    if code in _NO_SUCH_ORDER:
        return _error_of(OrderNotFound, http_status, code, message)
    if code in _BAD_KEY:
        return _error_of(AuthenticationFailed, http_status, code, message)
    if code in (_MESSAGE_OF_ENGINE, _NEW_ORDER_REJECTED):
        return _refused_by_engine(http_status, code, message)
    if market_type is MarketType.FUTURES and code == _DUPLICATE:
        return _error_of(DuplicateClientOrderId, http_status, code, message)
    if market_type is MarketType.FUTURES and code in _BLOCKED_ACCOUNT:
        return _error_of(AuthenticationFailed, http_status, code, message, "account_blocked")
    reason = _refusal_reason(code, message, market_type)
    return _error_of(Rejected if reason else OutcomeUnknown, http_status, code, message, reason)


def _refused_by_engine(http_status: int, code: int, message: str) -> ExchangeError:
    """Reads the message of a refusal by the matching engine, the only place that tells the reason.

    Without a message -2010 may mean a duplicate too, and -1010 without a known sentence may mean anything.
    """
    words = message.lower()
    if "duplicate order" in words:
        return _error_of(DuplicateClientOrderId, http_status, code, message)
    reason = _reason_in_words(words)
    is_certain = reason or (words and code == _NEW_ORDER_REJECTED)
    return _error_of(Rejected if is_certain else OutcomeUnknown, http_status, code, message, reason)


def _reason_in_words(words: str) -> str:
    filters = _BY_FILTER if "filter failure" in words else ()
    return next((reason for part, reason in (*filters, *_BY_MESSAGE) if part in words), "")


def _refusal_reason(code: int, message: str, market_type: MarketType) -> str:
    """The reason code of a certain refusal; "" for a code that proves no refusal."""
    if code == _FILTER_FAILURE:
        return _reason_in_words(message.lower()) or "filter_failure"
    if code in _REFUSALS:
        return _REFUSALS[code]
    if code in _PARAMETER_REFUSALS:
        return "rejected"
    return _futures_refusal_reason(code) if market_type is MarketType.FUTURES else ""


def _futures_refusal_reason(code: int) -> str:
    is_filter = code in _FUTURES_FILTERS and code != _STOP_IS_TRIGGERING
    return _FUTURES_REFUSALS.get(code, "filter_failure" if is_filter else "")


def _is_overload(http_status: int, code: int | None, message: str) -> bool:
    """Whether futures were too busy to look at the request. Other words of HTTP 503 leave the outcome unknown."""
    if code == _BUSY:
        return http_status == _UNAVAILABLE or _is_refusal(http_status)
    words = message.lower()
    return http_status == _UNAVAILABLE and code in _CODES_OF_BUSY_TEXTS and words.startswith(_BUSY_TEXTS)


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
