"""POABOT: `base`, `quote` and `side`. Source: poabot-custom, exchange/model/schemas.py and main.py."""

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal

from django.utils.translation import gettext_lazy as _

from webhooks.message.dialects.foreign_fields import ForeignFields
from webhooks.message.dialects.own_message import Translation, is_entry_leg
from webhooks.message.dialects.unsupported import unsupported_dialect

_SIDES = {
    "buy": ("buy", ""),
    "sell": ("sell", ""),
    "entry/buy": ("buy", "entry"),
    "entry/sell": ("sell", "entry"),
    "close/buy": ("buy", "close"),
    "close/sell": ("sell", "close"),
}
_STOCKS = {"krx", "nasdaq", "nyse", "amex"}
_CRYPTO = {"binance", "upbit", "bybit", "bitget", "okx"}
_QUOTES = {"usdt", "usdt.p", "usdtperp", "busd", "busd.p", "busdperp", "krw", "usd", "usd.p", "usdperp"}
_INTERNAL = (
    "is_entry",
    "is_close",
    "is_buy",
    "is_sell",
    "is_spot",
    "is_futures",
    "is_crypto",
    "is_stock",
    "is_coinm",
    "is_contract",
    "unified_symbol",
    "contract_size",
)


def without_commas(fields: Mapping[str, object]) -> dict[str, object]:
    """Returns the fields as POABOT reads them: each text without commas."""
    return {
        name: value.replace(",", "") if isinstance(value, str) else value for name, value in fields.items()
    }


def read_poabot(fields: ForeignFields) -> Translation:
    """Reads one order. An entry does not close the other side."""
    if fields.get("hedge") is not None and fields.get("side") is None:
        raise unsupported_dialect("POABOT /hedge", _("one order would go to two exchanges"))
    fields.skip("password")
    symbol, is_stock, is_futures = _read_symbol(fields)
    word = fields.word("side", _SIDES, code="invalid_side")
    if not word:
        raise fields.error("missing_field", field="side")
    side, kind = _SIDES[word]
    fields.word("type", ("market",), code="invalid_order_type")
    size = _read_size(fields, side, kind, is_stock=is_stock, is_futures=is_futures)
    leg: dict[str, object] = {"symbol": symbol, "side": side, "order_type": "MARKET", **size}
    is_entry = is_entry_leg(leg)
    if tag := fields.label("order_name"):
        leg["tag"] = tag
    leg |= _read_protection(fields, is_entry=is_entry)
    _refuse_foreign_fields(fields, is_entry=is_entry)
    return Translation([leg], percent_of_balance="levered" in leg, leverage=fields.positive("leverage"))


def _read_symbol(fields: ForeignFields) -> tuple[str, bool, bool]:
    """Returns the symbol, whether the symbol is a stock, and whether the symbol is a future."""
    exchange = fields.required_text("exchange")
    base, quote = fields.required_text("base").upper(), fields.required_text("quote")
    if exchange.lower() in _STOCKS:
        return f"{exchange.upper()}:{base}", True, False
    if exchange.lower() not in _CRYPTO:
        raise fields.invalid("exchange", exchange, code="invalid_symbol")
    if quote.lower() not in _QUOTES:
        raise fields.invalid("quote", quote, code="invalid_symbol")
    currency = quote.upper().removesuffix(".P").removesuffix("PERP")
    if currency == quote.upper():
        return f"{base}/{currency}", False, False
    if currency == "USD":  # margin in the coin: no account takes it
        raise fields.invalid("quote", f"{base}/USD:{base}", code="invalid_symbol")
    return f"{base}/{currency}:{currency}", False, True


def _read_size(
    fields: ForeignFields, side: str, kind: str, *, is_stock: bool, is_futures: bool
) -> dict[str, object]:
    amount, percent = fields.positive("amount"), fields.positive("percent")
    fields.refuse_given("cost", reason=_("cost sizes nothing at POABOT"), is_entry=False)
    if amount is not None and percent is not None:
        raise fields.invalid("amount", f"{amount}, percent {percent}")
    if amount is not None:
        return _size_by_amount(fields, amount, kind, is_stock=is_stock)
    if percent is None:
        raise fields.error("missing_field", field="amount")
    if is_stock or (is_futures and not kind):
        raise fields.refuse(
            "percent", _("POABOT takes no percent for stocks, nor for a plain side on futures")
        )
    if kind == "close" or (not kind and side == "sell"):
        return {"qty_per": percent.copy_negate()}
    fields.warn(_("The percent is of the allocated capital here, not of the free balance."))
    return {"qty_per": percent, "levered": False}


def _size_by_amount(
    fields: ForeignFields, amount: Decimal, kind: str, *, is_stock: bool
) -> dict[str, object]:
    qty = amount.to_integral_value(ROUND_DOWN) if is_stock else amount
    if not qty:
        raise fields.invalid("amount", amount)
    return {"qty": qty, "reduce_only": True} if kind == "close" else {"qty": qty}


def _read_protection(fields: ForeignFields, *, is_entry: bool) -> dict[str, object]:
    """Reads the protective prices, which POABOT declares and never places."""
    if not is_entry:
        fields.refuse_given("stop_price", "profit_price", is_entry=False)
        return {}
    leg: dict[str, object] = {}
    for theirs, ours in (("stop_price", "stop_loss"), ("profit_price", "take_profit")):
        if (price := fields.positive(theirs)) is not None:
            leg[ours] = {"price": price}
            fields.warn(
                _("%(field)s is placed here: POABOT declares the field and never places it."), field=theirs
            )
    return leg


def _refuse_foreign_fields(fields: ForeignFields, *, is_entry: bool) -> None:
    fields.refuse_given("margin_mode", "hedge", "is_total", is_entry=is_entry)
    fields.refuse_given("price", is_entry=False)
    fields.skip(*_INTERNAL)
    number = fields.get("kis_number")
    if number is not None and str(number) != "1":
        fields.warn(_("kis_number was ignored: group_name chooses the accounts."))
