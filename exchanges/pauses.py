"""The pauses that exchanges impose on this address. All processes behind the address share the pauses."""

from datetime import datetime, timedelta

from exchanges.gateway import gateway
from exchanges.models import ExchangePause

_SLACK = timedelta(seconds=1)  # each trip of a pause through the database makes the pause a little longer


def synchronize(*, now: datetime) -> None:
    """Takes over the pauses of other processes, and stores the pauses of this process. Shortens no pause.

    Runs one statement where nothing is new. Call this function outside of transactions, because other processes would
    see a pause from inside a transaction too late.
    """
    stored = dict(ExchangePause.objects.values_list("exchange", "until"))
    ours = {exchange: now + timedelta(seconds=left_s) for exchange, left_s in gateway.pauses().items()}
    for exchange, until in stored.items():
        if until > now:
            gateway.pause(exchange, (until - now).total_seconds())
    for exchange, until in ours.items():
        if exchange not in stored or until > stored[exchange] + _SLACK:
            ExchangePause.objects.extend(exchange, until)
