"""Masks secrets in log lines: a last net under the rule that the program never logs a secret."""

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
    """Masks a long message before cutting the message, because half of a secret no longer looks like a secret."""
    return message if len(message) <= MAX_MESSAGE else mask_secrets(message)[: MAX_MESSAGE - 1] + "…"


class MaskingFilter(logging.Filter):
    """Masks messages of loggers that name the URL, so that no handler sees a token that a person put into a URL."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if mask_secrets(message) != message:
            record.msg, record.args = mask_secrets(message), ()
            vars(record).pop("request", None)
        return True


class MaskingFormatter(logging.Formatter):
    """Masks the finished line with the stack trace. Cuts messages, because senders decide how long their values are."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = cut_message(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return mask_secrets(super().format(record))
