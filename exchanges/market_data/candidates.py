"""Names the markets that a sender may mean with a symbol that reaches no market."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType

MOST = 3  # candidates
_SEPARATORS = re.compile(r"[\W_]+")
_PERPETUAL = re.compile(r"(?<=.)(?:\.P|[.\-_ ]?(?:PERP|PERPETUAL|SWAP))$")
_OTHER_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
_MULTIPLES = ("1000", "10000", "1000000", "1M", "K")  # 1000PEPE is a contract of 1000 PEPE
_QUOTES = ("USDT", "USDC", "USD")  # the likeliest quotes come first
_TYPO_LENGTHS = range(5, 25)  # a shorter name has too many neighbors, and a longer name costs time


class CandidateIndex:
    """The open markets of one exchange and one market type, by names without separators.

    Guesses are looked up as whole names, so the work depends on the length of a symbol and not on the number of
    markets, and no score has to be compared.
    """

    def __init__(self, markets: Iterable[MarketSpec]) -> None:
        self._names: dict[str, dict[str, MarketSpec]] = defaultdict(dict)
        self._bases: dict[str, dict[str, MarketSpec]] = defaultdict(dict)
        quotes = set(_QUOTES)
        for market in sorted(markets, key=lambda market: market.symbol):
            if not market.is_active:
                continue
            for name in _names_of(market):
                self._names[name][market.symbol] = market
            if _has_pair_name(market):
                self._bases[market.base.upper()][market.symbol] = market
                quotes.add(market.quote.upper())
        self._quotes = sorted(quotes)
        self._letters = sorted({letter for name in self._names for letter in name})

    def nearest(self, name: str) -> tuple[str, ...]:
        """Returns up to three unified symbols, the likeliest first, for an unknown name in upper case without a feed.

        The first kind of guess that finds anything decides: another spelling, then another quote or another name of the
        coin, then one wrong, missing, additional or exchanged letter.
        """
        pair = name.partition(":")[0] if "/" in name else name
        compact = _compact(_PERPETUAL.sub("", pair))
        found = self._by_names([compact]) or self._by_base(compact) or self._by_names(self._typos(compact))
        return tuple(found[:MOST])

    def _by_names(self, names: Iterable[str]) -> list[str]:
        found: dict[str, None] = {}
        for name in names:
            found |= dict.fromkeys(self._names.get(name, ()))
        return list(found)

    def _by_base(self, compact: str) -> list[str]:
        """The markets of the coin that the name begins with, the quote of the name first."""
        ranked = [
            (market.quote.upper() != quote, rank, _quote_rank(market.quote.upper()), market.symbol)
            for base, quote in self._splits(compact)
            for rank, alias in enumerate(_base_names(base))
            for market in self._bases.get(alias, {}).values()
        ]
        return list(dict.fromkeys(symbol for *_rank, symbol in sorted(ranked)))

    def _splits(self, compact: str) -> Iterator[tuple[str, str]]:
        yield compact, ""
        for quote in self._quotes:
            if compact.endswith(quote):
                yield compact.removesuffix(quote), quote

    def _typos(self, name: str) -> Iterator[str]:
        """Yields every name at a distance of one letter, or of two exchanged neighbors."""
        if len(name) not in _TYPO_LENGTHS:
            return
        halves = [(name[:place], name[place:]) for place in range(len(name) + 1)]
        yield from (left + right[1] + right[0] + right[2:] for left, right in halves if len(right) > 1)
        yield from (left + right[1:] for left, right in halves)
        yield from (left + letter + right[1:] for left, right in halves for letter in self._letters)
        yield from (left + letter + right for left, right in halves for letter in self._letters)


def _names_of(market: MarketSpec) -> Iterator[str]:
    yield _compact(market.exchange_symbol)
    if _has_pair_name(market):
        yield _compact(market.base + market.quote)
        yield _compact(market.quote + market.base)


def _has_pair_name(market: MarketSpec) -> bool:
    """Dated contracts and securities have no name of base and quote."""
    return market.market_type is not MarketType.STOCK and "-" not in market.symbol.partition(":")[2]


def _compact(text: str) -> str:
    return _SEPARATORS.sub("", text.upper())


def _base_names(base: str) -> list[str]:
    """The names under which exchanges list a coin: as written, of another exchange, and in multiples."""
    names = [base, *(new for old, new in _OTHER_NAMES.items() if old == base)]
    names += [old for old, new in _OTHER_NAMES.items() if new == base]
    multiples = [multiple + name for name in names for multiple in _MULTIPLES]
    singles = [base.removeprefix(multiple) for multiple in _MULTIPLES if base.startswith(multiple)]
    return [*names, *multiples, *singles]


def _quote_rank(quote: str) -> int:
    return _QUOTES.index(quote) if quote in _QUOTES else len(_QUOTES)
