from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class MarketType(TextChoices):
    SPOT = "SPOT", _("Spot")
    FUTURES = "FUTURES", _("Futures")
    STOCK = "STOCK", _("Stocks")


class Side(TextChoices):
    BUY = "buy", _("Buy")
    SELL = "sell", _("Sell")

    @property
    def sign(self) -> int:
        """+1 for a buy and -1 for a sell: the direction in which an order moves a position."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(TextChoices):
    """The types of order that an adapter can be asked to place."""

    MARKET = "MARKET", _("Market")
    LIMIT = "LIMIT", _("Limit")
    STOP_LIMIT = "STOP_LIMIT", _("Stop limit")
    STOP_MARKET = "STOP_MARKET", _("Stop market")

    @property
    def needs_price(self) -> bool:
        return self in (OrderType.LIMIT, OrderType.STOP_LIMIT)

    @property
    def needs_stop_price(self) -> bool:
        return self in (OrderType.STOP_LIMIT, OrderType.STOP_MARKET)


class TimeInForce(TextChoices):
    """How long a LIMIT order works: until canceled, at once or not at all in part or whole, or only without taking."""

    GTC = "GTC", _("Until canceled")
    IOC = "IOC", _("At once, or cancel the rest")
    FOK = "FOK", _("Wholly at once, or not at all")
    POST_ONLY = "POST_ONLY", _("Only as a maker")


def order_type_choices() -> list[tuple[str, str]]:
    """For model fields: a new order type is no change of the schema, and so needs no migration."""
    return [(kind.value, str(kind.label)) for kind in OrderType]


class ReportStatus(TextChoices):
    """An exchange's word for the state of an order: the part of an order's life that an exchange can know."""

    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class TradingState(TextChoices):
    """Whether orders may go out. Of system, strategy, account and strategy account the strictest state holds."""

    ACTIVE = "active", _("Active")
    REDUCE_ONLY = "reduce_only", _("Exits only")
    HALTED = "halted", _("Halted")

    @property
    def strictness(self) -> int:
        return list(TradingState).index(self)


class OutsideKind(TextChoices):
    """What happened to an account at the exchange without an order of ours."""

    HAND = "hand_trade", _("Hand trade")
    LIQUIDATION = "liquidation", _("Liquidation")
    ADL = "adl", _("Auto-deleveraging")
    DELIVERY = "delivery", _("Delivery")
    TRANSFER = "transfer", _("Transfer")
    FUNDING = "funding", _("Funding")
    CORRECTION = "correction", _("Correction")


class KeyFinding(TextChoices):
    """The gravest fact that an exchange told about an account's key; the first four need a person."""

    MAY_WITHDRAW = "may_withdraw", _("may withdraw: needs a person")
    NOT_ACCEPTED = "not_accepted", _("not accepted by the exchange: needs a person")
    MAY_NOT_TRADE = "may_not_trade", _("may not trade: needs a person")
    HEDGE_MODE = "hedge_mode", _("account in hedge mode: needs a person")
    ANY_ADDRESS = "any_address", _("works from every address")
    NOT_TOLD = "not_told", _("the exchange does not tell")
    GOOD = "good", _("good")

    @property
    def needs_person(self) -> bool:
        return self not in (KeyFinding.ANY_ADDRESS, KeyFinding.NOT_TOLD, KeyFinding.GOOD)
