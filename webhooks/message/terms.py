"""Reads what a leg says besides side, type and prices: a position or a target, the size, protective exits."""

from collections.abc import Mapping
from decimal import Decimal

from exchanges.enums import TimeInForce
from orders.domain.terms import Aim, Distance, DistanceKind, PositionWord, Protection, TakeProfit, Terms
from webhooks.message.fields import Fields
from webhooks.message.strict_json import decimal_of

SIZES = ("qty", "qty_per", "quote_qty", "risk_per")
TARGETS = ("target_per", "target_qty", "target_quote")
POSITIONS = ("market_position", "prev_market_position", "market_position_size", "prev_market_position_size")
PROTECTIONS = ("stop_loss", "take_profit", "trailing_stop", "breakeven_after")
TERM_FIELDS = frozenset(
    ("quote_qty", "risk_per", "levered", "reduce_only", "time_in_force", *TARGETS, *POSITIONS, *PROTECTIONS)
)
MAX_TAKE_PROFITS = 8
LOWEST_QTY_PER = -100
_WHOLE = Decimal(100)
_KINDS = {kind.value: kind for kind in DistanceKind}
_ALL = tuple(DistanceKind)


def read_terms(fields: Fields) -> Terms:
    """Reads everything but `qty_per` and `qty`. Raises WebhookError."""
    return Terms(
        aim=_read_aim(fields),
        quote_qty=fields.positive("quote_qty"),
        risk_per=fields.positive("risk_per"),
        levered=fields.get("levered") is None or fields.flag("levered"),
        reduce_only=fields.flag("reduce_only"),
        time_in_force=_read_time_in_force(fields),
        protection=_read_protection(fields),
    )


def _read_time_in_force(fields: Fields) -> TimeInForce:
    value = fields.get("time_in_force")
    if value is None:
        return TimeInForce.GTC
    try:
        return TimeInForce(str(value).upper())
    except ValueError as error:
        raise fields.invalid("time_in_force", value) from error


def read_size(fields: Fields, terms: Terms) -> tuple[Decimal | None, Decimal | None]:
    """Returns (qty_per, qty), of which at most one has a value. Raises WebhookError for no size, or several.

    A qty_per of NaN without another size is the sender's failed calculation. The leg is refused: NaN is no absence
    here.
    """
    qty, qty_per = fields.positive("qty"), fields.decimal("qty_per")
    named = [name for name in (*SIZES, *TARGETS) if fields.get(name) is not None]
    if len(named) > 1:
        raise fields.invalid(", ".join(named), ", ".join(str(fields.get(name)) for name in named))
    if named in ([], ["qty_per"]) and fields.nearest("qty_per") == "NaN":
        raise fields.invalid("qty_per", "NaN")
    if terms.reduce_only and terms.aim is not None and not terms.aim.is_flat:
        raise fields.invalid("reduce_only", "true")  # the position decides between exit and entry
    if not named and _needs_size(terms):
        raise fields.error("missing_field", field="qty_per")
    if qty_per is not None and (qty_per == 0 or qty_per < LOWEST_QTY_PER):
        raise fields.invalid("qty_per", qty_per)
    if qty_per is not None and qty_per < 0 and terms.aim is not None and not terms.aim.is_flat:
        raise fields.invalid("qty_per", qty_per)
    return qty_per, qty


def _needs_size(terms: Terms) -> bool:
    """A flat position and a position that shrinks need no size: what is held decides."""
    aim = terms.aim
    if aim is None:
        return True
    return not (aim.is_flat or aim.shrinks)


def _read_aim(fields: Fields) -> Aim | None:
    given = [name for name in TARGETS if fields.get(name) is not None]
    word = _read_word(fields, "market_position")
    if word is None and not given:
        lonely = [name for name in POSITIONS if fields.get(name) is not None]
        if lonely:
            raise fields.error("missing_field", field="market_position")
        return None
    if len(given) > 1 or (word is not None and given):
        named = ["market_position"] * (word is not None) + given
        raise fields.invalid(", ".join(named), ", ".join(str(fields.get(name)) for name in named))
    if word is None:
        return Aim(**{given[0]: fields.decimal(given[0])})  # type: ignore[arg-type]  # names of the targets
    before = _read_word(fields, "prev_market_position")
    size, size_before = (
        _read_amount(fields, "market_position_size"),
        _read_amount(fields, "prev_market_position_size"),
    )
    if size == 0 and word is not PositionWord.FLAT:
        raise fields.invalid("market_position_size", size)
    return Aim(word, before, None if word is PositionWord.FLAT else size, size_before)


def _read_word(fields: Fields, name: str) -> PositionWord | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        return PositionWord(str(value).lower())
    except ValueError as error:
        raise fields.invalid(name, value, code="invalid_position") from error


def _read_amount(fields: Fields, name: str) -> Decimal | None:
    """A size without a sign: TradingView's position_size has one, market_position_size has none."""
    number = fields.decimal(name)
    return None if number is None else abs(number)


# Protective exits


def _read_protection(fields: Fields) -> Protection:
    return Protection(
        stop_loss=_read_distance(fields, "stop_loss", _ALL),
        take_profits=_read_take_profits(fields),
        trailing_stop=_read_distance(fields, "trailing_stop", (DistanceKind.PERCENT, DistanceKind.OFFSET)),
        breakeven_after=_read_distance(fields, "breakeven_after", _ALL),
    )


def _read_distance(fields: Fields, name: str, kinds: tuple[DistanceKind, ...]) -> Distance | None:
    value = fields.get(name)
    return None if value is None else _distance_of(fields, name, value, kinds)


def _distance_of(fields: Fields, name: str, value: object, kinds: tuple[DistanceKind, ...]) -> Distance:
    if not isinstance(value, Mapping):
        raise fields.invalid(name, value)
    given = [key for key in value if key in _KINDS]
    if len(given) != 1 or _KINDS[given[0]] not in kinds or set(value) - {given[0], "portion"}:
        raise fields.invalid(name, ", ".join(value) or "{}")
    if "portion" in value and name != "take_profit":
        raise fields.invalid(name, "portion")
    return Distance(_KINDS[given[0]], _positive(fields, f"{name}.{given[0]}", value[given[0]]))


def _read_take_profits(fields: Fields) -> tuple[TakeProfit, ...]:
    value = fields.get("take_profit")
    if value is None:
        return ()
    listed = value if isinstance(value, list) else [value]
    if not listed or len(listed) > MAX_TAKE_PROFITS:
        raise fields.invalid("take_profit", len(listed))
    steps = tuple(_take_profit(fields, entry, alone=len(listed) == 1) for entry in listed)
    if sum((step.portion for step in steps), Decimal(0)) > _WHOLE:
        raise fields.invalid("take_profit.portion", ", ".join(str(step.portion) for step in steps))
    return steps


def _take_profit(fields: Fields, entry: object, *, alone: bool) -> TakeProfit:
    distance = _distance_of(fields, "take_profit", entry, _ALL)
    assert isinstance(entry, Mapping)
    if "portion" not in entry:
        if not alone:
            raise fields.error("missing_field", field="take_profit.portion")
        return TakeProfit(distance)
    return TakeProfit(distance, _positive(fields, "take_profit.portion", entry["portion"]))


def _positive(fields: Fields, name: str, value: object) -> Decimal:
    number = decimal_of(value.strip()) if isinstance(value, str) else value
    if not isinstance(number, Decimal) or number <= 0:
        raise fields.invalid(name, value)
    return number
