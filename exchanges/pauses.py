"""Pauses that exchanges impose on an address, shared by all processes behind it."""

from datetime import datetime, timedelta

from exchanges.gateway import gateway
from exchanges.models import ExchangePause

_SLACK = timedelta(seconds=1)  # a pause that went through the database and back is a little longer each time


def synchronize(*, now: datetime) -> None:
    """Makes this process keep the pauses that others were told of, and tells them of its own. Shortens none.

    One statement where there is nothing new. Call it outside of transactions, where a pause would be seen too late.
    """
    stored = dict(ExchangePause.objects.values_list("exchange", "until"))
    ours = {exchange: now + timedelta(seconds=left_s) for exchange, left_s in gateway.pauses().items()}
    for exchange, until in stored.items():
        if until > now:
            gateway.pause(exchange, (until - now).total_seconds())
    for exchange, until in ours.items():
        if exchange not in stored or until > stored[exchange] + _SLACK:
            ExchangePause.objects.extend(exchange, until)
