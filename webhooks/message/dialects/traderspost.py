"""TradersPost: `ticker`, `action` and `sentiment`. Source: TradersPost's webhook-spec.json and its guide."""

import re
from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from webhooks.message.dialects.foreign_fields import ForeignFields
from webhooks.message.dialects.leg_parts import FIRST, SECOND, cancel_all, full_exit, only_one, order_of
from webhooks.message.dialects.own_message import Translation

ACTIONS = ("buy", "sell", "exit", "cancel", "add")
_SENTIMENTS = {"bullish": "long", "long": "long", "bearish": "short", "short": "short", "flat": "flat"}
_POSITIONS = {"buy": "long", "sell": "short"}
_TYPES = {"market": "MARKET", "limit": "LIMIT", "stop": "STOP_MARKET", "stop_limit": "STOP_LIMIT"}
_PRICE_NAMES = {"price": "limitprice", "stop_price": "stopprice"}
_ENTRY_SIZES = {
    "fixed_quantity": "qty",
    "dollar_amount": "quote_qty",
    "percent_of_equity": "qty_per",
    "risk_percent": "risk_per",
}
_SIZE_TYPES = {*_ENTRY_SIZES, "percent_of_position"}
_OTHER_SIZE_TYPES = {"risk_dollar_amount", "amount_per_position", "risk_per_position"}
_STOP_TYPES = ("stop", "stop_limit", "trailing_stop")
_TIMES = {"gtc": "GTC", "ioc": "IOC", "fok": "FOK"}
_OPTIONS = ("optiontype", "intrinsicvalue", "expiration", "strikecount", "strikesaway", "strikeprice")
_ROLLING = re.compile(r"\d!$")


def read_traderspost(fields: ForeignFields) -> Translation:
    """Reads one signal. A buy or a sell means a position, not a plain order."""
    symbol = _read_symbol(fields)
    action = fields.word("action", ACTIONS, code="invalid_side")
    if not action:
        raise fields.error("missing_field", field="action")
    sentiment = _SENTIMENTS.get(fields.word("sentiment", _SENTIMENTS), "")
    is_entry = action in _POSITIONS and sentiment in ("", _POSITIONS.get(action))
    _refuse_foreign_fields(fields, is_entry=is_entry)
    if action == "add":
        raise fields.refuse("action", _("an addition to whatever side is held cannot be said here"))
    if action == "cancel":
        legs = [cancel_all(symbol)]
    else:
        leg = (
            _read_entry(fields, symbol, action) if is_entry else _read_exit(fields, symbol, action, sentiment)
        )
        legs = _with_cancel(fields, leg)
    sent_at = fields.get("time")
    return Translation(
        legs,
        top={} if sent_at is None else {"timestamp": sent_at},
        percent_of_balance=any(("qty_per" in leg and "levered" in leg) or "risk_per" in leg for leg in legs),
    )


def _read_symbol(fields: ForeignFields) -> str:
    symbol = fields.required_text("ticker")
    if _ROLLING.search(symbol):  # the date on which such a future rolls is TradersPost's
        raise fields.invalid("ticker", symbol, code="invalid_symbol")
    return symbol


def _refuse_foreign_fields(fields: ForeignFields, *, is_entry: bool) -> None:
    for name in ("cancelordertype", "test"):
        fields.refuse_given(name)
    fields.refuse_given(*_OPTIONS, reason=_("options are not traded here"))
    fields.refuse_given("delay", reason=_("an entry at another time is another trade"), is_entry=is_entry)
    fields.refuse_given("extendedhours", is_entry=is_entry)
    fields.skip("price", "signalprice", "ignoretradingwindows", "interval", "extras")


def _with_cancel(fields: ForeignFields, leg: dict[str, object]) -> list[dict[str, object]]:
    given = fields.get("cancel") is not None
    if fields.flag("cancel"):
        return [cancel_all(leg["symbol"], priority=FIRST), {**leg, "priority": SECOND}]
    if given and leg.get("market_position") == "flat":
        fields.warn(_("A full exit cancels waiting entries, also with cancel false."))
    return [leg]


# Entries


def _read_entry(fields: ForeignFields, symbol: str, action: str) -> dict[str, object]:
    order = _read_order(fields)
    size = _read_entry_size(fields)
    leg = {"symbol": symbol, "side": action, "market_position": _POSITIONS[action], **order, **size}
    leg |= _read_take_profit(fields) | _read_stop_loss(fields) | _read_time_in_force(fields, is_entry=True)
    if "risk_per" in leg and "stop_loss" not in leg:
        raise fields.error("missing_field", field="stoploss")
    fields.refuse_given("trailamount", "trailpercent")
    fields.warn(_("A second entry on the same side adds to the position here."))
    if "qty" in leg:
        fields.warn(
            _("The quantity of a reversal holds the part that closes, so the entry is larger by that part.")
        )
    if order["order_type"] != "MARKET":
        fields.warn(_("On a reversal the old position is closed at the market's price."))
    return leg


def _read_order(fields: ForeignFields) -> dict[str, object]:
    word = fields.word("ordertype", {*_TYPES, "trailing_stop"}, code="invalid_order_type") or "market"
    if word == "trailing_stop":
        raise fields.refuse("ordertype", _("a trailing stop belongs to an entry as trailing_stop"))
    return order_of(fields, _TYPES[word], _PRICE_NAMES)


def _read_size_type(fields: ForeignFields) -> str:
    kind = fields.word("quantitytype", _SIZE_TYPES | _OTHER_SIZE_TYPES) or "fixed_quantity"
    if kind in _OTHER_SIZE_TYPES:
        raise fields.refuse("quantitytype")
    return kind


def _read_entry_size(fields: ForeignFields) -> dict[str, object]:
    kind = _read_size_type(fields)
    if kind not in _ENTRY_SIZES:
        raise fields.refuse("quantitytype", _("a percent of the position is the size of an exit"))
    size: dict[str, object] = {_ENTRY_SIZES[kind]: fields.required_positive("quantity")}
    return size | {"levered": False} if kind == "percent_of_equity" else size


def _read_take_profit(fields: ForeignFields) -> dict[str, object]:
    given = fields.nested("takeprofit")
    if given is None:
        return {}
    level = only_one(given, {"limitprice": "price", "percent": "percent", "amount": "offset"})
    given.finish(is_entry=True)
    return {"take_profit": level}


def _read_stop_loss(fields: ForeignFields) -> dict[str, object]:
    given = fields.nested("stoploss")
    if given is None:
        return {}
    kind = given.word("type", _STOP_TYPES) or "stop"
    given.refuse_given("limitprice", reason=_("a stop that may not be filled is no protection"))
    if kind == "stop_limit":
        raise given.refuse("type", _("a stop that may not be filled is no protection"))
    if kind == "trailing_stop":
        trail = {"trailpercent": "percent", "trailamount": "offset", "trailprice": "offset"}
        leg: dict[str, object] = {"trailing_stop": only_one(given, trail)}
        if any(given.get(name) is not None for name in ("stopprice", "percent", "amount")):
            raise given.refuse("type", _("a trailing stop and a fixed stop exclude each other"))
    else:
        leg = {"stop_loss": only_one(given, {"stopprice": "price", "percent": "percent", "amount": "offset"})}
    given.finish(is_entry=True)
    return leg


def _read_time_in_force(fields: ForeignFields, *, is_entry: bool) -> dict[str, object]:
    word = fields.word("timeinforce", {*_TIMES, "day", "opg", "cls"})
    if word and word not in _TIMES:
        fields.refuse_given("timeinforce", is_entry=is_entry)
        return {}
    return {"time_in_force": _TIMES[word]} if word else {}


# Exits


def _read_exit(fields: ForeignFields, symbol: str, action: str, sentiment: str) -> dict[str, object]:
    fields.refuse_given("takeprofit", "stoploss", is_entry=False)
    order = _read_order(fields)
    fields.refuse_given("trailamount", "trailpercent", is_entry=False)
    if action == "exit" and sentiment:
        fields.warn(_("sentiment was ignored: TradersPost refuses an exit with a sentiment."))
    leg: dict[str, object] = {"symbol": symbol} if action == "exit" else {"symbol": symbol, "side": action}
    quantity = None if sentiment == "flat" and action != "exit" else fields.positive("quantity")
    fields.skip("quantity", "quantitytype")
    leg = full_exit(leg, order) if quantity is None else {**leg, **order, **_exit_size(fields, quantity)}
    return leg | _read_time_in_force(fields, is_entry=False)


def _exit_size(fields: ForeignFields, quantity: Decimal) -> dict[str, object]:
    kind = _read_size_type(fields)
    if kind == "percent_of_position":
        return {"qty_per": quantity.copy_negate()}
    if kind == "fixed_quantity":
        return {"reduce_only": True, "qty": quantity}
    if kind == "percent_of_equity":
        return {"reduce_only": True, "qty_per": quantity, "levered": False}
    raise fields.refuse("quantitytype", _("an exit takes a quantity or a percent"))
