"""OpenAlgo's REST orders: `apikey` and `strategy`. Source: openalgo, restx_api/schemas.py, brokers' order_api.py."""

from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from webhooks.errors import WebhookError
from webhooks.message.dialects.foreign_fields import ForeignFields
from webhooks.message.dialects.leg_parts import FIRST, SECOND, full_exit, order_of
from webhooks.message.dialects.own_message import Translation
from webhooks.message.dialects.unsupported import unsupported_dialect

_TYPES = {"market": "MARKET", "limit": "LIMIT", "sl": "STOP_LIMIT", "sl-m": "STOP_MARKET"}
_PRICE_NAMES = {"price": "price", "stop_price": "trigger_price"}
_SIDES = ("buy", "sell")
_OPTIONS = ("underlying", "option_type", "expiry_date", "offset", "legs")
_GTT = ("trigger_type", "triggerprice_sl", "triggerprice_tg", "stoploss", "target")


def read_openalgo(fields: ForeignFields) -> Translation:
    """Reads a placed order, a smart order, a basket or a cancel. The body does not name the verb."""
    fields.skip("apikey")
    tag = fields.label("strategy")
    top: dict[str, object] = {}
    if not fields.name("group_name") and tag:
        top["group_name"] = fields.get("strategy")
    if any(fields.get(name) is not None for name in _OPTIONS):
        raise unsupported_dialect("OpenAlgo options", _("options are not traded here"))
    fields.refuse_given("splitsize", *_GTT)
    legs = _read_legs(fields)
    return Translation(
        [{**leg, "tag": tag} if tag and "order_id" not in leg else leg for leg in legs], top=top
    )


def _read_legs(fields: ForeignFields) -> list[dict[str, object]]:
    if fields.get("orderid") is not None:
        return [_read_cancel(fields)]
    entries = fields.get("orders")
    if entries is not None:
        return _read_basket(fields, entries)
    if fields.get("symbol") is None and fields.get("action") is None:
        raise WebhookError("ambiguous_dialect", dialects="openalgo closeposition, openalgo cancelallorder")
    return [_read_order(fields)]


def _read_cancel(fields: ForeignFields) -> dict[str, object]:
    if any(fields.get(name) is not None for name in ("price", "quantity", "action")):
        raise fields.refuse("orderid", _("an order cannot be modified here: cancel it and place a new one"))
    leg: dict[str, object] = {"order_type": "CANCEL", "order_id": fields.name("orderid")}
    symbol = fields.text("symbol")
    fields.skip("exchange", "product")
    return {**leg, "symbol": symbol} if symbol else leg


def _read_basket(fields: ForeignFields, entries: object) -> list[dict[str, object]]:
    """Reads the orders of a basket, which OpenAlgo runs with the buys first."""
    if not isinstance(entries, list) or not entries:
        raise fields.error("missing_field", field="orders")
    legs = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise fields.error("missing_field", field=f"orders[{index}]")
        order = ForeignFields(entry, path=f"orders[{index}].", warnings=fields.warnings)
        order.skip("strategy", "apikey")
        order.refuse_given("splitsize", *_GTT, *_OPTIONS)
        leg = _read_order(order)
        order.finish(is_entry=True)
        legs.append({**leg, "priority": FIRST if leg.get("side") == "buy" else SECOND})
    return legs


def _read_order(fields: ForeignFields) -> dict[str, object]:
    symbol = read_symbol(fields)
    side = fields.word("action", _SIDES, code="invalid_side")
    if not side:
        raise fields.error("missing_field", field="action")
    kind = fields.word("pricetype", _TYPES, code="invalid_order_type") or "market"
    order = order_of(fields, _TYPES[kind], _PRICE_NAMES)
    _check_product(fields)
    if fields.has("position_size"):
        return _read_target(fields, symbol, order)
    quantity = fields.required_positive("quantity")
    return {"symbol": symbol, "side": side, **order, "qty": quantity}


def read_symbol(fields: ForeignFields) -> str:
    symbol, exchange = fields.required_text("symbol"), fields.text("exchange")
    if exchange.upper() not in ("", "CRYPTO"):
        raise fields.invalid("symbol", f"{exchange}:{symbol}", code="invalid_symbol")
    return symbol


def _check_product(fields: ForeignFields) -> None:
    if fields.word("product", ("mis", "nrml", "cnc")) == "mis":
        fields.warn(_("product MIS was ignored: no position is closed at the end of the day."))
    if fields.decimal("disclosed_quantity"):
        raise fields.refuse("disclosed_quantity")


def _read_target(fields: ForeignFields, symbol: str, order: dict[str, object]) -> dict[str, object]:
    """Reads a smart order: the position to hold afterwards. Action and quantity do not count."""
    target = fields.decimal("position_size")
    if target is None:
        raise fields.invalid("position_size", fields.layers[0]["position_size"])
    fields.skip("quantity")
    return target_leg(fields, symbol, order, target)


def target_leg(
    fields: ForeignFields, symbol: str, order: dict[str, object], target: Decimal
) -> dict[str, object]:
    if target:
        return {"symbol": symbol, **order, "target_qty": target}
    fields.warn(_("position_size 0 means flat here and never opens a position."))
    return full_exit({"symbol": symbol}, order)
