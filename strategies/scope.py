"""The scope of a webhook token: what a token opens beside its strategy. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from exchanges.enums import Side
from strategies.networks import Network, is_allowed

_BETWEEN_WORDS = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class Scope:
    """Empty fields limit nothing.

    `side` and `max_notional`, the most that one order may be worth in quote currency, limit entries only: an exit or a
    cancel is never too large and never on the wrong side. `symbols`, as senders write symbols, and `networks`, which
    hold the senders' addresses, limit every message.
    """

    side: Side | None = None
    symbols: tuple[str, ...] = ()
    max_notional: Decimal | None = None
    networks: tuple[Network, ...] = ()

    def opens_for(self, address: str) -> bool:
        return is_allowed(address, self.networks)

    def lets_enter(self, side: Side) -> bool:
        return self.side in (None, side)


UNLIMITED = Scope()


def words_of(text: str) -> list[str]:
    """The words of a list that a person typed, between commas, spaces and line breaks; each once."""
    return list(dict.fromkeys(word for word in _BETWEEN_WORDS.split(text) if word))


def text_of(words: Iterable[str]) -> str:
    return ", ".join(words)
