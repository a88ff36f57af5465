"""What a leg says besides side, type, prices and size: a position to be in, other ways to size, protective exits."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import StrEnum
from typing import Any

from exchanges.amounts import plain
from exchanges.enums import Side, TimeInForce

Json = dict[str, Any]
RELATIVE = "relative"  # in stored terms: the prices that are distances from the market's price
TOKEN_NOTIONAL = (
    "token_notional"  # in stored terms: the most that the token lets an entry be worth, in quote currency
)
NO_ENTRY = "no_entry"  # in stored terms: the reason for which a leg may close and not open


class PositionWord(StrEnum):
    """A position in TradingView's words."""

    LONG = "long"
    SHORT = "short"
    FLAT = "flat"

    @property
    def sign(self) -> int:
        return {"long": 1, "short": -1, "flat": 0}[self.value]


def position_text(position: str, size: Decimal | None) -> str:
    """A position and its size in the script's own unit."""
    return position if size is None or position == PositionWord.FLAT.value else f"{position} {size}"


@dataclass(frozen=True, slots=True)
class Aim:
    """The position to be in after the leg.

    Either `position`, with the script's position `before`, and both sizes in the script's own unit, without a sign; or
    one target, signed: percent of capital times leverage, base units, or quote currency.
    """

    position: PositionWord | None = None
    before: PositionWord | None = None
    size: Decimal | None = None
    size_before: Decimal | None = None
    target_per: Decimal | None = None
    target_qty: Decimal | None = None
    target_quote: Decimal | None = None

    @property
    def target(self) -> Decimal | None:
        """The target in its own unit; None where the leg names a position."""
        given = (self.target_per, self.target_qty, self.target_quote)
        return next((number for number in given if number is not None), None)

    @property
    def entry_side(self) -> Side:
        """The side of an entry that comes nearer to the aim, which is not flat."""
        sign = self.position.sign if self.position is not None else (self.target or 0)
        return Side.BUY if sign > 0 else Side.SELL

    @property
    def shrinks(self) -> bool:
        """Whether the script's position stays on its side and becomes smaller."""
        if self.size is None or self.size_before is None or self.position is not self.before:
            return False
        return self.size < self.size_before

    @property
    def before_text(self) -> str:
        """The script's position before the order, such as `long 2`; "" where the message does not tell."""
        if self.before is None:
            return ""
        return position_text(self.before.value, self.size_before)

    @property
    def is_flat(self) -> bool:
        return self.position is PositionWord.FLAT or self.target == 0

    def to_json(self) -> Json:
        return _to_json(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> "Aim":
        """Reads what `to_json` wrote."""
        words = {name: PositionWord(text) for name, text in stored.items() if name in ("position", "before")}
        numbers = {name: Decimal(text) for name, text in stored.items() if name not in words}
        return cls(**words, **numbers)  # type: ignore[arg-type]  # the names are the names of the fields


class DistanceKind(StrEnum):
    """`percent` and `offset` count from the average price of the account's own entry, without a sign."""

    PRICE = "price"
    PERCENT = "percent"
    OFFSET = "offset"


@dataclass(frozen=True, slots=True)
class Distance:
    kind: DistanceKind
    value: Decimal

    def to_json(self) -> Json:
        return {self.kind.value: str(self.value)}

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> "Distance":
        ((kind, value),) = ((name, text) for name, text in stored.items() if name != "portion")
        return cls(DistanceKind(kind), Decimal(value))


@dataclass(frozen=True, slots=True)
class TakeProfit:
    """`portion` is the percentage of the position that this step closes."""

    at: Distance
    portion: Decimal = Decimal(100)

    def to_json(self) -> Json:
        return {**self.at.to_json(), "portion": str(self.portion)}

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> "TakeProfit":
        return cls(Distance.from_json(stored), Decimal(stored["portion"]))


@dataclass(frozen=True, slots=True)
class Protection:
    """The protective exits of an entry."""

    stop_loss: Distance | None = None
    take_profits: tuple[TakeProfit, ...] = ()
    trailing_stop: Distance | None = None
    breakeven_after: Distance | None = None

    def __bool__(self) -> bool:
        return self != Protection()

    def to_json(self) -> Json:
        single = {name: getattr(self, name) for name in ("stop_loss", "trailing_stop", "breakeven_after")}
        stored: Json = {name: distance.to_json() for name, distance in single.items() if distance is not None}
        return {**stored, "take_profits": [step.to_json() for step in self.take_profits]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Protection":
        steps = tuple(TakeProfit.from_json(step) for step in stored["take_profits"])
        single = {name: Distance.from_json(part) for name, part in stored.items() if name != "take_profits"}
        return cls(take_profits=steps, **single)


class RelativeKind(StrEnum):
    """The unit of a distance from the market's price. `offset` is in quote currency."""

    PERCENT = "percent"
    TICKS = "ticks"
    OFFSET = "offset"

    @property
    def unit(self) -> str:
        return {"percent": "%", "ticks": " ticks", "offset": "d"}[self.value]


@dataclass(frozen=True, slots=True)
class RelativePrice:
    """A price as a signed distance from the last price of the symbol at the account's exchange."""

    kind: RelativeKind
    value: Decimal

    def __str__(self) -> str:
        """The distance as a sender writes the distance: -0.5%, +10 ticks, -100d."""
        sign = "+" if self.value > 0 else ""
        return f"{sign}{plain(self.value)}{self.kind.unit}"

    def to_json(self) -> Json:
        return {self.kind.value: plain(self.value)}

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> "RelativePrice":
        ((kind, value),) = stored.items()
        return cls(RelativeKind(kind), Decimal(value))


@dataclass(frozen=True, slots=True)
class RelativePrices:
    """The limit price and the stop price of a leg, as far as they are relative to the market's price."""

    price: RelativePrice | None = None
    stop_price: RelativePrice | None = None

    def __bool__(self) -> bool:
        return self != RelativePrices()

    def to_json(self) -> Json:
        both = {"price": self.price, "stop_price": self.stop_price}
        return {name: relative.to_json() for name, relative in both.items() if relative is not None}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "RelativePrices":
        return cls(**{name: RelativePrice.from_json(part) for name, part in stored.items()})


def still_relative(stored: Mapping[str, Any], *, price: Decimal | None, stop_price: Decimal | None) -> Json:
    """Returns the stored terms of a further attempt: the relative prices that have not become numbers yet."""
    known = {"price": price, "stop_price": stop_price}
    left = {name: part for name, part in stored.get(RELATIVE, {}).items() if known[name] is None}
    return {RELATIVE: left} if left else {}


@dataclass(frozen=True, slots=True)
class Terms:
    """`quote_qty` is in quote currency, `risk_per` the percentage of capital lost when the stop is hit.

    `levered`: percentages are of capital times leverage. `time_in_force` is of LIMIT entries. `reduce_only`: the leg is
    an exit of at most its size. `relative` has the prices that the leg itself lacks.
    """

    aim: Aim | None = None
    quote_qty: Decimal | None = None
    risk_per: Decimal | None = None
    levered: bool = True
    reduce_only: bool = False
    time_in_force: TimeInForce = TimeInForce.GTC
    protection: Protection = Protection()
    relative: RelativePrices = RelativePrices()

    def to_json(self) -> Json:
        """The terms without what has its default; an ordinary leg gives {}."""
        stored = _to_json(self)
        if self.aim is not None:
            stored["aim"] = self.aim.to_json()
        if self.protection:
            stored["protection"] = self.protection.to_json()
        if self.relative:
            stored[RELATIVE] = self.relative.to_json()
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Terms":
        """Reads what `to_json` wrote."""
        numbers = {name: Decimal(stored[name]) for name in ("quote_qty", "risk_per") if name in stored}
        return cls(
            aim=Aim.from_json(stored["aim"]) if "aim" in stored else None,
            levered=stored.get("levered", True),
            reduce_only=stored.get("reduce_only", False),
            time_in_force=TimeInForce(stored.get("time_in_force", TimeInForce.GTC)),
            protection=Protection.from_json(stored["protection"]) if "protection" in stored else Protection(),
            relative=RelativePrices.from_json(stored.get(RELATIVE, {})),
            **numbers,
        )


def _to_json(terms: Aim | Terms) -> Json:
    stored: Json = {}
    for field in fields(terms):
        value = getattr(terms, field.name)
        if value != field.default and not isinstance(value, Aim | Protection | RelativePrices):
            stored[field.name] = value if isinstance(value, bool) else str(value)
    return stored
