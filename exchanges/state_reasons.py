"""The reasons of a trading state. Each reader gets the reason in the reader's own language. Pure."""

import json
from typing import Self

from django.utils.translation import gettext_lazy as _

TEXTS = {
    "set_by": _("Set by %(user)s."),
    "errors_in_a_row": _("%(count)s orders in a row failed."),
    "daily_loss": _("Loss today %(loss)s, allowed %(allowed)s."),
    "drawdown": _("Drawdown %(percent)s%% of capital, allowed %(allowed)s%%."),
}


class StateReason(str):
    """The stored form of a reason: a person's own words, or a code of TEXTS with numbers.

    `str()` of a reason is the sentence for the reader.
    """

    @classmethod
    def of(cls, code: str, **params: str) -> Self:
        return cls(json.dumps([code, params], ensure_ascii=False))

    def __str__(self) -> str:
        try:
            code, params = json.loads(self)
            sentence: str = str(TEXTS[code]) % params
        except (ValueError, TypeError, LookupError):
            return str.__str__(self)  # a person's own words
        return sentence
