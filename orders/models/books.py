"""How far the books are known to agree with the exchanges."""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from exchanges.enums import MarketType
from exchanges.fields import ExactDecimalField

NOTES = {
    "ledger_unread": _("The ledger was not compared: the paper exchange could not be read."),
    "exchange_unread": _(
        "An account was not compared with its exchange: the exchange did not answer every question."
    ),
    "credentials_unreadable": _("The credentials of an account cannot be decrypted: it was not compared."),
    "audit_behind": _(
        "More changed than one audit reads: the next audits catch up, and manage.py audit_books does so at once."
    ),
}


class HoldingCheckQuerySet(models.QuerySet["HoldingCheck"]):
    def wanted(self) -> "HoldingCheckQuerySet":
        """Holdings for which evidence asks for a comparison at once."""
        return self.filter(wanted_at__isnull=False)


class HoldingCheck(models.Model):
    """When the books and the exchange last agreed about the holding of an account in a symbol.

    `agreed_at` is a time before which every fill at the exchange is in our books. `wanted_at` asks for a comparison at
    once, because an answer of the exchange contradicts the books.
    """

    account = models.ForeignKey("exchanges.Account", models.PROTECT, verbose_name=_("account"))
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    symbol = models.CharField(_("symbol"), max_length=80)
    agreed_at = models.DateTimeField(_("agreed at"), null=True)
    wanted_at = models.DateTimeField(_("comparison wanted since"), null=True)
    checked_at = models.DateTimeField(_("checked at"), null=True)
    theirs = ExactDecimalField(_("the exchange"), null=True, help_text=_("Net holding, when last checked."))
    free = ExactDecimalField(_("free"), null=True, help_text=_("Coins not locked by orders; spot only."))

    objects = HoldingCheckQuerySet.as_manager()

    class Meta:
        verbose_name = _("check of a holding")
        verbose_name_plural = _("checks of holdings")
        constraints = [
            models.UniqueConstraint(fields=["account", "market_type", "symbol"], name="one_check_per_holding")
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.symbol}"


class BooksGap(models.Model):
    """A time for which the books may lack what happened: the database was restored, or nothing tracked orders.

    An entry needs a comparison of its account that is newer than `noticed_at`. The comparison reads the exchange's
    history from `began_at` on.
    """

    began_at = models.DateTimeField(_("began at"))
    noticed_at = models.DateTimeField(_("noticed at"))
    cause = models.CharField(_("cause"), max_length=40)

    class Meta:
        verbose_name = _("gap of the books")
        verbose_name_plural = _("gaps of the books")
        ordering = ["-noticed_at"]
        get_latest_by = "noticed_at"

    def __str__(self) -> str:
        return f"{self.began_at:%Y-%m-%d %H:%M:%S}"


class TrackerPulse(models.Model):
    """The time of the tracker's last turn: a single row."""

    last_turn_at = models.DateTimeField(_("last turn at"))

    class Meta:
        verbose_name = _("pulse of the tracker")
        verbose_name_plural = _("pulse of the tracker")
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="one_tracker_pulse")]

    def __str__(self) -> str:
        return f"{self.last_turn_at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def beat(cls, *, now: datetime, at_most_every: timedelta) -> datetime | None:
        """Stores `now`, unless the last turn is younger than `at_most_every`. Returns the time of the turn before.

        Returns None where nothing was stored, and at the first turn of all. Of two processes at once, one stores.
        """
        before: datetime | None = cls.objects.filter(pk=1).values_list("last_turn_at", flat=True).first()
        if before is None:
            first: Any = cls(pk=1, last_turn_at=now)
            cls.objects.bulk_create([first], ignore_conflicts=True)
            return None
        if timedelta(0) <= now - before < at_most_every:
            return None
        stored = cls.objects.filter(pk=1, last_turn_at=before).update(last_turn_at=now)
        return before if stored else None


class LiveTracker(models.Model):
    """A tracker that takes part in the division of accounts, with the time of its last turn."""

    name = models.CharField(_("name"), max_length=80, unique=True)
    seen_at = models.DateTimeField(_("last turn at"))

    class Meta:
        verbose_name = _("live tracker")
        verbose_name_plural = _("live trackers")

    def __str__(self) -> str:
        return self.name


class BookAudit(models.Model):
    """The result of one audit of the rules of SPEC section 7, with the broken rules in `problems`."""

    at = models.DateTimeField(_("at"), db_index=True)  # the index is read by health and retention
    is_whole = models.BooleanField(
        _("whole"), default=False, help_text=_("All rows, and not only what changed since the audit before.")
    )
    checked_orders = models.PositiveIntegerField(_("orders checked"))
    problems = models.JSONField(_("problems"), default=list)
    notes = models.JSONField(_("not compared"), default=list)  # keys of NOTES

    class Meta:
        verbose_name = _("book audit")
        verbose_name_plural = _("book audits")
        ordering = ["-at"]
        get_latest_by = "at"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}"

    @property
    def is_clean(self) -> bool:
        return not self.problems

    @property
    def note_texts(self) -> list[str]:
        """The sentences of `notes`, the comparisons left out, in the active language."""
        return [str(NOTES.get(code, code)) for code in self.notes]


class AuditProgress(models.Model):
    """How far the audit has come: a single row. Everything up to these primary keys was checked.

    No row with a smaller primary key appears any more (orders.settled_rows). The orders and adjustments
    that break a rule stay listed, and are checked by each audit, until a person has mended them.
    """

    order_pk = models.BigIntegerField(default=0, editable=False)
    event_pk = models.BigIntegerField(default=0, editable=False)
    trade_pk = models.BigIntegerField(default=0, editable=False)
    adjustment_pk = models.BigIntegerField(default=0, editable=False)
    broken_orders = models.JSONField(default=list, editable=False)
    broken_adjustments = models.JSONField(default=list, editable=False)

    class Meta:
        verbose_name = _("progress of the audit")
        verbose_name_plural = _("progress of the audit")
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="one_audit_progress")]

    def __str__(self) -> str:
        return f"{self.trade_pk}/{self.adjustment_pk}"

    @classmethod
    def locked(cls) -> "AuditProgress":
        """Returns the row, locked until the transaction ends: one audit at a time moves the progress."""
        first: Any = cls(pk=1)
        cls.objects.bulk_create([first], ignore_conflicts=True)
        return cls.objects.select_for_update(no_key=True).get(pk=1)


class AuditedPosition(models.Model):
    """The sum of the checked trades and adjustments of a position: those up to AuditProgress."""

    strategy_account = models.ForeignKey(
        "strategies.StrategyAccount",
        models.PROTECT,
        related_name="+",
        verbose_name=_("strategy account"),
    )
    symbol = models.CharField(_("symbol"), max_length=80)
    quantity = ExactDecimalField(_("quantity"), default=0)

    class Meta:
        verbose_name = _("audited position")
        verbose_name_plural = _("audited positions")
        constraints = [
            models.UniqueConstraint(
                fields=["strategy_account", "symbol"], name="one_audited_sum_per_position"
            )
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.quantity}"


class ResultMark(models.Model):
    """The remembered results of a strategy account since `since`, up to the two keys (orders.controls.results).

    `net` is the sum, `best` its highest value, and `day_net` the part since midnight (UTC) of `day`.
    """

    strategy_account = models.OneToOneField(
        "strategies.StrategyAccount",
        models.PROTECT,
        related_name="+",
        verbose_name=_("strategy account"),
    )
    since = models.DateTimeField(null=True, editable=False)  # the last change of the trading state
    trade_pk = models.BigIntegerField(default=0, editable=False)
    adjustment_pk = models.BigIntegerField(default=0, editable=False)
    net = ExactDecimalField(_("net result"), default=0)
    best = ExactDecimalField(_("best net result"), default=0)
    day = models.DateField(_("day"), null=True)
    day_net = ExactDecimalField(_("net result of the day"), default=0)

    class Meta:
        verbose_name = _("remembered result")
        verbose_name_plural = _("remembered results")

    def __str__(self) -> str:
        return f"{self.strategy_account}"


class ArchiveGate(models.Model):
    """An order whose events may be deleted. A row exists only inside a transaction of orders.archive."""

    order_pk = models.BigIntegerField(unique=True, editable=False)

    class Meta:
        verbose_name = _("gate of the archive")
        verbose_name_plural = _("gates of the archive")

    def __str__(self) -> str:
        return f"#{self.order_pk}"
