"""Measures fan-outs of all contenders in turn, and sums up the measurements."""

import os
import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from fanout.hub import Hub
from fanout.turns import Sample, Worker

HUB, FLOOR, THREADS = "tradehub", "floor", "ten threads"
WARM_UPS = 3
SLOW_ACCOUNTS = 50
LIMIT_S = 30
METRICS = (
    "validation_time_ms",
    "preprocessing_time_ms",
    "trade_processing_time_ms",
    "total_processing_time_ms",
)

Turn = dict[str, Sample]  # a fan-out of each contender, in direct succession


@dataclass
class Figures:
    """All measurements for a number of accounts."""

    accounts: int
    cold: list[Turn] = field(default_factory=list)
    warm: list[Turn] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)

    def row(self, kind: str) -> dict[str, float]:
        """Returns medians. A ratio is the median of the ratios within turns, so a slow turn leaves the ratio alone."""
        turns: list[Turn] = getattr(self, kind)
        row = {"accounts": float(self.accounts)}
        for name in (HUB, FLOOR, THREADS):
            row[f"{name} ms"] = statistics.median(turn[name].wall_ms for turn in turns)
            row[f"{name} cpu ms/order"] = (
                statistics.median(turn[name].cpu_ms for turn in turns) / self.accounts
            )
        for name in (FLOOR, THREADS):
            row[f"to {name}"] = statistics.median(turn[HUB].wall_ms / turn[name].wall_ms for turn in turns)
        return row

    def metric_medians(self) -> dict[str, float]:
        return {name: statistics.median(each[name] for each in self.metrics) for name in METRICS}


def measure_fan_outs(accounts: int, *, address: str, token: str, processes: int, runs: int) -> Figures:
    """Starts fresh processes for each round: a cold fan-out of each contender, then warm fan-outs in turn."""
    figures = Figures(accounts)
    where = (address, os.environ["EXCHANGE_CA_FILE"], str(accounts))
    for _ in range(processes):
        with (
            closing(Hub(strategy=f"fanout-{accounts}", token=token, accounts=accounts)) as hub,
            closing(Worker("fanout.floor", *where)) as floor,
            closing(Worker("fanout.ten_threads", *where)) as threads,
        ):
            contenders = {HUB: hub, FLOOR: floor, THREADS: threads}
            figures.cold += take_turns(contenders, 1)
            take_turns(contenders, WARM_UPS)
            hub.metrics.clear()
            figures.warm += take_turns(contenders, runs)
            figures.metrics += hub.metrics
    return figures


def take_turns(contenders: dict[str, Any], runs: int) -> list[Turn]:
    return [{name: contender.fan_out() for name, contender in contenders.items()} for _ in range(runs)]


# A hanging account


def measure_slow_account(*, token: str, rows: Any, runs: int) -> dict[str, float]:
    """Returns the milliseconds to accepted orders of the other accounts, without and with a hanging account."""
    others = rows.make_accounts(f"other-{number:03}" for number in range(SLOW_ACCOUNTS - 1))
    last = rows.make_accounts(["quick", "hangs"])
    rows.make_strategy("all-quick", [*others, last[0]])
    rows.make_strategy("one-hangs", [*others, last[1]])
    pairs = []
    with closing(Hub(strategy="all-quick", token=token, accounts=SLOW_ACCOUNTS)) as hub:
        for _ in range(WARM_UPS + runs):
            hub.strategy = "all-quick"
            hub.fan_out()  # warms the server up again after the wait for the hanging account
            pairs.append([time_others(hub, rows, others, name) for name in ("all-quick", "one-hangs")])
    measured = pairs[WARM_UPS:]
    return {
        "without ms": statistics.median(without for without, _ in measured),
        "with ms": statistics.median(with_one for _, with_one in measured),
        "later ms": statistics.median(with_one - without for without, with_one in measured),
        "ratio": statistics.median(with_one / without for without, with_one in measured),
    }


def time_others(hub: Hub, rows: Any, others: Sequence[Any], strategy: str) -> float:
    hub.strategy = strategy
    hub.connect()
    before = rows.latest_batch(strategy)
    sender = threading.Thread(target=hub.deliver)
    start = time.perf_counter()
    sender.start()
    accepted: float = rows.wait_until_accepted(strategy, after=before, accounts=others, limit_s=LIMIT_S)
    sender.join()  # waits for the hanging account, too
    return (accepted - start) * 1000
