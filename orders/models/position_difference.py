from django.db import models
from django.utils.translation import gettext_lazy as _

from exchanges.enums import MarketType
from exchanges.fields import ExactDecimalField

FREEZES_AFTER_LOOKS = 2


class PositionDifferenceQuerySet(models.QuerySet["PositionDifference"]):
    def unresolved(self) -> "PositionDifferenceQuerySet":
        return self.filter(resolved_at__isnull=True)

    def freezing(self) -> "PositionDifferenceQuerySet":
        """Unresolved differences seen FREEZES_AFTER_LOOKS times in a row. Entries for such a holding are denied."""
        return self.unresolved().filter(looks__gte=FREEZES_AFTER_LOOKS)


class PositionDifference(models.Model):
    """A difference between our positions and the exchange's holding of an account and symbol.

    tradehub never trades because of a difference. Agreement of both sides or a person resolves the difference.
    """

    account = models.ForeignKey("exchanges.Account", models.PROTECT, verbose_name=_("account"))
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    symbol = models.CharField(_("symbol"), max_length=80)
    ours = ExactDecimalField(_("our books"))
    theirs = ExactDecimalField(_("the exchange"))
    external = ExactDecimalField(
        _("declared external"),
        default=0,
        help_text=_("Held outside of our strategies, as a person declared."),
    )
    looks = models.PositiveIntegerField(_("times seen in a row"), default=1)
    first_seen_at = models.DateTimeField(_("first seen at"))
    last_seen_at = models.DateTimeField(_("last seen at"))
    resolved_at = models.DateTimeField(_("resolved at"), null=True)

    objects = PositionDifferenceQuerySet.as_manager()

    class Meta:
        verbose_name = _("position difference")
        verbose_name_plural = _("position differences")
        ordering = ["resolved_at", "-last_seen_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "market_type", "symbol"], name="one_difference_per_holding"
            )
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.symbol}"

    @property
    def freezes(self) -> bool:
        return self.resolved_at is None and self.looks >= FREEZES_AFTER_LOOKS
