"""Tasks on the worker's schedule. Each task makes one call and may run twice."""

from django.utils import timezone

from exchanges.account_checks import key_check
from exchanges.market_data import catalog


def refresh_markets() -> dict[str, str]:
    return catalog.reload_old(now=timezone.now())


def check_keys() -> int:
    return key_check.check_keys(now=timezone.now())
