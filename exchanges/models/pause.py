import math
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from exchanges.pause_record import Pause, PauseKey

REASON_LENGTH = 250


class ExchangePauseQuerySet(models.QuerySet["ExchangePause"]):
    def running(self, *, now: datetime) -> "ExchangePauseQuerySet":
        return self.filter(until__gt=now)

    def tell(self, key: PauseKey, pause: Pause, known: "ExchangePause | None", *, now: datetime) -> None:
        """Stores the pause in place of the known row, unless another process changed the row meanwhile."""
        told = {
            "until": now + timedelta(seconds=pause.left_s),
            "length_s": math.ceil(pause.left_s),
            "asked_s": pause.asked_s,
            "reason": pause.reason[:REASON_LENGTH],
            "told_at": now,
        }
        if known is None:
            row: Any = ExchangePause(exchange=key.exchange, key_digest=key.key_digest, **told)
            self.bulk_create([row], ignore_conflicts=True)
        else:
            self.filter(pk=known.pk, until=known.until, lifts=known.lifts).update(**told)

    def lift(self, key: PauseKey, *, now: datetime) -> None:
        """Ends the pause for all processes, also for a process that has the pause in memory only."""
        row: Any = ExchangePause(exchange=key.exchange, key_digest=key.key_digest, until=now)
        self.bulk_create([row], ignore_conflicts=True)
        self.filter(exchange=key.exchange, key_digest=key.key_digest).update(
            lifts=F("lifts") + 1, lifted_at=now, until=now, length_s=0
        )


class ExchangePause(models.Model):
    """The time until which an exchange takes no request of our address, or of one account. Any process may write.

    `length_s` is the length of the pause as of `told_at`: no process waits longer, whatever its clock says. `lifts`
    counts how often the pause was ended by a person or by a probe; a process that sees a new number drops the pause.
    """

    exchange = models.CharField(_("exchange"), max_length=40)
    # Empty for the whole address; else names the API key without telling the key.
    key_digest = models.CharField(_("API key"), max_length=16, blank=True, editable=False)
    until = models.DateTimeField(_("until"))
    length_s = models.PositiveIntegerField(default=0, editable=False)
    asked_s = models.PositiveIntegerField(_("seconds asked for"), default=0)
    reason = models.CharField(_("the exchange's words"), max_length=REASON_LENGTH, blank=True)
    told_at = models.DateTimeField(_("told at"), null=True)
    lifts = models.PositiveIntegerField(default=0, editable=False)
    lifted_at = models.DateTimeField(_("lifted at"), null=True)

    objects = ExchangePauseQuerySet.as_manager()

    class Meta:
        verbose_name = _("pause of an exchange")
        verbose_name_plural = _("pauses of exchanges")
        ordering = ["exchange", "key_digest"]
        constraints = [
            models.UniqueConstraint(fields=["exchange", "key_digest"], name="one_pause_per_exchange_and_key")
        ]

    def __str__(self) -> str:
        return self.exchange

    @property
    def key(self) -> PauseKey:
        return PauseKey(self.exchange, self.key_digest)

    def left_s(self, *, now: datetime) -> float:
        """The seconds left, not above `length_s`: a clock that was set back prolongs no pause."""
        return max(0.0, min((self.until - now).total_seconds(), self.length_s))
