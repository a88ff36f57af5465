"""Refreshes the cached prices of symbols with a position or an open order, for the next MARKET order."""

import logging
from collections import defaultdict
from datetime import datetime

from exchanges.enums import MarketType
from exchanges.errors import ExchangeError
from exchanges.market_data import catalog, prices
from orders.models import Order, Position

logger = logging.getLogger(__name__)


def refresh_prices_in_use(*, now: datetime) -> int:
    """Refreshes prices with one request per exchange and market type. Returns the number of refreshed prices.

    The failure of an exchange does not stop the refresh at the other exchanges.
    """
    held = Position.objects.held().values_list(
        "strategy_account__account__exchange", "strategy_account__strategy__market_type", "symbol"
    )
    worked = Order.objects.open().values_list("account__exchange", "market_type", "symbol")
    wanted: dict[tuple[str, str], set[str]] = defaultdict(set)
    for exchange, kind, symbol in {*held, *worked}:
        wanted[exchange, kind].add(symbol)
    return sum(
        _refresh_market(exchange, MarketType(kind), symbols, now)
        for (exchange, kind), symbols in wanted.items()
    )


def _refresh_market(exchange: str, kind: MarketType, symbols: set[str], now: datetime) -> int:
    try:
        catalog.open_catalog(exchange, kind, now=now)
        return prices.refresh_prices(exchange, kind, symbols, now=now)
    except ExchangeError as error:
        logger.warning("prices unavailable exchange=%s code=%s", exchange, error.code)
        return 0
