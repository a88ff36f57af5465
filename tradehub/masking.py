"""Masks secrets in log lines, a last net under the rule that the program never logs a secret, and keeps lines apart.

A sender decides what stands in a value, and a value with a line break could pass for a line of its own. So control
characters in a message become visible, and each line of a stack trace begins with a mark that no message begins with.
"""

import logging
import re

_NAMES = (
    r"signature|api[_-]?key|secret|passwd|password|private[_-]?key|credential_keys|listen[_-]?key"
    r"|sessionid|csrftoken|csrfmiddlewaretoken"
)
_PATTERNS = (
    r"(?P<pem>-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----).*?(?:(?=-----END)|\Z)",
    # postgres://user:password@host, and everything else before the last @ of a URL
    r"(?P<url>\b[a-z][a-z0-9+.-]{1,30}://)[^\s:/@\"'<>]*(?::[^\s\"'<>]*)?@",
    # Headers with their whole value: to the end of the quotes, else to the end of the line.
    r"(?P<header>\b(?:http_)?(?:(?:set[_-])?cookie|(?:proxy[_-])?authorization)[\"']?\s*[:=]\s*"
    r"(?P<quoted>[\"'])?(?:(?:basic|bearer|token|digest)\s+)?)(?(quoted)[^\"'\r\n]+|[^\r\n]+)",
    r"(?P<phrase>(?<![\w-])[\w-]{0,40}?passphrase[\w-]{0,20}[\"']?\s*[=:]\s*[\"']?)[^\"'&;\r\n]+",
    rf"(?P<name>(?<![\w-])[\w-]{{0,40}}?(?:{_NAMES})[\w-]{{0,20}}[\"']?\s*[=:]\s*)"
    r"(?P<quote>[\"']?)(?:(?<=\")[^\"\r\n]+|(?<=')[^'\r\n]+|[^\s&;\"'})\]]+)",
    r"(?P<scheme>\bbearer\s+)[\w.~+/=-]{8,}",
    r"(?P<jwt>\beyJ)[\w-]{8,}(?:\.[\w-]*){1,2}",
    r"(?P<mark>\b(?:th_|tr_|whsec_))[\w+/=-]{4,}",
)
_SECRETS = re.compile("|".join(_PATTERNS), re.IGNORECASE | re.DOTALL)
_KEPT = (
    "pem",
    "url",
    "header",
    "phrase",
    "name",
    "scheme",
    "jwt",
    "mark",
)  # what stays readable before the mask

# Control characters, also those of terminals; line and paragraph separators; what turns the direction of text or is
# not seen; halves of characters, which no stream can write.
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)

MAX_MESSAGE = 1000  # characters
TRACE_MARK = "| "


def mask_secrets(text: str) -> str:
    return _SECRETS.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    parts = found.groupdict()
    kept = next(parts[name] for name in _KEPT if parts[name] is not None)
    end = "@" if parts["url"] is not None else ""
    return f"{kept}{parts['quote'] or ''}***{end}"


def escape_controls(text: str) -> str:
    """Writes unsafe characters as Python does: a line break becomes the two characters \\n."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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
    """Masks message and stack trace, and writes one line for a message and a marked line for each line of the trace.

    Messages end at a length, because senders decide how long their values are.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = cut_message(escape_controls(mask_secrets(record.message)))
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        message, has_trace, trace = super().format(record).partition("\n")
        lines = mask_secrets(trace).split("\n") if has_trace else []
        return "\n".join([message, *(TRACE_MARK + escape_controls(line) for line in lines)])
