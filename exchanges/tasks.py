"""Tasks on the worker's schedule. Each task makes one call and may run twice."""

from django.utils import timezone

from exchanges.market_data import catalog


def refresh_markets() -> dict[str, str]:
    return catalog.reload_old(now=timezone.now())
