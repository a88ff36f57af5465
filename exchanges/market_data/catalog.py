"""The markets of each exchange: loaded once without keys, kept in the database, shared in memory.

A restart needs no network before its first order; a list that got old is replaced by the worker, or by the next one
who needs it when there is none at all.
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
    """What one exchange trades of one market type. Read-only for callers."""

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
os.register_at_fork(after_in_child=_catalogs.clear)  # a child's clients have no markets installed yet


def open_catalog(exchange: str, market_type: MarketType, *, now: datetime) -> MarketCatalog:
    """From memory, else from the database, else from the exchange. Raises ExchangeError when none of them has it."""
    known = _catalogs.get((exchange, market_type))
    if known is not None and now - known.checked_at < _RECHECK:
        return known
    with _locks[exchange, market_type]:  # one exchange that does not answer holds up nobody else's orders
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
    """Fetches the list from the exchange and stores it; returns how many markets. Raises ExchangeError.

    A list in which most of what was open is closed tells of maintenance, not of the markets, and is not taken.
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


def reload_soon(exchange: str, market_type: MarketType, *, now: datetime) -> None:
    """Has the worker reload a list that an exchange's refusal contradicts, unless it was loaded just now."""
    lists = MarketList.objects.filter(exchange=exchange, market_type=market_type, is_doubted=False)
    lists.filter(loaded_at__lt=now - _JUST_NOW).update(is_doubted=True)


def reload_old(*, now: datetime) -> dict[str, str]:
    """Reloads every list in use that is doubted or older than MARKETS_MAX_AGE_S.

    One exchange's failure leaves the others be.
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
    """Drops what is in memory."""
    _catalogs.clear()


def _refreshed_catalog(exchange: str, market_type: MarketType, now: datetime) -> MarketCatalog:
    known = _catalogs.get((exchange, market_type))
    if known is not None and now - known.checked_at < _RECHECK:
        return known  # someone else was faster
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
