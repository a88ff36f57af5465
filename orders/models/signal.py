"""The last position that a strategy's alerts named, and the alerts that must have been missed."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from exchanges.fields import ExactDecimalField

POSITIONS = [("long", _("Long")), ("short", _("Short")), ("flat", _("Flat"))]


class Signal(models.Model):
    """The newest alert of a strategy for a symbol, in the script's own words.

    `position` is empty where the newest alert named no position. `missed_from` and `missed_to` are the positions
    between which the last gap lies: an alert that fits the gap comes late. `missed_before` is the sender's time of the
    alert that showed the gap.
    """

    strategy = models.ForeignKey(
        "strategies.Strategy", models.CASCADE, related_name="signals", verbose_name=_("strategy")
    )
    symbol = models.CharField(_("symbol"), max_length=80)
    signaled_at = models.DateTimeField(_("signaled at"), null=True)
    heard_at = models.DateTimeField(_("heard at"))
    position = models.CharField(_("position"), max_length=5, choices=POSITIONS, blank=True)
    size = ExactDecimalField(_("size"), null=True, help_text=_("In the script's own unit."))
    missed_from = models.JSONField(default=dict, editable=False)
    missed_to = models.JSONField(default=dict, editable=False)
    missed_at = models.DateTimeField(null=True, editable=False)
    missed_before = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("signal")
        verbose_name_plural = _("signals")
        constraints = [models.UniqueConstraint(fields=["strategy", "symbol"], name="one_signal_per_symbol")]

    def __str__(self) -> str:
        return f"{self.strategy} {self.symbol}"


class MissedAlert(models.Model):
    """An alert whose `prev_*` fields are not what the alert before said: at least one alert in between is missing.

    With a `strategy_account`, the alerts are in sequence, but this account does not hold what the alert presumes: the
    account's entry was denied, or a stop or a person closed the position. Such a row tells of a subscriber's holding,
    so only staff see the row: no answer, warning or REST resource may carry the row to the strategy's owner.
    """

    batch = models.ForeignKey(
        "orders.Batch", models.PROTECT, related_name="missed_alerts", verbose_name=_("batch")
    )
    strategy = models.ForeignKey(
        "strategies.Strategy", models.PROTECT, related_name="missed_alerts", verbose_name=_("strategy")
    )
    strategy_account = models.ForeignKey(
        "strategies.StrategyAccount",
        models.PROTECT,
        null=True,
        related_name="missed_alerts",
        verbose_name=_("strategy account"),
        help_text=_("Empty: the alerts of the strategy are not in sequence."),
    )
    leg = models.PositiveSmallIntegerField(_("leg"), null=True)
    symbol = models.CharField(_("symbol"), max_length=80)
    known = models.CharField(_("position as known here"), max_length=60)
    said = models.CharField(_("position before, by this alert"), max_length=60)
    on_gap = models.CharField(_("what was done"), max_length=12)
    noticed_at = models.DateTimeField(_("noticed at"), db_index=True)
    arrived_at = models.DateTimeField(
        _("arrived late at"),
        null=True,
        help_text=_("The missing alert came after the alert that showed the gap."),
    )

    class Meta:
        verbose_name = _("missed alert")
        verbose_name_plural = _("missed alerts")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["batch", "leg", "strategy_account"],
                condition=models.Q(strategy_account__isnull=False),
                name="one_missed_alert_per_leg_and_account",
            )
        ]

    def __str__(self) -> str:
        return f"{self.strategy} {self.symbol}"
