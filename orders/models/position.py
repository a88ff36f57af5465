from decimal import Decimal

from django.contrib import admin
from django.db import models
from django.utils.translation import gettext_lazy as _

from exchanges.fields import ExactDecimalField
from orders.domain.position_math import PositionState


class PositionQuerySet(models.QuerySet["Position"]):
    def held(self) -> "PositionQuerySet":
        return self.exclude(quantity=0)

    def tradable(self) -> "PositionQuerySet":
        """Held positions without dust: dust counts as no position."""
        return self.held().filter(is_dust=False)

    def visible_to(self, user_id: int) -> "PositionQuerySet":
        return self.filter(strategy_account__account__owner=user_id)


class Position(models.Model):
    """The position of a strategy account in a symbol: always and only the sum of trades and adjustments."""

    strategy_account = models.ForeignKey(
        "strategies.StrategyAccount",
        models.PROTECT,
        related_name="positions",
        verbose_name=_("strategy account"),
    )
    symbol = models.CharField(_("symbol"), max_length=80)
    quantity = ExactDecimalField(_("quantity"), default=0, help_text=_("Negative is short."))
    cost = ExactDecimalField(_("cost"), default=0, help_text=_("Signed notional at entry."))
    realized_profit = ExactDecimalField(_("realized profit"), default=0, help_text=_("Before fees."))
    fees = ExactDecimalField(_("fees"), default=0, help_text=_("Paid in quote currency."))
    is_dust = models.BooleanField(
        _("dust"), default=False, help_text=_("Less than the exchange lets anybody trade.")
    )
    updated_at = models.DateTimeField(_("updated at"), null=True)

    objects = PositionQuerySet.as_manager()

    class Meta:
        verbose_name = _("position")
        verbose_name_plural = _("positions")
        constraints = [
            models.UniqueConstraint(fields=["strategy_account", "symbol"], name="one_position_per_symbol")
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.quantity}"

    @property
    @admin.display(description=_("entry price"))
    def entry_price(self) -> Decimal | None:
        return self.cost / self.quantity if self.quantity else None

    @property
    def state(self) -> PositionState:
        return PositionState(self.quantity, self.cost, self.realized_profit, self.fees)

    @state.setter
    def state(self, state: PositionState) -> None:
        self.quantity, self.cost = state.quantity, state.cost
        self.realized_profit, self.fees = state.realized_profit, state.fees
