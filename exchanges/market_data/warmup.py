"""Prepares a process for the first delivery: markets in memory, clients built, clocks compared."""

import logging
from datetime import datetime

from django.db import DatabaseError, close_old_connections

from exchanges.enums import MarketType
from exchanges.errors import ExchangeError
from exchanges.gateway import gateway
from exchanges.market_data import catalog
from exchanges.models import Account
from exchanges.registry import EXCHANGES

logger = logging.getLogger(__name__)


def warm_up(*, now: datetime) -> None:
    """Opens the market catalogs of all exchanges in use, and reads the exchanges' clocks in the background.

    After a failure the first caller who needs the catalog tries again.
    """
    try:
        in_use = set(Account.objects.active().values_list("exchange", flat=True))
        for name in in_use & EXCHANGES.keys():
            for market_type in EXCHANGES[name].clients:
                _warm_up_market_type(name, market_type, now)
    except DatabaseError as error:
        logger.warning("not warmed up error=%s", type(error).__name__)
    finally:
        close_old_connections()


def _warm_up_market_type(exchange: str, market_type: MarketType, now: datetime) -> None:
    try:
        catalog.open_catalog(exchange, market_type, now=now)
    except ExchangeError as error:
        logger.warning("markets unavailable exchange=%s code=%s", exchange, error.code)
    gateway.set_clock(exchange, market_type)
