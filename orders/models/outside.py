"""What happened at an exchange without us: the facts, and what was booked of them."""

from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from exchanges.enums import MarketType, OutsideKind
from exchanges.fields import ExactDecimalField
from orders.domain.keys import AccountSymbol


class OutsideEventQuerySet(models.QuerySet["OutsideEvent"]):
    def waiting(self) -> "OutsideEventQuerySet":
        """Events that a person still has to distribute. The symbol of the account takes no new risk meanwhile."""
        return self.filter(settled_at__isnull=True)


class OutsideEvent(models.Model):
    """A fill, a funding payment or a transfer at the exchange that belongs to no order of ours.

    A fill has `quantity` (base units, signed: negative for a sell), `price` and the fee. Income has `amount` in
    `currency`. The event is settled when its quantity or amount is booked, or declared external.
    """

    kind = models.CharField(_("kind"), max_length=20, choices=OutsideKind.choices)
    account = models.ForeignKey(
        "exchanges.Account", models.PROTECT, related_name="outside_events", verbose_name=_("account")
    )
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    symbol = models.CharField(_("symbol"), max_length=80, blank=True)
    evidence_id = models.CharField(
        _("exchange's id"), max_length=120, help_text=_("The trade id, or the id of the payment.")
    )
    exchange_order_id = models.CharField(_("exchange order id"), max_length=80, blank=True)
    client_order_id = models.CharField(_("client order id"), max_length=80, blank=True)
    quantity = ExactDecimalField(_("quantity"), default=0, help_text=_("Negative is a sell."))
    price = ExactDecimalField(_("price"), null=True)
    fee = ExactDecimalField(_("fee"), default=0)
    fee_currency = models.CharField(_("fee currency"), max_length=20, blank=True)
    amount = ExactDecimalField(_("amount"), default=0, help_text=_("Positive is received."))
    currency = models.CharField(_("currency"), max_length=20, blank=True)
    executed_at = models.DateTimeField(_("executed at"))
    recorded_at = models.DateTimeField(_("recorded at"))
    settled_at = models.DateTimeField(_("settled at"), null=True)
    settled_by = models.CharField(_("settled by"), max_length=80, blank=True)
    note = models.CharField(_("note"), max_length=200, blank=True)

    objects = OutsideEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("outside event")
        verbose_name_plural = _("outside events")
        ordering = ["-executed_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "market_type", "symbol", "kind", "evidence_id"],
                name="outside_event_once",
            )
        ]
        indexes = [
            # Each entry's check reads the waiting events.
            models.Index(
                fields=["account", "symbol"], condition=Q(settled_at__isnull=True), name="outside_waiting"
            ),
            # Discovery looks for fills that are stored.
            models.Index(fields=["account", "symbol", "executed_at"], name="outside_by_holding"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.symbol} {self.evidence_id}"

    @property
    def account_symbol(self) -> AccountSymbol:
        return AccountSymbol(self.account_id, self.symbol)


class Adjustment(models.Model):
    """A change of the books without a trade of ours. Append-only: a database trigger refuses updates and deletes.

    `quantity` (base units, signed) moves the position at `price`; a payment has no quantity and an `amount` in quote
    currency. `event` is the evidence, and is empty for the correction of a person.
    """

    kind = models.CharField(_("kind"), max_length=20, choices=OutsideKind.choices)
    event = models.ForeignKey(
        OutsideEvent, models.PROTECT, null=True, related_name="adjustments", verbose_name=_("outside event")
    )
    strategy_account = models.ForeignKey(
        "strategies.StrategyAccount",
        models.PROTECT,
        related_name="adjustments",
        verbose_name=_("strategy account"),
    )
    account = models.ForeignKey(
        "exchanges.Account", models.PROTECT, related_name="adjustments", verbose_name=_("account")
    )
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    symbol = models.CharField(_("symbol"), max_length=80)
    quantity = ExactDecimalField(_("quantity"), default=0, help_text=_("Negative is a sell."))
    price = ExactDecimalField(_("price"), null=True)
    fee = ExactDecimalField(_("fee"), default=0, help_text=_("In quote currency."))
    amount = ExactDecimalField(
        _("amount"), default=0, help_text=_("In quote currency; positive is received.")
    )
    realized_profit = ExactDecimalField(
        _("realized profit"), default=0, help_text=_("In quote currency, before fees.")
    )
    executed_at = models.DateTimeField(_("executed at"))
    recorded_at = models.DateTimeField(_("recorded at"))
    actor = models.CharField(_("booked by"), max_length=80)
    reason = models.CharField(_("reason"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("adjustment")
        verbose_name_plural = _("adjustments")
        ordering = ["-executed_at", "-pk"]
        indexes = [
            # The circuit breaker reads the results of a strategy account since a time.
            models.Index(fields=["strategy_account", "recorded_at"], name="adjustment_by_strategy_account"),
            # Funding is shared by what was held at its time.
            models.Index(fields=["account", "symbol", "executed_at"], name="adjustment_by_holding"),
            # The paper audit leaves out holdings with a fresh adjustment.
            models.Index(fields=["recorded_at"], name="adjustment_by_recording"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.symbol} {self.quantity}"

    @property
    def net_profit(self) -> Decimal:
        """Realized profit and received amount in quote currency, less the fee."""
        profit: Decimal = self.realized_profit
        amount: Decimal = self.amount
        fee: Decimal = self.fee
        return profit + amount - fee


class ExternalOrder(models.Model):
    """An open order at the exchange without a row in `Order`. tradehub keeps a record and leaves the order alone."""

    account = models.ForeignKey("exchanges.Account", models.PROTECT, verbose_name=_("account"))
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    symbol = models.CharField(_("symbol"), max_length=80)
    exchange_order_id = models.CharField(_("exchange order id"), max_length=80)
    client_order_id = models.CharField(_("client order id"), max_length=80, blank=True)
    status = models.CharField(_("status"), max_length=20, blank=True)
    quantity = ExactDecimalField(_("quantity"), null=True)
    filled = ExactDecimalField(_("filled"), default=0)
    first_seen_at = models.DateTimeField(_("first seen at"))
    last_seen_at = models.DateTimeField(_("last seen at"))

    class Meta:
        verbose_name = _("external order")
        verbose_name_plural = _("external orders")
        ordering = ["-last_seen_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "market_type", "symbol", "exchange_order_id"], name="external_order_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.exchange_order_id}"
