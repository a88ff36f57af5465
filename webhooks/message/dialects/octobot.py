"""OctoBot's TradingView mode: `KEY=VALUE` pairs. Source: OctoBot-Tentacles, trading_view_signals_trading.py."""

import re
from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from webhooks.message.dialects.foreign_fields import ForeignFields
from webhooks.message.dialects.leg_parts import FIRST, SECOND, cancel_all
from webhooks.message.dialects.octobot_amounts import read_price, read_volume
from webhooks.message.dialects.octobot_protection import read_protection
from webhooks.message.dialects.own_message import Translation, is_entry_leg

_SIGNALS = ("buy", "sell", "cancel")
_TYPES = ("market", "limit", "stop")
_MARKET_TYPES = {"": "", "spot": "SPOT", "future": "FUTURES"}
_ID = re.compile(r"[^\s,;'\"\[\]()]+")
_UNSUPPORTED = ("trailing_profile", "cancel_policy", "cancel_policy_params")
_PROTECTION = re.compile(r"stop_price|take_profit_price(_\d+)?|take_profit_volume_ratio(_\d+)?")


def read_octobot(fields: ForeignFields) -> Translation:
    """Reads one signal. A buy or a sell is a plain order, after a cancel of the symbol's open orders."""
    fields.required_text("exchange")
    symbol = fields.required_text("symbol")
    signal = fields.word("signal", _SIGNALS, code="invalid_side")
    if not signal:
        raise fields.error("missing_field", field="signal")
    market_type = _MARKET_TYPES[fields.word("trading_type", _MARKET_TYPES)]
    if signal == "cancel":
        return Translation(_read_cancels(fields, symbol), market_type=market_type)
    leg = _read_order(fields, symbol, signal)
    return Translation(
        [cancel_all(symbol, priority=FIRST), {**leg, "priority": SECOND}],
        percent_of_balance="levered" in leg,
        market_type=market_type,
        leverage=fields.positive("leverage"),
    )


def _read_cancels(fields: ForeignFields, symbol: str) -> list[dict[str, object]]:
    fields.skip("volume", "price", "order_type", "reduce_only", "leverage", "allow_holdings_adaptation")
    ids = _ID.findall(str(fields.get("exchange_order_ids") or ""))
    if ids:
        return [{"order_type": "CANCEL", "symbol": symbol, "order_id": name} for name in ids]
    leg = cancel_all(symbol)
    if side := fields.word("param_side", ("buy", "sell"), code="invalid_side"):
        leg["side"] = side
    if tag := fields.label("tag"):
        leg["tag"] = tag
    return [leg]


def _read_order(fields: ForeignFields, symbol: str, side: str) -> dict[str, object]:
    kind = fields.word("order_type", _TYPES, code="invalid_order_type") or "market"
    leg: dict[str, object] = {
        "symbol": symbol,
        "side": side,
        **_read_type(fields, kind),
        **read_volume(fields),
    }
    if tag := fields.label("tag"):
        leg["tag"] = tag
    closes = isinstance(leg.get("qty_per"), Decimal) and not is_entry_leg(leg)
    if (fields.flag("reduce_only") or kind == "stop") and not closes:
        leg["reduce_only"] = True
    is_entry = is_entry_leg(leg)
    _refuse_foreign_fields(fields, is_entry=is_entry)
    if is_entry:
        return leg | read_protection(fields, side)
    ignored = [name for name in fields.layers[0] if _PROTECTION.fullmatch(name)]
    fields.refuse_given(*(name for name in ignored if kind != "stop" or name != "stop_price"), is_entry=False)
    return leg


def _read_type(fields: ForeignFields, kind: str) -> dict[str, object]:
    if kind == "market":
        fields.skip("price")
        return {"order_type": "MARKET"}
    if kind == "limit":
        return {"order_type": "LIMIT", "price": read_price(fields, "price", order_type="LIMIT")}
    fields.skip("price")
    stop_price = read_price(fields, "stop_price", order_type="STOP_MARKET")
    return {"order_type": "STOP_MARKET", "stop_price": stop_price}


def _refuse_foreign_fields(fields: ForeignFields, *, is_entry: bool) -> None:
    fields.refuse_given(*_UNSUPPORTED, is_entry=is_entry)
    fields.refuse_given(*(name for name in fields.layers[0] if name.startswith("param_")), is_entry=is_entry)
    if fields.flag("allow_holdings_adaptation"):
        fields.warn(_("%(field)s was ignored."), field="allow_holdings_adaptation")
