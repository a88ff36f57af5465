from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from exchanges.database.prepared import Slot, Update
from exchanges.database.trips import Statement
from exchanges.enums import MarketType
from exchanges.models.fixed import refuse_change
from strategies.models.risk import RiskLimits


class PassedStop(models.TextChoices):
    """What becomes of a stop exit whose trigger has been passed before the order arrived."""

    MARKET = "market", _("Close at the market's price")
    ASK = "ask", _("Ask a person")


class Unprotected(models.TextChoices):
    """What becomes of a position that should have a stop and has none."""

    ALARM = "alarm", _("Raise an alarm")
    CLOSE = "close", _("Raise an alarm and close the position")


class OnGap(models.TextChoices):
    """What becomes of an alert that shows that an alert before was missed."""

    FOLLOW = "follow", _("Follow to the position that the alert names")
    EXITS_ONLY = "exits_only", _("Close what is too much, open nothing")
    REFUSE = "refuse", _("Only close when the alert says flat")


class Dialect(models.TextChoices):
    """The sender for whom a message is written."""

    OWN = "own", _("tradehub")
    TRADERSPOST = "traderspost", "TradersPost"
    THREE_COMMAS = "3commas", "3Commas"
    OCTOBOT = "octobot", "OctoBot"
    POABOT = "poabot", "POABOT"
    OPENALGO = "openalgo", "OpenAlgo"
    OPENALGO_STRATEGY = "openalgo-strategy", "OpenAlgo strategy"


class StrategyQuerySet(models.QuerySet["Strategy"]):
    def active(self) -> "StrategyQuerySet":
        return self.filter(is_active=True)

    def locked(self, pk: int) -> "Strategy":
        """Locks the strategy's row until the transaction ends, so that a strategy's deliveries are stored in sequence.

        The ids of a strategy's orders and batches then grow in commit order, so a smaller id always belongs to
        an earlier delivery. On SQLite the IMMEDIATE transaction has the same effect for all strategies.
        """
        return self.select_for_update(no_key=True).get(pk=pk)

    def hearing(self, pk: int, *, now: datetime) -> Statement:
        """Notes that the strategy was heard of, which ends its silence, and locks the row as `locked` does."""
        return _HEAR.statement(using=self.db, pk=pk, now=now)


class Strategy(RiskLimits):
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="strategies", verbose_name=_("owner")
    )
    name = models.CharField(_("name"), max_length=100)
    group_name = models.CharField(
        _("group name"), max_length=100, unique=True, help_text=_("What alerts put into group_name.")
    )
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    is_active = models.BooleanField(_("active"), default=True)
    is_public = models.BooleanField(_("public"), default=False, help_text=_("Others may subscribe to it."))
    max_lag_s = models.PositiveIntegerField(
        _("maximum lag in seconds"),
        null=True,
        blank=True,
        help_text=_("Entries older than this when they arrive are refused; empty for no limit."),
    )
    passed_stop = models.CharField(
        _("stop exit beyond its trigger"),
        max_length=10,
        choices=PassedStop.choices,
        default=PassedStop.ASK,
        help_text=_("The exchange refuses a stop whose price has been passed already."),
    )
    unprotected = models.CharField(
        _("position without its stop"),
        max_length=10,
        choices=Unprotected.choices,
        default=Unprotected.ALARM,
        help_text=_("When the stop of a protected position does not rest at the exchange for ten seconds."),
    )
    on_gap = models.CharField(
        _("missed alerts"),
        max_length=12,
        choices=OnGap.choices,
        default=OnGap.FOLLOW,
        help_text=_("What becomes of an alert that shows that an alert before was missed."),
    )
    heartbeat_s = models.PositiveIntegerField(
        _("expected to hear something every (seconds)"),
        null=True,
        blank=True,
        help_text=_("Silence for longer is an alarm; empty for no alarm."),
    )
    dialect = models.CharField(
        _("dialect"),
        max_length=20,
        choices=Dialect.choices,
        blank=True,
        help_text=_("The service for which the messages were written; empty: recognized by the message."),
    )
    percent_of_capital = models.BooleanField(
        _("percent of a balance means percent of capital"),
        default=False,
        help_text=_(
            "Messages of other services size by percent of an equity or a balance, which are not known here."
        ),
    )
    heard_at = models.DateTimeField(_("heard at"), null=True, editable=False)
    silent_since = models.DateTimeField(_("silent since"), null=True, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = StrategyQuerySet.as_manager()

    class Meta:
        verbose_name = _("strategy")
        verbose_name_plural = _("strategies")
        ordering = ["group_name"]

    def __str__(self) -> str:
        return self.group_name

    def clean(self) -> None:
        if self.is_in_use:
            refuse_change(self, "owner", "market_type")

    @property
    def is_in_use(self) -> bool:
        """Whether the strategy has strategy accounts or batches."""
        return self.pk is not None and (self.strategy_accounts.exists() or self.batch_set.exists())


_HEAR = Update(
    lambda: (Strategy.objects.filter(pk=Slot("pk")), {"heard_at": Slot("now"), "silent_since": None})
)
