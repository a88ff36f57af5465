from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from exchanges.enums import MarketType, Side
from exchanges.fields import ExactDecimalField


class TradeQuerySet(models.QuerySet["Trade"]):
    def visible_to(self, user_id: int) -> "TradeQuerySet":
        return self.filter(account__owner=user_id)


class Trade(models.Model):
    """One fill of one order, as the exchange reported the fill, with the realized profit."""

    order = models.ForeignKey("orders.Order", models.PROTECT, related_name="trades", verbose_name=_("order"))
    # Composite indexes that begin with the same column take the place of these two columns' own.
    strategy_account = models.ForeignKey(
        "strategies.StrategyAccount",
        models.PROTECT,
        db_index=False,
        related_name="trades",
        verbose_name=_("strategy account"),
    )
    account = models.ForeignKey(
        "exchanges.Account",
        models.PROTECT,
        db_index=False,
        related_name="trades",
        verbose_name=_("account"),
    )
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    symbol = models.CharField(_("symbol"), max_length=80)
    trade_id = models.CharField(_("trade id"), max_length=80)
    side = models.CharField(_("side"), max_length=4, choices=Side.choices)
    quantity = ExactDecimalField(_("quantity"))
    price = ExactDecimalField(_("price"))
    fee = ExactDecimalField(_("fee"), default=0)
    fee_currency = models.CharField(_("fee currency"), max_length=20, blank=True)
    base_fee = ExactDecimalField(
        _("fee in base"), default=0, help_text=_("The part of the quantity kept as a fee.")
    )
    is_maker = models.BooleanField(_("maker"), default=False)
    realized_profit = ExactDecimalField(
        _("realized profit"), default=0, help_text=_("In quote currency, before fees.")
    )
    executed_at = models.DateTimeField(_("executed at"))
    recorded_at = models.DateTimeField(_("recorded at"))

    objects = TradeQuerySet.as_manager()

    class Meta:
        verbose_name = _("trade")
        verbose_name_plural = _("trades")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "market_type", "symbol", "trade_id"], name="trade_counts_once"
            ),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="trade_quantity_positive"),
        ]
        indexes = [
            # The circuit breaker reads the results of a strategy account since a time.
            models.Index(fields=["strategy_account", "recorded_at"], name="trade_by_strategy_account"),
            # Funding is shared by what was held at its time; discovery looks for fills that are booked.
            models.Index(fields=["account", "symbol", "executed_at"], name="trade_by_holding"),
            # Fresh trades, at each comparison and each exit: their holding is in motion.
            models.Index(fields=["recorded_at"], name="trade_by_recording"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.side} {self.quantity}"

    @property
    def net_profit(self) -> Decimal:
        """Realized profit in quote currency, less a fee paid in quote currency."""
        quote = self.symbol.partition("/")[2].partition(":")[0]
        fee: Decimal = self.fee if self.fee_currency == quote else Decimal(0)
        profit: Decimal = self.realized_profit
        return profit - fee

    @property
    def signed_quantity(self) -> Decimal:
        """The trade's change of the position, in base units: positive for a buy, less the fee in base units."""
        quantity: Decimal = self.quantity
        base_fee: Decimal = self.base_fee
        return Side(self.side).sign * quantity - base_fee
