from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from exchanges import registry
from exchanges.enums import MarketType
from exchanges.fields import ExactDecimalField
from exchanges.models.fixed import refuse_change
from strategies.codes import new_code
from strategies.limits import LIMIT_NAMES
from strategies.models.risk import RiskLimits
from strategies.models.strategy import Strategy
from strategies.models.subscription import Subscription

# A delivery loads hundreds of strategy accounts and leaves out these columns: the pre-trade check reads limits and
# states again before an order is sent.
RARELY_READ_OF_ACCOUNTS = [
    "trading_state", "state_reason", "state_changed_at", "created_at",
    "key_finding", "key_checked_at", "key_asked_at",
]  # fmt: skip
RARELY_READ = [*LIMIT_NAMES, "trading_state", "state_reason", "state_changed_at", "weight"]


class StrategyAccountQuerySet(models.QuerySet["StrategyAccount"]):
    def with_participation(self) -> "StrategyAccountQuerySet":
        """Strategy accounts, each with the annotation `takes_part`."""
        return self.annotate(takes_part=ExpressionWrapper(_takes_part(), output_field=BooleanField()))

    def taking_part_in(self, strategy: Strategy) -> "StrategyAccountQuerySet":
        return self.taking_part().filter(strategy=strategy)

    def taking_part(self) -> "StrategyAccountQuerySet":
        return (
            self.filter(_takes_part())
            .select_related("account")
            .defer(*RARELY_READ, *(f"account__{name}" for name in RARELY_READ_OF_ACCOUNTS))
            .order_by("account__name", "pk")
        )

    def of_former_participants(self, strategy: Strategy, pks: Iterable[int]) -> "StrategyAccountQuerySet":
        """These strategy accounts of the strategy, whether or not they take part, loaded as by `taking_part_in`."""
        return (
            self.filter(strategy=strategy, pk__in=list(pks))
            .select_related("account")
            .defer(*RARELY_READ, *(f"account__{name}" for name in RARELY_READ_OF_ACCOUNTS))
            .order_by("account__name", "pk")
        )

    def owned_by(self, user_id: int) -> "StrategyAccountQuerySet":
        return self.filter(account__owner=user_id)


def _takes_part() -> Q:
    """Active strategy accounts of active accounts, where the owner owns the strategy or follows the strategy now."""
    follows = Subscription.objects.active().filter(
        strategy=OuterRef("strategy"), user=OuterRef("account__owner")
    )
    may_follow = Q(account__owner=F("strategy__owner")) | Q(Exists(follows))
    return Q(is_active=True, account__is_active=True) & may_follow


class StrategyAccount(RiskLimits):
    """One account's part in one strategy, with capital and leverage."""

    strategy = models.ForeignKey(
        Strategy, models.PROTECT, related_name="strategy_accounts", verbose_name=_("strategy")
    )
    account = models.ForeignKey(
        "exchanges.Account", models.PROTECT, related_name="strategy_accounts", verbose_name=_("account")
    )
    capital = ExactDecimalField(_("capital"), validators=[MinValueValidator(0)])
    capital_currency = models.CharField(_("capital currency"), max_length=20, default="USDT")
    weight = ExactDecimalField(
        _("weight"),
        default=1,
        validators=[MinValueValidator(0)],
        help_text=_("For your own planning: it changes the size of no order."),
    )
    leverage = ExactDecimalField(_("leverage"), default=1, validators=[MinValueValidator(1)])
    is_active = models.BooleanField(_("active"), default=True)
    may_sell_own_coins = models.BooleanField(
        _("may sell the account's own coins"),
        default=False,
        help_text=_("Spot only: an entry may sell coins that this strategy does not hold."),
    )
    # Client order ids carry the code, so an order at the exchange leads back to its strategy account.
    code = models.CharField(max_length=8, unique=True, editable=False, default=new_code)

    added_as = Action.PARTICIPATION_BEGUN

    objects = StrategyAccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("strategy account")
        verbose_name_plural = _("strategy accounts")
        constraints = [
            models.UniqueConstraint(fields=["strategy", "account"], name="account_once_per_strategy"),
            models.CheckConstraint(condition=Q(capital__gte=0), name="capital_not_negative"),
            models.CheckConstraint(condition=Q(leverage__gte=1), name="leverage_at_least_one"),
        ]

    def __str__(self) -> str:
        return f"{self.strategy} / {self.account}"

    def clean(self) -> None:
        if not self.strategy_id or not self.account_id:
            return
        refuse_change(self, "strategy", "account")
        if not registry.is_traded(self.account.exchange, MarketType(self.strategy.market_type)):
            raise ValidationError(
                _("%(exchange)s does not offer the market type %(market_type)s of this strategy."),
                params={"exchange": self.account.exchange, "market_type": self.strategy.market_type},
            )
        self._check_owner_may_follow()

    def _check_owner_may_follow(self) -> None:
        if self.account.owner_id == self.strategy.owner_id:
            return
        if (
            not Subscription.objects.active()
            .filter(strategy=self.strategy, user=self.account.owner_id)
            .exists()
        ):
            raise ValidationError(
                _("The account's owner neither owns the strategy nor has an active subscription.")
            )
