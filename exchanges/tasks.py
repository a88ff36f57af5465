"""Scheduled by the worker. Each ends in one call and may run twice."""

from django.utils import timezone

from exchanges import markets


def refresh_markets() -> dict[str, str]:
    return markets.reload_old(now=timezone.now())
