"""Measures the first fan-out after a rest in which no alert came."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing

from fanout.contenders.hub import Hub
from fanout.contenders.turns import Worker
from fanout.figures import QuietFigures, Times
from fanout.kinds import Kind

SERVERS = 3  # of each size, because a rest gives each server a single sample
WARM_UPS, TURNS = 3, 7


class Rested:
    """A server and a floor that are warm, and rest at the same time."""

    def __init__(self, stack: ExitStack, *, accounts: int, strategy: str, address: str, token: str) -> None:
        self.hub = stack.enter_context(closing(Hub(strategy=strategy, token=token, accounts=accounts)))
        where = (address, os.environ["EXCHANGE_CA_FILE"], str(accounts))
        self.floor = stack.enter_context(closing(Worker("fanout.contenders.floor", *where)))
        self.hub.wait_until_ready()
        self.floor.wait_until_ready()
        for _ in range(WARM_UPS):
            self.take_turn()
        turns = [self.take_turn() for _ in range(TURNS)]
        self.hub_warm_ms = [hub for hub, _ in turns]
        self.floor_warm_ms = [floor for _, floor in turns]

    def take_turn(self) -> tuple[float, float]:
        self.hub.reconnect()
        return self.hub.deliver().wall_ms, self.floor.fan_out(Kind.LIMIT).wall_ms


def measure_quiet(
    sizes: Mapping[int, str], minutes: float, *, address: str, token: str, wake: Callable[[], None]
) -> list[QuietFigures]:
    """`sizes` are strategies by their number of accounts. `wake` is called after the rest."""
    with ExitStack() as stack:
        resting = {
            accounts: [
                Rested(stack, accounts=accounts, strategy=strategy, address=address, token=token)
                for _ in range(SERVERS)
            ]
            for accounts, strategy in sizes.items()
        }
        print(f"quiet for {minutes:g} minutes", file=sys.stderr, flush=True)
        time.sleep(minutes * 60)
        wake()
        return [_figures_of(accounts, minutes, rested) for accounts, rested in resting.items()]


def _figures_of(accounts: int, minutes: float, rested: list[Rested]) -> QuietFigures:
    after = [each.take_turn() for each in rested]
    hubs = [hub / statistics.median(each.hub_warm_ms) for each, (hub, _) in zip(rested, after, strict=True)]
    floors = [
        floor / statistics.median(each.floor_warm_ms) for each, (_, floor) in zip(rested, after, strict=True)
    ]
    return QuietFigures(
        accounts=accounts,
        minutes=minutes,
        warm_ms=Times.of([wall for each in rested for wall in each.hub_warm_ms]),
        after_ms=[round(hub, 2) for hub, _ in after],
        ratio=round(statistics.median(hubs), 3),
        floor_ratio=round(statistics.median(floors), 3),
    )
