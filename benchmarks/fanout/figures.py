"""The figures of a run: samples summed up, row by row."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from fanout.contenders.turns import Sample
from fanout.kinds import LEGS, Kind

HUB, FLOOR, ASYNC, THREADS = "tradehub", "floor", "ccxt async", "ten threads"
COLD, WARM = "cold", "warm"
METRICS = (
    "validation_time_ms",
    "preprocessing_time_ms",
    "trade_processing_time_ms",
    "total_processing_time_ms",
)

Turn = dict[str, Sample]  # a fan-out of each contender, in direct succession
Round = dict[Kind, Turn]  # a turn of each kind, in direct succession


@dataclass(frozen=True, slots=True)
class Times:
    """Percentiles by nearest rank: of a few samples, the 99th is the slowest."""

    samples: int
    p50: float
    p95: float
    p99: float
    slowest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Times":
        ranked = sorted(values)
        p50, p95, p99 = (ranked[math.ceil(len(ranked) * part) - 1] for part in (0.5, 0.95, 0.99))
        return cls(len(ranked), *(round(value, 2) for value in (p50, p95, p99, ranked[-1])))


@dataclass(frozen=True, slots=True)
class ContenderFigures:
    wall_ms: Times
    cpu_ms_per_order: float


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of alert in a state, for a number of accounts. A ratio is tradehub's time by another time."""

    kind: Kind
    state: str
    accounts: int
    contenders: dict[str, ContenderFigures]
    ratios: dict[str, float]


@dataclass
class FanOuts:
    """All measurements for a number of accounts."""

    accounts: int
    cold: list[Round] = field(default_factory=list)
    warm: list[Round] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)  # of the warm limit orders

    def rows(self) -> list[Row]:
        return [
            row_of(rounds, kind, state, self.accounts)
            for state, rounds in ((COLD, self.cold), (WARM, self.warm))
            for kind in Kind
            if any(kind in each for each in rounds)
        ]

    def metric_medians(self) -> dict[str, float]:
        return {name: statistics.median(each[name] for each in self.metrics) for name in METRICS}


def row_of(rounds: Sequence[Round], kind: Kind, state: str, accounts: int) -> Row:
    """Sums up. A ratio is the median of the ratios within turns, so a slow turn leaves the ratio alone."""
    rounds = [each for each in rounds if kind in each]
    turns = [each[kind] for each in rounds]
    orders = accounts * (LEGS if kind is Kind.BATCH else 1)
    names = [name for name in (HUB, FLOOR, ASYNC, THREADS) if any(name in turn for turn in turns)]
    found = {name: [turn[name] for turn in turns if name in turn] for name in names}
    ratios = {
        f"to {name}": statistics.median(
            turn[HUB].wall_ms / turn[name].wall_ms for turn in turns if name in turn
        )
        for name in names
        if name != HUB
    }
    if kind is not Kind.LIMIT and all(Kind.LIMIT in each for each in rounds):
        ratios["to limit"] = statistics.median(
            each[kind][HUB].wall_ms / each[Kind.LIMIT][HUB].wall_ms for each in rounds
        )
    figures = {name: _figures_of(samples, orders) for name, samples in found.items()}
    return Row(kind, state, accounts, figures, {name: round(value, 3) for name, value in ratios.items()})


def _figures_of(samples: Sequence[Sample], orders: int) -> ContenderFigures:
    cpu = statistics.median(sample.cpu_ms for sample in samples) / orders
    return ContenderFigures(Times.of([sample.wall_ms for sample in samples]), round(cpu, 3))


@dataclass(frozen=True, slots=True)
class SingleFigures:
    """One account, one order after another: the milliseconds beyond the exchange's own time."""

    kind: Kind
    exchange_ms: float
    added_ms: Times
    floor_added_ms: Times


@dataclass(frozen=True, slots=True)
class QuietFigures:
    """The first fan-out after a rest, of fresh servers, and the ratio to the same server's warm median."""

    accounts: int
    minutes: float
    warm_ms: Times
    after_ms: list[float]
    ratio: float
    floor_ratio: float


@dataclass(frozen=True, slots=True)
class ColdFigures:
    """One cold fan-out of a server on one core: its orders by outcome, from the database."""

    accounts: int
    sent: int
    unknown: int
    not_sent: int
    answered_ms: float
    over_ms: float


@dataclass(frozen=True, slots=True)
class MemoryStep:
    """The resident memory of the web server after the first order of `accounts` further accounts."""

    accounts: int
    rss_mb: float
    kb_per_account: float


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    before_mb: float
    before_accounts: int
    steps: list[MemoryStep]
    again_mb: float  # after a second order of the last accounts


@dataclass(frozen=True, slots=True)
class SlowAccountFigures:
    """Medians of the milliseconds to the accepted orders of the other accounts."""

    accounts: int
    without_ms: float
    with_ms: float
    later_ms: float
    ratio: float


@dataclass
class Figures:
    """All figures of a run. What the run did not measure is empty."""

    rows: list[Row] = field(default_factory=list)
    metrics: dict[int, dict[str, float]] = field(default_factory=dict)  # by number of accounts
    singles: list[SingleFigures] = field(default_factory=list)
    quiet: list[QuietFigures] = field(default_factory=list)
    cold: ColdFigures | None = None
    memory: MemoryFigures | None = None
    slow_account: SlowAccountFigures | None = None
