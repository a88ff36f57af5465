"""The last net under the rule that no secret is ever logged: what looks like one leaves the process masked."""

import logging
import re

_SECRETS = re.compile(
    r"(?P<name>\b(?:signature|apikey|api_key|secret|password)[\"']?\s*[=:]\s*[\"']?)[^\s&,;\"'})\]]+"
    r"|(?P<mark>\b(?:th_|tr_|whsec_))[\w+/=-]{4,}",
    re.IGNORECASE,
)

MAX_MESSAGE = 1000  # characters


def mask_secrets(text: str) -> str:
    return _SECRETS.sub(lambda found: f"{found['name'] or found['mark']}***", text)


def cut_message(message: str) -> str:
    """Masked before it is cut, or half of a secret would not look like one any more."""
    return message if len(message) <= MAX_MESSAGE else mask_secrets(message)[: MAX_MESSAGE - 1] + "…"


class MaskingFilter(logging.Filter):
    """For loggers that name the URL, where people put tokens against all advice: no handler sees those at all."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if mask_secrets(message) != message:
            record.msg, record.args = mask_secrets(message), ()
            vars(record).pop("request", None)
        return True


class MaskingFormatter(logging.Formatter):
    """Masks the finished line, stack trace and all. Messages are cut: what somebody sent has no length of ours."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = cut_message(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return mask_secrets(super().format(record))
