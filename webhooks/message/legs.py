"""Reads a leg of a delivery, and checks the leg against the rules of the order type."""

import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from exchanges.amounts import plain
from exchanges.enums import OrderType, Side
from orders.domain.enums import LEG_TYPES, CancelType, LegType
from orders.domain.legs import Leg
from orders.domain.terms import PositionWord, RelativeKind, RelativePrice, RelativePrices
from webhooks.errors import WebhookError, lazy_phrase
from webhooks.message.fields import Fields, is_name
from webhooks.message.placeholders import holds_placeholder
from webhooks.message.strict_json import NOT_A_NUMBER, decimal_of
from webhooks.message.terms import TARGETS, TERM_FIELDS, read_size, read_terms

LEG_FIELDS = (
    frozenset(
        {
            "symbol",
            "side",
            "order_type",
            "price",
            "stop_price",
            "qty_per",
            "qty",
            "priority",
            "order_id",
            "tag",
        }
    )
    | TERM_FIELDS
)
MAX_SYMBOL = 64
MAX_TAG = 64
LOWEST_PERCENT, HIGHEST_PERCENT = -100, 1000  # both beyond what a relative price may be
_ONE_SYMBOL = _("a list of symbols is for CANCEL_ALL_ORDER only. Send an entry of orders for each symbol.")

_SIDES = {"buy": Side.BUY, "long": Side.BUY, "sell": Side.SELL, "short": Side.SELL}
_RELATIVE = re.compile(
    r"(?P<number>[+-](?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*(?P<unit>%|d|ticks?)", re.ASCII | re.IGNORECASE
)
_UNITS = {"%": RelativeKind.PERCENT, "d": RelativeKind.OFFSET, "t": RelativeKind.TICKS}
_EXAMPLES = "-0.5%, +10 ticks, -100d"
_SIZE = frozenset({"qty_per", "qty", "tag"}) | TERM_FIELDS


def _prices_of(order_type: OrderType) -> frozenset[str]:
    needed = {"price": order_type.needs_price, "stop_price": order_type.needs_stop_price}
    return frozenset(name for name, is_needed in needed.items() if is_needed)


_USES: dict[LegType, frozenset[str]] = {
    **{kind: _SIZE | _prices_of(kind) for kind in OrderType},
    CancelType.CANCEL: frozenset({"order_id", "tag"}),
    CancelType.CANCEL_ALL_ORDER: frozenset({"tag"}),
}
_USED_BY_SOME = ("price", "stop_price", "qty_per", "qty", "order_id", "tag", *sorted(TERM_FIELDS))


def read_leg(index: int, fields: Fields) -> Leg:
    """Reads a leg. Raises WebhookError for the first broken rule of SPEC sections 4 and 6."""
    leg_type = _read_leg_type(fields)
    if isinstance(leg_type, CancelType):
        return _read_cancel(index, fields, leg_type)
    symbol = _read_symbol(fields, leg_type)
    terms = read_terms(fields)
    qty_per, qty = read_size(fields, terms)
    is_closing = qty_per is not None and qty_per < 0
    side = _read_side(fields, is_required=not (is_closing or terms.reduce_only or terms.aim))
    price = _read_price(fields, leg_type, "price", is_used=leg_type.needs_price)
    stop_price = _read_price(fields, leg_type, "stop_price", is_used=leg_type.needs_stop_price)
    if side is not None and terms.aim is None and isinstance(stop_price, RelativePrice):
        _check_stop_side(fields, side, stop_price)
    return Leg(
        index=index,
        leg_type=leg_type,
        symbol=symbol,
        side=side,
        price=_number_or_none(price),
        stop_price=_number_or_none(stop_price),
        qty_per=qty_per,
        qty=qty,
        priority=_read_priority(fields),
        tag=_read_tag(fields),
        terms=replace(
            terms, relative=RelativePrices(_relative_or_none(price), _relative_or_none(stop_price))
        ),
    )


def ignored_fields(leg: Leg, fields: Fields) -> Iterator[str]:
    """Yields a sentence, translated on reading, for each given field without a use in this type of leg."""
    for name in _USED_BY_SOME:
        if name not in _USES[leg.leg_type] and fields.get(name) is not None:
            yield lazy_phrase(
                _("%(order_type)s does not use %(field)s: it was ignored."),
                {"order_type": leg.leg_type.value, "field": name},
                fields.leg,
            )


def doubtful_sizes(leg: Leg, fields: Fields) -> Iterator[str]:
    """Yields a sentence for a `qty` that would enter too much if the sender means `{{strategy.order.contracts}}`."""
    aim = leg.terms.aim
    if leg.qty is None or aim is None or aim.position in (None, PositionWord.FLAT) or aim.size is not None:
        return
    yield lazy_phrase(
        _(
            "%(field)s is the size of the entry, also after a reversal. {{strategy.order.contracts}} then counts exit "
            "and entry together: send market_position_size and prev_market_position_size too, and only the entry's "
            "part is entered."
        ),
        {"field": "qty"},
        fields.leg,
    )


def _read_leg_type(fields: Fields) -> LegType:
    value = fields.get("order_type")
    if value is None and any(fields.get(name) is not None for name in ("market_position", *TARGETS)):
        return OrderType.MARKET
    if value is None:
        raise fields.error("missing_field", field="order_type")
    if str(value).upper() not in LEG_TYPES:
        raise fields.invalid("order_type", value, code="invalid_order_type")
    return LEG_TYPES[str(value).upper()]


def _read_symbol(fields: Fields, leg_type: LegType) -> str:
    value = fields.get("symbol")
    if value is None and isinstance(leg_type, CancelType):
        return ""
    if value is None:
        raise fields.error("missing_field", field="symbol")
    if isinstance(value, list):
        raise fields.error("invalid_symbol", field="symbol", value=_ONE_SYMBOL)
    return _checked_symbol(fields, value)


def _read_symbols(fields: Fields) -> tuple[str, ...]:
    """Reads the symbols of a CANCEL_ALL_ORDER; () where `symbol` is no list.

    An empty list, or an empty entry, is refused: without a symbol the leg would cancel everything.
    """
    value = fields.get("symbol")
    if not isinstance(value, list):
        return ()
    if not value:
        raise fields.invalid("symbol", "[]", code="invalid_symbol")
    return tuple(_checked_symbol(fields, entry) for entry in value)


def _checked_symbol(fields: Fields, value: object) -> str:
    is_text = isinstance(value, str) and value.strip() not in ("", NOT_A_NUMBER) and len(value) <= MAX_SYMBOL
    if not is_text or not is_name(value) or holds_placeholder(value):  # type: ignore[arg-type]  # is_text
        raise fields.invalid("symbol", value, code="invalid_symbol")
    return str(value).strip()


def _read_cancel(index: int, fields: Fields, leg_type: CancelType) -> Leg:
    symbols = _read_symbols(fields) if leg_type is CancelType.CANCEL_ALL_ORDER else ()
    symbol = "" if symbols else _read_symbol(fields, leg_type)
    order_id, tag = fields.name("order_id") if leg_type is CancelType.CANCEL else "", _read_tag(fields)
    if leg_type is CancelType.CANCEL and not (order_id or tag):
        raise fields.error("missing_field", field="order_id")
    side = _read_side(fields, is_required=False)
    return Leg(
        index,
        leg_type,
        symbol,
        side,
        priority=_read_priority(fields),
        order_id=order_id,
        tag=tag,
        symbols=symbols,
    )


def _read_side(fields: Fields, *, is_required: bool) -> Side | None:
    value = fields.get("side")
    if value is None and is_required:
        raise fields.error("missing_field", field="side")
    if value is None:
        return None
    if str(value).lower() not in _SIDES:
        raise fields.invalid("side", value, code="invalid_side")
    return _SIDES[str(value).lower()]


def _read_price(
    fields: Fields, leg_type: LegType, name: str, *, is_used: bool
) -> Decimal | RelativePrice | None:
    """Reads a number, or a distance from the market's price. A sign without a unit makes no distance."""
    if not is_used:
        return None
    value = fields.get(name)
    if value is None:
        raise fields.error(f"{name}_required", order_type=leg_type.value)
    found = _RELATIVE.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        return _read_relative(fields, name, found)
    number = decimal_of(value) if isinstance(value, str) else value
    if not isinstance(number, Decimal) or number <= 0:
        hint = _(
            "write a number above 0, or a distance from the market's price with sign and unit: %(examples)s"
        )
        raise _explained(fields.invalid(name, value), lazy_phrase(hint, {"examples": _EXAMPLES}))
    return number


def _read_relative(fields: Fields, name: str, found: re.Match[str]) -> RelativePrice:
    number, kind = decimal_of(found["number"]), _UNITS[found["unit"][0].lower()]
    if number is None or not number:
        raise _explained(fields.invalid(name, found[0]), _("the distance is 0, or has too many digits"))
    if kind is RelativeKind.PERCENT and not LOWEST_PERCENT < number < HIGHEST_PERCENT:
        bounds = {"lowest": LOWEST_PERCENT, "highest": HIGHEST_PERCENT}
        hint = lazy_phrase(_("a percent lies between %(lowest)s and %(highest)s"), bounds)
        raise _explained(fields.invalid(name, found[0]), hint)
    if kind is RelativeKind.TICKS and number != number.to_integral_value():
        raise _explained(fields.invalid(name, found[0]), _("ticks are whole"))
    return RelativePrice(kind, Decimal(plain(number)))


def _check_stop_side(fields: Fields, side: Side, stop: RelativePrice) -> None:
    if stop.value * side.sign < 0:
        hint = _("a stop that sells lies below the market (-), a stop that buys above (+)")
        raise _explained(fields.invalid("stop_price", stop), hint)


def _explained(error: WebhookError, detail: object) -> WebhookError:
    if error.code == "invalid_number":  # and not a placeholder that was not filled
        error.detail = detail
    return error


def _number_or_none(price: Decimal | RelativePrice | None) -> Decimal | None:
    return price if isinstance(price, Decimal) else None


def _relative_or_none(price: Decimal | RelativePrice | None) -> RelativePrice | None:
    return price if isinstance(price, RelativePrice) else None


def _read_tag(fields: Fields) -> str:
    tag = fields.name("tag")
    if len(tag) > MAX_TAG:
        raise fields.invalid("tag", tag)
    return tag


def _read_priority(fields: Fields) -> int | None:
    """Reads the priority from the leg only, because a priority at the top level could not sort the legs."""
    return Fields(fields.layers[0], leg=fields.leg).integer("priority")
