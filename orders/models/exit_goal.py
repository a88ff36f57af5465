from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from exchanges.enums import MarketType, OrderType, Side, order_type_choices
from exchanges.fields import ExactDecimalField
from orders.domain.enums import GoalState
from orders.domain.keys import AccountSymbol, PositionKey
from orders.domain.lifecycle import OPEN, UNSENT
from orders.domain.reasons import reason_text
from orders.domain.sizing import WHOLE
from strategies.models import StrategyAccount

PURSUED = (GoalState.WORKING, GoalState.RESTING, GoalState.NEEDS_PERSON)


class ExitGoalQuerySet(models.QuerySet["ExitGoal"]):
    def pursued(self) -> "ExitGoalQuerySet":
        """Goals that are not over yet."""
        return self.filter(state__in=PURSUED)

    def full(self) -> "ExitGoalQuerySet":
        """Goals that close the whole position at the market's price."""
        return self.filter(order_type=OrderType.MARKET, qty_per=WHOLE, at_most={})

    def without_attempt(self) -> "ExitGoalQuerySet":
        """Goals without an attempt that is under way or rests at the exchange."""
        attempts = self.model._meta.get_field("attempts").related_model._default_manager
        living = attempts.filter(goal=OuterRef("pk"), status__in=[*OPEN, *UNSENT])
        return self.exclude(Exists(living))

    def due(self, *, now: datetime) -> "ExitGoalQuerySet":
        return self.pursued().filter(due_at__lte=now)


class ExitGoal(models.Model):
    """What shall remain of the position of a strategy account in a symbol. The orders of a goal are its attempts.

    A MARKET goal is reached when the position is at `to_remain`. A resting goal (LIMIT, STOP_LIMIT, STOP_MARKET) is
    reached when its attempts have closed `wanted`. Both amounts are in base units without a sign, fixed at the first
    turn.
    """

    batch = models.ForeignKey("orders.Batch", models.PROTECT, related_name="goals", verbose_name=_("batch"))
    leg = models.PositiveSmallIntegerField(_("leg"))
    part = models.PositiveSmallIntegerField(_("part"), default=0)
    sequence = models.PositiveSmallIntegerField(_("sequence"))
    strategy = models.ForeignKey(
        "strategies.Strategy", models.PROTECT, related_name="goals", verbose_name=_("strategy")
    )
    strategy_account = models.ForeignKey(
        "strategies.StrategyAccount",
        models.PROTECT,
        related_name="goals",
        verbose_name=_("strategy account"),
    )
    account = models.ForeignKey(
        "exchanges.Account", models.PROTECT, related_name="goals", verbose_name=_("account")
    )
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    symbol = models.CharField(_("symbol"), max_length=80)
    side = models.CharField(_("side"), max_length=4, choices=Side.choices, blank=True)
    order_type = models.CharField(_("order type"), max_length=24, choices=order_type_choices)
    qty_per = ExactDecimalField("qty_per")
    price = ExactDecimalField(_("price"), null=True)
    stop_price = ExactDecimalField(_("stop price"), null=True)

    at_most = models.JSONField(
        _("at most"), default=dict, blank=True, help_text=_("The size of a reduce-only leg, as sent.")
    )
    then = models.JSONField(
        _("then"), default=dict, blank=True, help_text=_("The entry of a reversal, which follows this exit.")
    )

    protection = models.ForeignKey(
        "orders.Protection", models.PROTECT, null=True, related_name="goals", verbose_name=_("protection")
    )
    step = models.PositiveSmallIntegerField(
        _("protective step"), null=True, help_text=_("0 is the stop, 1 to 8 are the take profits.")
    )

    state = models.CharField(_("state"), max_length=12, choices=GoalState.choices, default=GoalState.WORKING)
    to_remain = ExactDecimalField(_("to remain"), null=True, help_text=_("Base units."))
    wanted = ExactDecimalField(_("to close"), null=True, help_text=_("Base units."))
    remaining = ExactDecimalField(
        _("still to close"), null=True, help_text=_("Base units, when the goal was last looked at.")
    )
    reason = models.CharField(_("reason"), max_length=60, blank=True)
    reason_params = models.JSONField(_("numbers of the reason"), default=dict, blank=True)
    refusals = models.PositiveIntegerField(_("refusals in a row"), default=0)
    counted_attempt = models.PositiveIntegerField(
        default=0, editable=False
    )  # whose end `refusals` has counted
    due_at = models.DateTimeField(_("next try at"), null=True)
    actor = models.CharField(_("asked by"), max_length=80)
    ended_by = models.CharField(_("ended by"), max_length=80, blank=True)
    created_at = models.DateTimeField(_("created at"))
    told_at = models.DateTimeField(_("before a person since"), null=True)
    over_at = models.DateTimeField(_("over at"), null=True)

    objects = ExitGoalQuerySet.as_manager()

    class Meta:
        verbose_name = _("exit goal")
        verbose_name_plural = _("exit goals")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["batch", "strategy_account", "leg", "part"], name="one_goal_per_part"
            ),
        ]
        indexes = [
            # The pursuit of goals and the check of entries read this index.
            models.Index(
                fields=["strategy_account", "symbol"],
                condition=Q(state__in=["working", "resting", "needs_person"]),
                name="goal_pursued",
            ),
            # Each turn of the tracker reads which protected positions were closed since their entry.
            models.Index(
                fields=["strategy_account", "symbol", "over_at"],
                condition=Q(state="reached"),
                name="goal_reached",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.qty_per}%"

    @classmethod
    def compose(
        cls,
        strategy_account: StrategyAccount,
        *,
        market_type: str,
        leg: int,
        sequence: int,
        symbol: str,
        order_type: OrderType,
        qty_per: Decimal,
        actor: str,
        created_at: datetime,
        side: str = "",
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
        at_most: dict[str, Any] | None = None,
    ) -> "ExitGoal":
        """Returns an unsaved goal. `strategy_account` has its account loaded. Runs no database statement."""
        fields: dict[str, Any] = {
            "leg": leg,
            "sequence": sequence,
            "market_type": market_type,
            "symbol": symbol[:80],
            "order_type": order_type,
            "qty_per": qty_per,
            "actor": actor,
            "created_at": created_at,
            "due_at": created_at,
            "side": side,
            "price": price,
            "stop_price": stop_price,
            "at_most": at_most or {},
        }
        return cls(
            strategy_id=strategy_account.strategy_id,
            strategy_account=strategy_account,
            account=strategy_account.account,
            **fields,
        )

    def adopt(self, fresh: "ExitGoal") -> None:
        """Brings this instance up to date with another instance of the row. The state comes last."""
        for column in self._meta.concrete_fields:
            if column.attname != "state":
                setattr(self, column.attname, getattr(fresh, column.attname))
        self.state = fresh.state

    @property
    def position_key(self) -> PositionKey:
        return PositionKey(self.strategy_account_id, self.symbol)

    @property
    def account_symbol(self) -> AccountSymbol:
        return AccountSymbol(self.account_id, self.symbol)

    @property
    def is_full(self) -> bool:
        """Whether the goal closes the whole position at the market's price."""
        return self.rests is False and self.qty_per == WHOLE and not self.at_most

    @property
    def rests(self) -> bool:
        """Whether the goal's orders rest at the exchange until their price comes."""
        return self.order_type != OrderType.MARKET

    @property
    def is_over(self) -> bool:
        return self.state not in PURSUED

    @property
    def reason_text(self) -> str:
        """The sentence of the goal's reason in the active language; empty without a reason."""
        return reason_text(self.reason, self.reason_params) if self.reason else ""
