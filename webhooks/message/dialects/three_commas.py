"""3Commas signal bots, both shapes. Source: 3Commas help 9374557 (strategy) and 8894481 (custom)."""

from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from webhooks.message.dialects.foreign_fields import ForeignFields
from webhooks.message.dialects.leg_parts import cancel_all
from webhooks.message.dialects.own_message import Translation
from webhooks.message.dialects.three_commas_protection import read_protection

_ENTRIES = {"enter_long": "long", "enter_short": "short"}
_EXITS = {"exit_long": "sell", "exit_short": "buy"}
_ORDERS = ("buy", "sell")
_SUB_ACTIONS = ("market_close", "cancel")
_SIZES = {"base": "qty", "quote": "quote_qty", "margin_percent": "qty_per"}
_SIZE_TYPES = {*_SIZES, "position_percent"}
_TYPES = {"market": "MARKET", "limit": "LIMIT"}
_INFO = (
    "market_position",
    "market_position_size",
    "prev_market_position",
    "prev_market_position_size",
)
_WHOLE = Decimal(-100)


def read_three_commas(fields: ForeignFields) -> Translation:
    """Reads one signal of the custom or of the strategy shape."""
    fields.skip("secret", "bot_uuid")
    symbol = _read_symbol(fields)
    action = fields.word("action", {*_ENTRIES, *_EXITS, *_ORDERS, "disable"}, code="invalid_side")
    if not action:
        raise fields.error("missing_field", field="action")
    if action == "disable":
        leg = _read_disable(fields, symbol)
    elif action in _EXITS:
        leg = _read_exit(fields, {"symbol": symbol, "side": _EXITS[action]})
    elif action in _ENTRIES:
        leg = _read_entry(fields, {"symbol": symbol, "market_position": _ENTRIES[action]})
    else:
        leg = _read_strategy_order(fields, symbol, action)
    if fields.get("trigger_price") is not None:
        fields.warn(_("trigger_price was ignored: the price filter of the bot has no counterpart here."))
    top = {name: value for name in ("timestamp", "max_lag") if (value := fields.get(name)) is not None}
    return Translation([leg], top=top)


def _read_symbol(fields: ForeignFields) -> str:
    symbol = fields.required_text("tv_instrument")
    exchange = fields.text("tv_exchange")
    if exchange.upper().endswith(("_DL", "_DLY")):
        raise fields.invalid("tv_exchange", exchange, code="invalid_symbol")
    return symbol


def _read_disable(fields: ForeignFields, symbol: str) -> dict[str, object]:
    sub_action = fields.word("positions_sub_action", _SUB_ACTIONS)
    if not sub_action:
        raise fields.refuse("action", _("a message cannot switch a strategy off"))
    fields.warn(_("The strategy stays active: 3Commas would switch the bot off."))
    return cancel_all(symbol) if sub_action == "cancel" else {"symbol": symbol, "market_position": "flat"}


def _read_exit(fields: ForeignFields, leg: dict[str, object]) -> dict[str, object]:
    fields.refuse_given("take_profit", "stop_loss", is_entry=False)
    leg = {**leg, "order_type": "MARKET"}
    order = fields.nested("order")
    if order is None:
        return {**leg, "qty_per": _WHOLE}
    order.refuse_given("price", "price_percent", "price_percent_ref_type", is_entry=False)
    if order.word("order_type", _TYPES, code="invalid_order_type") == "limit":
        order.warn(_("order_type limit was ignored: exits go out at the market's price."))
    amount, kind = order.positive("amount"), order.word("currency_type", _SIZE_TYPES)
    order.finish(is_entry=False)
    if amount is None:
        return {**leg, "qty_per": _WHOLE}
    if kind == "position_percent":
        return {**leg, "qty_per": amount.copy_negate()}
    if kind in ("base", "margin_percent"):
        return {**leg, "reduce_only": True, _SIZES[kind]: amount}
    raise order.refuse("currency_type", _("an exit takes a quantity or a percent"))


def _read_entry(fields: ForeignFields, leg: dict[str, object]) -> dict[str, object]:
    order = fields.nested("order")
    if order is None or order.get("amount") is None:
        raise fields.error("missing_field", field="order.amount")
    leg = {**leg, **_read_order(order), **_read_size(order), **read_protection(fields)}
    order.finish(is_entry=True)
    return leg


def _read_order(order: ForeignFields) -> dict[str, object]:
    kind = order.word("order_type", _TYPES, code="invalid_order_type") or "market"
    price, percent = order.positive("price"), order.decimal("price_percent")
    reference = order.word("price_percent_ref_type", ("current_price", "base_entry_price", "avg_entry_price"))
    if kind == "market":
        return {"order_type": "MARKET"}
    if price is not None and percent is not None:
        raise order.invalid("price", f"{price}, {percent}%")
    if price is not None:
        return {"order_type": "LIMIT", "price": price}
    if percent is None:
        raise order.error("price_required", order_type="LIMIT")
    if reference not in ("", "current_price"):
        raise order.refuse("price_percent_ref_type", _("a price is relative to the current price only"))
    return {"order_type": "LIMIT", "price": f"{percent:+f}%"}


def _read_size(order: ForeignFields) -> dict[str, object]:
    kind = order.word("currency_type", _SIZE_TYPES)
    if not kind:
        raise order.error("missing_field", field="currency_type")
    if kind not in _SIZES:
        raise order.refuse("currency_type", _("a percent of the position is the size of an exit"))
    return {_SIZES[kind]: order.required_positive("amount")}


# The strategy shape


def _read_strategy_order(fields: ForeignFields, symbol: str, action: str) -> dict[str, object]:
    """Reads the order of a TradingView strategy.

    `amount` stays TradingView's contracts: on a reversal our own reader takes the part that enters from the sizes.
    """
    info = fields.nested("strategy_info")
    if info is None:
        raise fields.error("missing_field", field="strategy_info")
    position = info.word("market_position", ("long", "short", "flat"))
    if not position:
        raise info.error("missing_field", field="market_position")
    leg: dict[str, object] = {"symbol": symbol, "side": action}
    leg |= {name: value for name in _INFO if (value := info.get(name)) is not None}
    info.finish(is_entry=True)
    if position == "flat":
        fields.skip("order")
        fields.refuse_given("take_profit", "stop_loss", is_entry=False)
        return leg
    return _read_entry(fields, leg)
