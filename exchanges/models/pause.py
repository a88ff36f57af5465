from datetime import datetime
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class ExchangePauseQuerySet(models.QuerySet["ExchangePause"]):
    def extend(self, exchange: str, until: datetime) -> None:
        """Stores the pause, unless a longer pause is stored. The longer pause wins over a concurrent write too."""
        row: Any = ExchangePause(exchange=exchange, until=until)
        self.bulk_create([row], ignore_conflicts=True)
        self.filter(exchange=exchange, until__lt=until).update(until=until)


class ExchangePause(models.Model):
    """The time until which an exchange takes no request of our address. The pause may come from any process."""

    exchange = models.CharField(_("exchange"), max_length=40, unique=True)
    until = models.DateTimeField(_("until"))

    objects = ExchangePauseQuerySet.as_manager()

    class Meta:
        verbose_name = _("pause of an exchange")
        verbose_name_plural = _("pauses of exchanges")
        ordering = ["exchange"]

    def __str__(self) -> str:
        return self.exchange
