from django.db import models
from django.utils.translation import gettext_lazy as _

from exchanges.fields import ExactDecimalField
from orders.domain.enums import Evidence, OrderStatus


class OrderEvent(models.Model):
    """One change of an order's status. Append-only: a database trigger refuses updates and deletes of rows."""

    order = models.ForeignKey("orders.Order", models.PROTECT, related_name="events", verbose_name=_("order"))
    at = models.DateTimeField(_("at"))
    from_status = models.CharField(_("from"), max_length=20, choices=OrderStatus.choices)
    to_status = models.CharField(_("to"), max_length=20, choices=OrderStatus.choices)
    evidence = models.CharField(_("evidence"), max_length=10, choices=Evidence.choices)
    actor = models.CharField(_("actor"), max_length=80)
    reason = models.CharField(_("reason"), max_length=60, blank=True)
    exchange_code = models.CharField(_("exchange's code"), max_length=40, blank=True)
    http_status = models.PositiveSmallIntegerField(_("HTTP status"), null=True)
    filled = ExactDecimalField(_("filled"), default=0)
    reported_at = models.DateTimeField(_("the exchange's time"), null=True)

    class Meta:
        verbose_name = _("order event")
        verbose_name_plural = _("order events")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.from_status} → {self.to_status}"
