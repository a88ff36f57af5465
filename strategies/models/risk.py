from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from exchanges.enums import TradingState
from exchanges.fields import ExactDecimalField, StateReasonField
from strategies.limits import LIMIT_NAMES

BUDGET_NAMES = ("token_orders_per_minute", "user_orders_per_minute", "all_orders_per_minute")


def _amount_field(label: Any, help_text: Any) -> ExactDecimalField:
    return ExactDecimalField(
        label, null=True, blank=True, validators=[MinValueValidator(0)], help_text=help_text
    )


def _count_field(label: Any, help_text: Any) -> "models.PositiveIntegerField[int | None, int | None]":
    return models.PositiveIntegerField(label, null=True, blank=True, help_text=help_text)


class RiskLimits(models.Model):
    """The trading state and the limits of one level.

    Where a limit is empty, the next wider level decides. A limit that is empty at every level does not exist.
    """

    trading_state = models.CharField(
        _("trading state"), max_length=12, choices=TradingState.choices, default=TradingState.ACTIVE
    )
    state_reason = StateReasonField(_("reason of the state"), max_length=200, blank=True)
    state_changed_at = models.DateTimeField(_("state changed at"), null=True, blank=True, editable=False)
    max_order_notional = _amount_field(_("maximum notional per order"), _("In quote currency."))
    max_position_notional = _amount_field(_("maximum notional per position"), _("In quote currency."))
    max_price_distance_percent = _amount_field(
        _("maximum distance from the last price in percent"), _("For LIMIT and stop orders.")
    )
    max_open_orders = _count_field(_("maximum open orders"), _("Per strategy account."))
    max_orders_per_minute = _count_field(_("maximum orders per minute"), _("Per strategy account."))
    max_symbols = _count_field(_("maximum symbols"), _("Symbols held or worked at once."))
    max_daily_loss = _amount_field(
        _("maximum daily loss"), _("Realized, fees included, since midnight UTC; then only exits go out.")
    )
    max_drawdown_percent = _amount_field(
        _("maximum drawdown in percent of capital"),
        _("From the best realized result; then only exits go out."),
    )
    max_errors_in_a_row = _count_field(
        _("maximum errors in a row"), _("Orders that the exchange rejected; then nothing goes out.")
    )

    changed_as = dict.fromkeys(LIMIT_NAMES, Action.LIMITS_CHANGED)

    class Meta:
        abstract = True


@dataclass(frozen=True, slots=True)
class OrderBudgets:
    """Orders a minute that one token, the tokens of one user, and all tokens together may send."""

    of_token: int
    of_user: int
    of_all: int


def _budget_field(label: Any, default: int) -> "models.PositiveIntegerField[int, int]":
    help_text = _("Each account of each order counts. Exits and cancels always pass.")
    return models.PositiveIntegerField(
        label, default=default, validators=[MinValueValidator(1)], help_text=help_text
    )


class SystemRisk(RiskLimits):
    """The widest level: a single row, stored when the admin first shows the row or a trading state is first set."""

    token_orders_per_minute = _budget_field(_("orders per minute of one token"), 10_000)
    user_orders_per_minute = _budget_field(_("orders per minute of one user's tokens"), 20_000)
    all_orders_per_minute = _budget_field(_("orders per minute of all tokens"), 60_000)

    changed_as = {**RiskLimits.changed_as, **dict.fromkeys(BUDGET_NAMES, Action.LIMITS_CHANGED)}

    class Meta:
        verbose_name = _("system risk")
        verbose_name_plural = _("system risk")
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="one_system_risk")]

    def __str__(self) -> str:
        return str(_("System"))

    def order_budgets(self) -> OrderBudgets:
        return OrderBudgets(
            self.token_orders_per_minute, self.user_orders_per_minute, self.all_orders_per_minute
        )

    @classmethod
    def current(cls) -> "SystemRisk":
        """Returns the stored row, else an unsaved row without limits."""
        return cls.stored_or_unlimited(cls.objects.filter(pk=1))

    @classmethod
    def stored_or_unlimited(cls, stored: "Iterable[SystemRisk]") -> "SystemRisk":
        return next(iter(stored), None) or cls(pk=1)
