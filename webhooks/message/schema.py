"""The JSON Schema of a message in our own words, from one table of fields. Keys ignore case; a schema cannot."""

from typing import Any

from exchanges.enums import TimeInForce
from orders.domain.enums import LEG_TYPES
from orders.domain.terms import PositionWord
from webhooks.message.legs import MAX_SYMBOL, MAX_TAG
from webhooks.message.terms import LOWEST_QTY_PER, MAX_TAKE_PROFITS

Json = dict[str, Any]

SCHEMA_ID = "/api/webhook/schema.json"
MAX_LEGS = 30
_POSITIVE = r"^\s*\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,9})?\s*$"
_RELATIVE = r"^\s*[+-](\d+\.?\d*|\.\d+)\s*(%|[dD]|[tT][iI][cC][kK][sS]?)\s*$"
_DECIMAL = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,9})?\s*$"


def _said(text: str, **more: Any) -> Json:
    return {"description": text, **more}


def _number(text: str, **bounds: Any) -> Json:
    """A number, or the number as a text, as placeholders give it. A bound of a text is its sign only."""
    pattern = _POSITIVE if bounds.get("exclusiveMinimum") == 0 else _DECIMAL
    return _said(text, anyOf=[{"type": "number", **bounds}, {"type": "string", "pattern": pattern}])


def _price(text: str) -> Json:
    """A number above 0, or a signed distance from the market's price: -0.5%, +10 ticks, -100d."""
    number = _number(text, exclusiveMinimum=0)
    return {**number, "anyOf": [*number["anyOf"], {"type": "string", "pattern": _RELATIVE}]}


def _word(text: str, *words: str) -> Json:
    plain = [str(word) for word in words]
    cases = {case(word) for word in plain for case in (str.lower, str.upper, str.capitalize)}
    return _said(text, type="string", enum=sorted(cases))


def _flag(text: str) -> Json:
    return _said(text, enum=[True, False, "true", "false", 1, 0, "1", "0"])


def _distance(text: str, *kinds: str, **portion: Json) -> Json:
    amounts = {kind: _number(f"A {kind}.", exclusiveMinimum=0) for kind in kinds}
    return _said(
        text,
        type="object",
        properties={**amounts, **portion},
        additionalProperties=False,
        oneOf=[{"required": [kind]} for kind in kinds],
    )


_SYMBOL: Json = {"type": "string", "maxLength": MAX_SYMBOL}
_KINDS = ("price", "percent", "offset")
_POSITIONS = tuple(PositionWord)
_STEP = _distance(
    "A take profit.",
    *_KINDS,
    portion=_number("The percentage of the position.", exclusiveMinimum=0, maximum=100),
)
LEG_SCHEMAS: dict[str, Json] = {
    "symbol": _said(
        "What to trade, such as BTCUSDT.P or BTC/USDT. CANCEL_ALL_ORDER takes a list.",
        anyOf=[_SYMBOL, {"type": "array", "items": _SYMBOL, "minItems": 1, "maxItems": MAX_LEGS}],
    ),
    "side": _word("The side of the order.", "buy", "sell", "long", "short"),
    "order_type": _word("MARKET where a position or a target is named.", *LEG_TYPES),
    "price": _price("The limit price, or its distance from the market's price: -0.5%, +10 ticks, -100d."),
    "stop_price": _price("The trigger of a stop order, or its distance from the market's price."),
    "qty_per": _number(
        "Percent of capital times leverage; below 0 closes that percent.", minimum=LOWEST_QTY_PER
    ),
    "qty": _number("Base units, or shares.", exclusiveMinimum=0),
    "quote_qty": _number("A size in quote currency.", exclusiveMinimum=0),
    "risk_per": _number("Percent of capital that is lost when stop_loss is hit.", exclusiveMinimum=0),
    "levered": _flag("False: percents are of capital without leverage."),
    "time_in_force": _word("How long a LIMIT entry works.", *TimeInForce),
    "reduce_only": _flag("True: an exit of at most the size."),
    "market_position": _word("The position after the script's order.", *_POSITIONS),
    "prev_market_position": _word("The position before the script's order.", *_POSITIONS),
    "market_position_size": _number("The size after, in the script's unit."),
    "prev_market_position_size": _number("The size before, in the script's unit."),
    "target_per": _number("What to hold afterwards: percent of capital times leverage, signed."),
    "target_qty": _number("What to hold afterwards: base units, signed."),
    "target_quote": _number("What to hold afterwards: quote currency, signed."),
    "stop_loss": _distance("The stop of an entry.", *_KINDS),
    "take_profit": _said(
        "One take profit, or up to 8 with portions.",
        anyOf=[_STEP, {"type": "array", "items": _STEP, "minItems": 1, "maxItems": MAX_TAKE_PROFITS}],
    ),
    "trailing_stop": _distance("A stop that follows the price.", "percent", "offset"),
    "breakeven_after": _distance("When the stop moves to the entry's price.", *_KINDS),
    "tag": _said("Your name of the order, for CANCEL.", type="string", maxLength=MAX_TAG),
    "priority": _number("The run order; lower first.", multipleOf=1),
    "order_id": _said("For CANCEL: our client order id or the exchange's.", type=["string", "number"]),
}
TOP_SCHEMAS: dict[str, Json] = {
    "group_name": _said("The strategy.", type="string", maxLength=200),
    "token": _said("The webhook token, unless the header Authorization has it.", type="string"),
    "id": _said("Your name of this firing: the same id is a repetition.", type=["string", "number"]),
    "alert_id": _said("The same as id.", type=["string", "number"]),
    "timestamp": _said("ISO 8601, or an epoch.", type=["string", "number"]),
    "timenow": _said("The same as timestamp.", type=["string", "number"]),
    "max_lag": _number("Entries older than so many seconds are refused.", exclusiveMinimum=0),
    "dry_run": _flag("True: check and size, send nothing."),
    "dialect": _said("The system for which the message is written; here own.", type="string", const="own"),
}


def message_schema() -> Json:
    """Returns the JSON Schema (2020-12) of a message in our own words."""
    leg = {"type": "object", "properties": LEG_SCHEMAS}
    orders = _said("The legs; without it the message is its own leg.", type="array", items=leg)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "A tradehub message",
        "description": "Fields of a leg may stand at the top for all legs. Keys and words ignore case.",
        "type": "object",
        "properties": {
            **TOP_SCHEMAS,
            **LEG_SCHEMAS,
            "orders": {**orders, "minItems": 1, "maxItems": MAX_LEGS},
        },
        "required": ["group_name"],
    }
