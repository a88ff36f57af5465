"""The pauses that exchanges impose on this address or on one account. All processes share the pauses.

A pause ends for all processes when its time is over, when a person lifts it, or when the exchange answers a probe.
"""

import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping, Set
from datetime import datetime

from django.db import transaction

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from exchanges.database.prepared import Query
from exchanges.gateway import gateway
from exchanges.models import ExchangePause
from exchanges.pause_record import PauseKey, key_digest

logger = logging.getLogger(__name__)

_SLACK_S = 1  # each trip of a pause through the database makes the pause a little longer

PAUSES = Query(lambda: ExchangePause.objects.order_by())  # the rows for `take_over`

Rows = Mapping[PauseKey, ExchangePause]


def synchronize(*, now: datetime, within_s: float = 0) -> None:
    """Takes over pauses and lifts of other processes, and stores the pauses of this process. Shortens no pause.

    Runs one statement where nothing is new, and none where the rows were read at most `within_s` seconds ago and no
    pause is running. Call this function outside of transactions, because other processes would see a pause from inside
    a transaction too late.
    """
    answered = gateway.pause_record.take_probed()
    if not answered and _latest.age_s() <= within_s and not gateway.pause_record.running():
        return  # a running pause is told to the others in any case
    for key in answered:
        ExchangePause.objects.lift(key, now=now)
    asked_at = time.monotonic()
    found = PAUSES.rows()
    take_over(found, asked_at=asked_at, now=now, answered=answered)
    _tell_others({row.key: row for row in found}, now)


def take_over(
    found: Iterable[ExchangePause], *, asked_at: float, now: datetime, answered: Set[PauseKey] = frozenset()
) -> None:
    """Takes over pauses and lifts from rows that the caller asked for at `asked_at` (monotonic clock).

    Rows older than those taken over already are left alone: they could bring back what was lifted meanwhile.
    """
    if _latest.is_new(asked_at):
        rows = {row.key: row for row in found}
        _take_lifts(rows, answered)
        _begin_pauses(rows, now)


def lift_pause(exchange: str, api_key: str = "", *, actor: Actor, now: datetime) -> None:
    """Ends the pause of the whole address, or of the account with the key, in all processes."""
    lift_pauses([PauseKey(exchange, key_digest(api_key))], actor=actor, now=now)


def lift_pauses(keys: Iterable[PauseKey], *, actor: Actor, now: datetime) -> None:
    wanted = sorted(set(keys))
    with transaction.atomic():
        for key in wanted:
            ExchangePause.objects.lift(key, now=now)
        for key in wanted:
            row = ExchangePause.objects.get(exchange=key.exchange, key_digest=key.key_digest)
            after = {"exchange": key.exchange, "key": key.key_digest}
            record(Action.PAUSE_LIFTED, row, actor=actor, now=now, after=after)
    for key in wanted:
        logger.info("pause lifted exchange=%s one_account=%s", key.exchange, bool(key.key_digest))
    synchronize(now=now)


class _Latest:
    """When the rows were asked for that this process took over last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked_at = -math.inf

    def age_s(self) -> float:
        return time.monotonic() - self._asked_at

    def is_new(self, asked_at: float) -> bool:
        with self._lock:
            if asked_at < self._asked_at:
                return False
            self._asked_at = asked_at
            return True


_latest = _Latest()


def _take_lifts(rows: Rows, answered: Set[PauseKey]) -> None:
    """Drops the pauses that were lifted since the last look. The first look of a process drops nothing."""
    seen = gateway.pause_lifts
    for key, row in rows.items():
        if seen is not None and row.lifts > seen.get(key, 0) and key not in answered:
            gateway.pause_record.end(key)
    gateway.pause_lifts = {key: row.lifts for key, row in rows.items()}


def _begin_pauses(rows: Rows, now: datetime) -> None:
    """Takes each stored pause over once, because our own clock counts the rest of the pause better than the rows do."""
    for key, row in rows.items():
        if gateway.pause_times.get(key) != row.until:
            gateway.pause_times[key] = row.until
            _begin_pause(key, row, now)


def _begin_pause(key: PauseKey, row: ExchangePause, now: datetime) -> None:
    left_s = row.left_s(now=now)
    if left_s:
        gateway.pause_record.begin(key, left_s, asked_s=row.asked_s, reason=row.reason)


def _tell_others(rows: Rows, now: datetime) -> None:
    for key, pause in gateway.pause_record.running().items():
        row = rows.get(key)
        if row is None or pause.left_s > row.left_s(now=now) + _SLACK_S:
            ExchangePause.objects.tell(key, pause, row, now=now)
