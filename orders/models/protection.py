from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from exchanges.enums import MarketType, Side
from exchanges.fields import ExactDecimalField
from orders.domain.enums import ProtectionState
from orders.domain.keys import PositionKey
from orders.domain.terms import Protection as Wanted
from orders.models.exit_goal import ExitGoal

_EVIDENCE_COMES_WITHIN = timedelta(days=30)


class ProtectionQuerySet(models.QuerySet["Protection"]):
    def living(self, *, now: datetime) -> "ProtectionQuerySet":
        """Protections with something left to do.

        A protection that is over lives on while an exit goal of it is pursued, and lives again when late evidence shows
        that its entry was filled. Three small statements: the many protections that are over are not read.
        """
        columns = ("pk",)
        kept = set(self.exclude(state=ProtectionState.OVER).order_by().values_list(*columns))
        late = self.filter(
            over_at__gt=now - _EVIDENCE_COMES_WITHIN, activated_at__isnull=True, replaced=False
        )
        kept |= set(late.filter(entry__filled__gt=0).order_by().values_list(*columns))
        left = ExitGoal.objects.pursued().filter(protection__isnull=False)
        kept |= set(left.order_by().values_list("protection"))
        return self.filter(pk__in=[pk for (pk,) in kept])

    def of(self, keys: Iterable[PositionKey]) -> "ProtectionQuerySet":
        """Narrows to the strategy accounts and symbols of the keys; the caller tells the pairs apart."""
        wanted = set(keys)
        return self.filter(
            strategy_account__in={key.strategy_account_id for key in wanted},
            symbol__in={key.symbol for key in wanted},
        )


class Protection(models.Model):
    """The protective exits that an entry asked for; the exit goals of the protection carry these out.

    The row is written in the transaction that commits the entry as submitted. The newest filled entry with a protection
    decides for the whole position of its strategy account and symbol.
    """

    entry = models.OneToOneField(
        "orders.Order", models.PROTECT, related_name="protection", verbose_name=_("entry")
    )
    strategy = models.ForeignKey(
        "strategies.Strategy", models.PROTECT, related_name="protections", verbose_name=_("strategy")
    )
    strategy_account = models.ForeignKey(
        "strategies.StrategyAccount",
        models.PROTECT,
        related_name="protections",
        verbose_name=_("strategy account"),
    )
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    symbol = models.CharField(_("symbol"), max_length=80)
    side = models.CharField(_("side of the entry"), max_length=4, choices=Side.choices)
    terms = models.JSONField(_("terms"))  # orders.domain.terms.Protection
    state = models.CharField(
        _("state"), max_length=10, choices=ProtectionState.choices, default=ProtectionState.WAITING
    )
    replaced = models.BooleanField(_("replaced"), default=False, editable=False)
    quantity = ExactDecimalField(
        _("protected quantity"), null=True, help_text=_("Base units, with what take profits have closed.")
    )
    average = ExactDecimalField(_("average price"), null=True, help_text=_("When prices were last set."))
    stop_price = ExactDecimalField(_("stop price"), null=True)
    best = ExactDecimalField(_("best price since"), null=True)
    created_at = models.DateTimeField(_("created at"))
    activated_at = models.DateTimeField(_("active since"), null=True)
    moved_at = models.DateTimeField(_("stop moved at"), null=True)
    unprotected_since = models.DateTimeField(_("without its stop since"), null=True)
    told_at = models.DateTimeField(_("alarm at"), null=True)
    over_at = models.DateTimeField(_("over at"), null=True)

    objects = ProtectionQuerySet.as_manager()

    class Meta:
        verbose_name = _("protection")
        verbose_name_plural = _("protections")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["strategy_account", "symbol"],
                condition=Q(state="active"),
                name="one_active_protection",
            ),
        ]
        indexes = [
            # The tracker reads this index at each turn.
            models.Index(fields=["state"], condition=~Q(state="over"), name="protection_living"),
            # The tracker looks here for late fills of entries that had bought nothing.
            models.Index(
                fields=["over_at"],
                condition=Q(activated_at__isnull=True, replaced=False),
                name="protection_unused",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.symbol}"

    @property
    def position_key(self) -> PositionKey:
        return PositionKey(self.strategy_account_id, self.symbol)

    @property
    def wanted(self) -> Wanted:
        return Wanted.from_json(self.terms)

    @property
    def sign(self) -> int:
        """1 for a long position, -1 for a short one."""
        return Side(self.side).sign

    @property
    def closing_side(self) -> Side:
        return Side.SELL if self.sign > 0 else Side.BUY

    @property
    def size(self) -> Decimal:
        return self.quantity or Decimal(0)
