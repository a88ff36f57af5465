"""An emulator of TradingView's strategy alerts: a script's position, and messages with the placeholders filled."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

_START = datetime(2026, 11, 25, 10, tzinfo=UTC)


@dataclass(frozen=True)
class Fill:
    """An order of the script, as the simulated broker fills it. `size` is signed, after the order."""

    order: str
    contracts: Decimal
    size: Decimal
    size_before: Decimal
    at: datetime

    def placeholders(self, ticker: str, price: Decimal) -> dict[str, str]:
        """The placeholders as documented: sizes without a sign, times in whole seconds."""
        return {
            "{{ticker}}": ticker,
            "{{close}}": str(price),
            "{{timenow}}": self.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "{{strategy.order.action}}": "buy" if self.size > self.size_before else "sell",
            "{{strategy.order.contracts}}": str(self.contracts),
            "{{strategy.order.id}}": self.order,
            "{{strategy.position_size}}": str(self.size),
            "{{strategy.market_position}}": word(self.size),
            "{{strategy.market_position_size}}": str(abs(self.size)),
            "{{strategy.prev_market_position}}": word(self.size_before),
            "{{strategy.prev_market_position_size}}": str(abs(self.size_before)),
        }


def word(size: Decimal) -> str:
    return "flat" if not size else "long" if size > 0 else "short"


def fill_template(template: str, placeholders: dict[str, str]) -> str:
    """Plain replacement of text, without escaping, as TradingView does it."""
    for name, value in placeholders.items():
        template = template.replace(name, value)
    return template


@dataclass
class Script:
    """A strategy that trades by chance: entries, additions, partial exits, reversals, exits."""

    chance: random.Random
    unit: Decimal
    may_short: bool = True
    may_add: bool = True
    may_reduce: bool = True
    pauses_s: tuple[int, ...] = (0, 1, 1, 2, 60)
    size: Decimal = Decimal(0)
    now: datetime = _START
    _count: int = field(default=0)

    def trade(self) -> Fill:
        before, wanted = self.size, self._next_size()
        self._count += 1
        self.now += timedelta(seconds=self.chance.choice(self.pauses_s))
        self.size = wanted
        return Fill(f"order {self._count}", abs(wanted - before), wanted, before, self.now)

    def _next_size(self) -> Decimal:
        sign = 1 if self.size > 0 else -1
        if not self.size:
            return self._some() * (self.chance.choice((1, -1)) if self.may_short else 1)
        moves = ["flat"]
        if self.may_short:
            moves.append("reverse")
        if self.may_add:
            moves += ["add", "add"]
        if self.may_reduce and abs(self.size) > self.unit:
            moves += ["reduce", "reduce"]
        match self.chance.choice(moves):
            case "reverse":
                return -sign * self._some()
            case "add":
                return self.size + sign * self._some()
            case "reduce":
                parts = int(abs(self.size) / self.unit)
                return sign * self.unit * self.chance.randint(1, parts - 1)
        return Decimal(0)

    def _some(self) -> Decimal:
        return self.unit * self.chance.randint(1, 3)
