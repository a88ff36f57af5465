"""The markets of each exchange: loaded once without keys, kept in the database, shared in memory.

After a restart the first order needs no request for markets. The worker replaces an old list. Where the database has no
list, the first caller loads the list.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType
from exchanges.errors import ExchangeError, Unavailable
from exchanges.gateway import Call, gateway
from exchanges.market_data.symbols import SymbolIndex
from exchanges.models import Market, MarketList
from exchanges.registry import EXCHANGES

_RECHECK = timedelta(seconds=60)
_JUST_NOW = timedelta(minutes=5)


@dataclass(slots=True)
class MarketCatalog:
    """All markets of one exchange and market type. Callers never change a catalog."""

    specs: dict[str, MarketSpec]
    index: SymbolIndex
    loaded_at: datetime
    checked_at: datetime

    def resolve(self, text: str) -> MarketSpec:
        """Raises exchanges.market_data.symbols.SymbolError."""
        return self.index.resolve(text)


Catalogs = dict[str, MarketCatalog | ExchangeError]

_catalogs: dict[tuple[str, MarketType], MarketCatalog] = {}
_locks: dict[tuple[str, MarketType], threading.Lock] = defaultdict(threading.Lock)
# The clients of a forked process have no markets installed yet.
os.register_at_fork(after_in_child=_catalogs.clear)


def open_catalog(exchange: str, market_type: MarketType, *, now: datetime) -> MarketCatalog:
    """Returns the catalog from memory, else from the database, else from the exchange.

    Raises ExchangeError where the catalog had to come from the exchange, and did not come.
    """
    known = _catalogs.get((exchange, market_type))
    if known is not None and now - known.checked_at < _RECHECK:
        return known
    with _locks[exchange, market_type]:  # a silent exchange holds up no orders at other exchanges
        return _refreshed_catalog(exchange, market_type, now)


def open_catalogs(exchanges: Iterable[str], market_type: MarketType, *, now: datetime) -> Catalogs:
    """The catalog of each exchange, or the error that kept the catalog away."""
    return {exchange: _catalog_or_error(exchange, market_type, now) for exchange in set(exchanges)}


def _catalog_or_error(exchange: str, market_type: MarketType, now: datetime) -> MarketCatalog | ExchangeError:
    try:
        return open_catalog(exchange, market_type, now=now)
    except ExchangeError as error:
        return error


def reload_markets(exchange: str, market_type: MarketType, *, now: datetime) -> int:
    """Fetches the markets from the exchange and stores the markets. Returns their number. Raises ExchangeError.

    A list in which more than half of the open markets are closed is refused, because such a list tells of maintenance
    at the exchange and not of the markets.
    """
    specs = gateway.call(Call(exchange, market_type, "load_markets"))
    if not specs:
        raise Unavailable("The exchange listed no markets.", code="no_markets")
    open_before = Market.objects.of(exchange, market_type).active().symbols()
    open_now = {spec.symbol for spec in specs if spec.is_active}
    if 2 * len(open_before & open_now) < len(open_before):
        raise Unavailable("The exchange lists most of its markets as closed.", code="markets_closed")
    Market.objects.replace(exchange, specs, now=now)
    return len(specs)


def reload_since(exchange: str, market_type: MarketType, since: datetime, *, now: datetime) -> None:
    """Makes sure that the catalog is younger than `since`, because a refusal of that time contradicts the catalog.

    Loads from the exchange, unless another caller did so since. Raises ExchangeError.
    """
    with _locks[exchange, market_type]:
        known = _catalogs.get((exchange, market_type))
        if known is not None and known.loaded_at >= since:
            return
        loaded_at = _list_loaded_at(exchange, market_type)
        if loaded_at is None or loaded_at < since:
            reload_markets(exchange, market_type, now=now)
            loaded_at = now
        _read_catalog(exchange, market_type, loaded_at, now)


def reload_soon(exchange: str, market_type: MarketType, *, now: datetime) -> None:
    """Asks the worker to reload a list that a refusal contradicts, unless the list is less than 5 minutes old."""
    lists = MarketList.objects.filter(exchange=exchange, market_type=market_type, is_doubted=False)
    lists.filter(loaded_at__lt=now - _JUST_NOW).update(is_doubted=True)


def reload_old(*, now: datetime) -> dict[str, str]:
    """Reloads every list of a registered exchange that is doubted or older than MARKETS_MAX_AGE_S.

    Returns the number of markets, or the code of the error, by list. A failure of one exchange stops no other exchange.
    """
    limit = now - timedelta(seconds=settings.MARKETS_MAX_AGE_S)
    outcome = {}
    for row in MarketList.objects.filter(Q(loaded_at__lt=limit) | Q(is_doubted=True)):
        if row.exchange not in EXCHANGES:
            continue
        try:
            outcome[str(row)] = str(reload_markets(row.exchange, MarketType(row.market_type), now=now))
        except ExchangeError as error:
            outcome[str(row)] = error.code
    return outcome


def forget_catalogs() -> None:
    """Drops all catalogs in memory."""
    _catalogs.clear()


def _refreshed_catalog(exchange: str, market_type: MarketType, now: datetime) -> MarketCatalog:
    known = _catalogs.get((exchange, market_type))
    if known is not None and now - known.checked_at < _RECHECK:
        return known  # another thread was faster
    loaded_at = _list_loaded_at(exchange, market_type)
    if loaded_at is None:
        reload_markets(exchange, market_type, now=now)
        loaded_at = now
    if known is not None and known.loaded_at == loaded_at:
        known.checked_at = now
        return known
    return _read_catalog(exchange, market_type, loaded_at, now)


def _list_loaded_at(exchange: str, market_type: MarketType) -> datetime | None:
    stored = MarketList.objects.filter(exchange=exchange, market_type=market_type)
    return stored.values_list("loaded_at", flat=True).first()


def _read_catalog(
    exchange: str, market_type: MarketType, loaded_at: datetime, now: datetime
) -> MarketCatalog:
    specs = {row.symbol: row.to_spec() for row in Market.objects.of(exchange, market_type)}
    gateway.install_markets(exchange, market_type, [spec.raw for spec in specs.values()])
    fresh = MarketCatalog(specs, SymbolIndex(specs.values()), loaded_at, now)
    _catalogs[exchange, market_type] = fresh
    return fresh
