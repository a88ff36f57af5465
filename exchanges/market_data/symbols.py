"""Finds the market that a chart or a person means with a symbol."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from django.utils.translation import gettext_lazy as _

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType
from exchanges.market_data.candidates import CandidateIndex

_DATED = re.compile(r"-\d{6}(?:-|$)")
_DELAYED = ("_DL", "_DLY")  # the endings of TradingView's {{exchange}} for delayed data


class SymbolError(ValueError):
    """A symbol reaches no market, or several markets. `candidates` are the markets that have the symbol as a name."""

    code: ClassVar[str]
    template: ClassVar[object]

    def __init__(self, symbol: str, candidates: Sequence[str] = ()) -> None:
        super().__init__(symbol)
        self.symbol = symbol
        self.candidates = tuple(candidates)

    @property
    def params(self) -> dict[str, str]:
        return {"symbol": self.symbol, "candidates": ", ".join(self.candidates)}

    @property
    def text(self) -> str:
        """The sentence in the active language."""
        return str(self.template) % self.params


class UnknownSymbol(SymbolError):
    """The symbol reaches no market. `nearest` are guesses to show to the sender, and nothing is traded by a guess."""

    code = "unknown_symbol"
    template: ClassVar[object] = _("%(symbol)s is not traded here.")
    guessing = _("%(symbol)s is not traded here. Similar symbols that are: %(candidates)s.")

    def __init__(self, symbol: str, name: str, markets: "SymbolIndex") -> None:
        super().__init__(symbol)
        self._name = name
        self._markets = markets

    @cached_property
    def nearest(self) -> tuple[str, ...]:
        """Up to three unified symbols of open markets; computed when somebody asks."""
        return self._markets.guesses.nearest(self._name)

    @property
    def params(self) -> dict[str, str]:
        return {"symbol": self.symbol, "candidates": ", ".join(self.nearest)}

    @property
    def text(self) -> str:
        return str(self.template_for(self.params)) % self.params

    @classmethod
    def template_for(cls, params: Mapping[str, str]) -> object:
        return cls.guessing if params.get("candidates") else cls.template


class AmbiguousSymbol(SymbolError):
    code = "ambiguous_symbol"
    template = _("%(symbol)s may mean several markets. Write one of: %(candidates)s.")


class DelayedFeed(SymbolError):
    code = "delayed_feed"
    template = _("%(symbol)s comes from a delayed feed. Use the real-time chart of %(candidates)s.")


class SymbolIndex:
    """The markets of one exchange and one market type, indexed by every name of a market.

    Closed markets are found too, because accounts hold positions in closed markets; but a name shared with an open
    market reaches the open market only. Only the exact symbol reaches a dated contract. Look-up hashes the name and
    ignores case.
    """

    def __init__(self, markets: Iterable[MarketSpec]) -> None:
        self._exact: dict[str, MarketSpec] = {}
        self._aliases: dict[str, tuple[MarketSpec, ...]] = {}
        self._markets = tuple(markets)
        for market in self._markets:
            self._add(market)

    @cached_property
    def guesses(self) -> CandidateIndex:
        """Built for the first unknown symbol, because most processes never see an unknown symbol."""
        return CandidateIndex(self._markets)

    def resolve(self, text: str) -> MarketSpec:
        """Raises UnknownSymbol, AmbiguousSymbol or DelayedFeed.

        A feed prefix (`BINANCE:`) names the source of a chart's prices and not the exchange of the trade, so the index
        drops the prefix. The prefix of a security (`KRX:`) is a part of the symbol.
        """
        feed, name = _split_feed(text.strip().upper())
        if feed.endswith(_DELAYED):
            market = self._find(feed.rpartition("_")[0], name, text)
            raise DelayedFeed(text, [market.symbol])
        return self._find(feed, name, text)

    def _find(self, feed: str, name: str, text: str) -> MarketSpec:
        exact = self._exact.get(f"{feed}:{name}") or self._exact.get(name)
        if exact is not None:
            return exact
        named = [market for market in self._aliases.get(name, ()) if _may_come_from(feed, market)]
        found = [market for market in named if market.is_active] or named
        if not found:
            raise UnknownSymbol(text, name, self)
        if len(found) > 1:
            raise AmbiguousSymbol(text, sorted(market.symbol for market in found))
        return found[0]

    def _add(self, market: MarketSpec) -> None:
        self._exact[market.symbol.upper()] = market
        for alias in {alias.upper() for alias in _market_aliases(market)}:
            self._aliases[alias] = (*self._aliases.get(alias, ()), market)


def _split_feed(text: str) -> tuple[str, str]:
    """`BINANCE:BTCUSDT.P` -> (`BINANCE`, `BTCUSDT.P`); the colon of `BTC/USDT:USDT` names the settlement."""
    feed, colon, name = text.partition(":")
    return (feed, name) if colon and "/" not in feed else ("", text)


def _may_come_from(feed: str, market: MarketSpec) -> bool:
    return not feed or market.market_type is not MarketType.STOCK


def _market_aliases(market: MarketSpec) -> Iterator[str]:
    """The names of a market beside the symbol. Several markets may share a name."""
    if _DATED.search(market.symbol):
        return
    yield market.exchange_symbol
    if market.market_type is MarketType.STOCK:
        return
    compact = f"{market.base}{market.quote}"
    yield compact
    yield f"{market.base}/{market.quote}"
    yield f"{market.quote}-{market.base}"  # Upbit: KRW-BTC
    if market.market_type is MarketType.FUTURES:
        yield f"{compact}.P"
        yield f"{compact}PERP"
