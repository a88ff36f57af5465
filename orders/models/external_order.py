from django.db import models
from django.utils.translation import gettext_lazy as _

from exchanges.enums import MarketType
from exchanges.fields import ExactDecimalField


class ExternalOrder(models.Model):
    """An open order at the exchange without a row in `Order`. tradehub keeps a record and leaves the order alone."""

    account = models.ForeignKey("exchanges.Account", models.PROTECT, verbose_name=_("account"))
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    symbol = models.CharField(_("symbol"), max_length=80)
    exchange_order_id = models.CharField(_("exchange order id"), max_length=80)
    client_order_id = models.CharField(_("client order id"), max_length=80, blank=True)
    status = models.CharField(_("status"), max_length=20, blank=True)
    quantity = ExactDecimalField(_("quantity"), null=True)
    filled = ExactDecimalField(_("filled"), default=0)
    first_seen_at = models.DateTimeField(_("first seen at"))
    last_seen_at = models.DateTimeField(_("last seen at"))

    class Meta:
        verbose_name = _("external order")
        verbose_name_plural = _("external orders")
        ordering = ["-last_seen_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "market_type", "symbol", "exchange_order_id"], name="external_order_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.exchange_order_id}"
