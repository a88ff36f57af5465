from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType
from exchanges.fields import ExactDecimalField


class MarketList(models.Model):
    """The list of markets of one exchange and market type, with the time of the last load."""

    exchange = models.CharField(_("exchange"), max_length=40)
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    loaded_at = models.DateTimeField(_("loaded at"))
    is_doubted = models.BooleanField(_("to be reloaded"), default=False)

    class Meta:
        verbose_name = _("market list")
        verbose_name_plural = _("market lists")
        constraints = [
            models.UniqueConstraint(fields=["exchange", "market_type"], name="one_list_per_exchange_and_type")
        ]

    def __str__(self) -> str:
        return f"{self.exchange} {self.market_type}"


class MarketQuerySet(models.QuerySet["Market"]):
    def of(self, exchange: str, market_type: MarketType) -> "MarketQuerySet":
        return self.filter(exchange=exchange, market_type=market_type)

    def active(self) -> "MarketQuerySet":
        return self.filter(is_active=True)

    def symbols(self) -> set[str]:
        return set(self.values_list("symbol", flat=True))

    def replace(self, exchange: str, specs: Iterable[MarketSpec], *, now: datetime) -> None:
        """Stores the exchange's present markets. Other stored markets stay as inactive, because orders name markets."""
        rows: list[Any] = [Market.from_spec(exchange, spec) for spec in specs]
        market_type = rows[0].market_type
        with transaction.atomic():
            self.of(exchange, MarketType(market_type)).update(is_active=False)
            self.bulk_create(
                rows,
                update_conflicts=True,
                unique_fields=["exchange", "market_type", "symbol"],
                update_fields=Market.SPEC_FIELDS,
                batch_size=500,
            )
            MarketList.objects.update_or_create(
                exchange=exchange, market_type=market_type, defaults={"loaded_at": now, "is_doubted": False}
            )


class Market(models.Model):
    """A tradable instrument with the rules that the exchange published last."""

    SPEC_FIELDS = [
        "exchange_symbol", "base", "quote", "tick_size", "lot_size", "min_quantity", "max_quantity",
        "market_max_quantity", "min_notional", "contract_size", "is_active", "raw",
    ]  # fmt: skip

    exchange = models.CharField(_("exchange"), max_length=40)
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    symbol = models.CharField(_("symbol"), max_length=80)
    exchange_symbol = models.CharField(_("exchange symbol"), max_length=80)
    base = models.CharField(_("base"), max_length=40)
    quote = models.CharField(_("quote"), max_length=40)
    tick_size = ExactDecimalField(_("tick size"))
    lot_size = ExactDecimalField(_("lot size"))
    min_quantity = ExactDecimalField(_("minimum quantity"))
    max_quantity = ExactDecimalField(_("maximum quantity"), null=True, blank=True)
    market_max_quantity = ExactDecimalField(_("maximum quantity of market orders"), null=True, blank=True)
    min_notional = ExactDecimalField(_("minimum notional"))
    contract_size = ExactDecimalField(_("contract size"), default=1)
    is_active = models.BooleanField(_("active"), default=True)
    raw = models.JSONField(default=dict, editable=False)

    objects = MarketQuerySet.as_manager()

    class Meta:
        verbose_name = _("market")
        verbose_name_plural = _("markets")
        ordering = ["exchange", "market_type", "symbol"]
        constraints = [
            models.UniqueConstraint(fields=["exchange", "market_type", "symbol"], name="market_once"),
        ]

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol}"

    @classmethod
    def from_spec(cls, exchange: str, spec: MarketSpec) -> "Market":
        values = {name: getattr(spec, name) for name in cls.SPEC_FIELDS}
        return cls(exchange=exchange, market_type=spec.market_type, symbol=spec.symbol, **values)

    def to_spec(self) -> MarketSpec:
        values = {name: getattr(self, name) for name in self.SPEC_FIELDS}
        return MarketSpec(symbol=self.symbol, market_type=MarketType(self.market_type), **values)
