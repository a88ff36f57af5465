"""Hashes passwords, and refuses passwords made of words that a guesser of this service tries first."""

import re
from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

WORDS = (
    "tradehub", "trade", "hub", "trading", "tradingview", "binance", "bybit", "upbit", "bitcoin", "crypto", "exchange",
    "webhook", "strategy", "admin", "owner", "operator", "password", "passwort", "secret", "welcome", "letmein",
    "qwerty", "asdf",
)  # fmt: skip
LETTERS_LEFT = 8  # besides the words
_KNOWN = re.compile("|".join(sorted(WORDS, key=len, reverse=True)))


class PasswordHasher(Argon2PasswordHasher):
    """Argon2id with the parameters of OWASP's Password Storage Cheat Sheet.

    Django's own take 100 MiB and eight threads for each attempt, in the process that takes the alerts.
    """

    time_cost, memory_cost, parallelism = 2, 19_456, 1


class ContextWordsValidator:
    """Wants LETTERS_LEFT different characters besides the words of this service, digits and signs."""

    def validate(self, password: str, user: Any = None) -> None:
        plain = password.lower()
        rest = re.sub(r"[\W\d_]+", "", _KNOWN.sub("", plain))
        if _KNOWN.search(plain) and len(set(rest)) < LETTERS_LEFT:
            raise ValidationError(
                _("This password is made of words that are tried first."), code="context_words"
            )

    def get_help_text(self) -> str:
        return str(_("Your password can’t be made of words of this service, such as its name."))
