"""OpenAlgo's strategy webhook, whose meaning depends on `mode`. Source: openalgo, blueprints/strategy.py."""

from decimal import Decimal

from webhooks.message.dialects.foreign_fields import ForeignFields
from webhooks.message.dialects.openalgo import read_symbol, target_leg
from webhooks.message.dialects.own_message import Translation

_MODES = ("long", "short", "both")
_OPENS = {"long": "buy", "short": "sell"}
_MARKET: dict[str, object] = {"order_type": "MARKET"}


def read_openalgo_strategy(fields: ForeignFields) -> Translation:
    """Reads one signal: LONG buys and closes, SHORT sells and closes, BOTH holds `position_size` afterwards."""
    symbol = read_symbol(fields)
    mode = fields.word("mode", _MODES)
    if not mode:
        raise fields.error("missing_field", field="mode")
    action = fields.word("action", ("buy", "sell"), code="invalid_side")
    if not action:
        raise fields.error("missing_field", field="action")
    if mode == "both":
        return Translation([_read_target(fields, symbol, action)])
    if action != _OPENS[mode]:
        fields.skip("position_size", "quantity")
        return Translation([{"symbol": symbol, "market_position": "flat"}])
    return Translation([{"symbol": symbol, "side": action, **_MARKET, "qty": _read_quantity(fields)}])


def _read_target(fields: ForeignFields, symbol: str, action: str) -> dict[str, object]:
    target = fields.decimal("position_size")
    if target is None:
        raise fields.error("missing_field", field="position_size")
    if (action == "buy" and target < 0) or (action == "sell" and target > 0):
        raise fields.invalid("position_size", target)
    fields.skip("quantity")
    return target_leg(fields, symbol, _MARKET, target)


def _read_quantity(fields: ForeignFields) -> Decimal:
    size = fields.decimal("position_size")
    return size.copy_abs() if size else fields.required_positive("quantity")
