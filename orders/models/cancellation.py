from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from exchanges.enums import Side


class CancellationQuerySet(models.QuerySet["Cancellation"]):
    def unreleased(self) -> "CancellationQuerySet":
        return self.filter(released_at__isnull=True)


class Cancellation(models.Model):
    """A cancel instruction for one strategy account, stored before tradehub carries the instruction out.

    `target` names one order. An instruction without `target` means every open order of the strategy account, and
    `symbol`, `side` and `tag` narrow the instruction.
    """

    batch = models.ForeignKey(
        "orders.Batch", models.PROTECT, related_name="cancellations", verbose_name=_("batch")
    )
    strategy_account = models.ForeignKey(
        "strategies.StrategyAccount",
        models.PROTECT,
        related_name="cancellations",
        verbose_name=_("strategy account"),
    )
    leg = models.PositiveSmallIntegerField(_("leg"))
    sequence = models.PositiveSmallIntegerField(_("sequence"), help_text=_("Its turn within the batch."))
    symbol = models.CharField(_("symbol"), max_length=80, blank=True)
    side = models.CharField(_("side"), max_length=4, choices=Side.choices, blank=True)
    tag = models.CharField(_("tag"), max_length=64, blank=True)
    target = models.ForeignKey(
        "orders.Order", models.PROTECT, null=True, related_name="+", verbose_name=_("order")
    )
    released_at = models.DateTimeField(_("released at"), null=True)

    objects = CancellationQuerySet.as_manager()

    class Meta:
        verbose_name = _("cancellation")
        verbose_name_plural = _("cancellations")
        indexes = [
            # Each run reads the unreleased cancellations of earlier batches.
            models.Index(
                fields=["strategy_account"],
                condition=Q(released_at__isnull=True),
                name="cancellation_unreleased",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.batch} {self.symbol}"
