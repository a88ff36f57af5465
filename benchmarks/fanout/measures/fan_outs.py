"""Measures fan-outs of all contenders in turn."""

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from fanout.contenders.hub import Hub
from fanout.contenders.turns import Contender, Worker
from fanout.figures import ASYNC, FLOOR, HUB, THREADS, FanOuts, Round
from fanout.kinds import ORDERS, Kind

WARM_UPS = 3
# The ten threads take the exchange's time for every tenth order, turn after turn the same, so they sit turns out.
ORDERS_OF_THREADS, MOST_ORDERS_OF_THREADS = 200, 1000


@dataclass(frozen=True, slots=True)
class Plan:
    kinds: tuple[Kind, ...]
    processes: int
    turns: int

    def kinds_of(self, number: int, turns: int) -> list[Kind]:
        """The kinds of a turn: a batch is long, and takes part in every third turn."""
        return [kind for kind in self.kinds if kind is not Kind.BATCH or number < math.ceil(turns / 3)]


def plan_for(accounts: int, kinds: Sequence[Kind], *, quick: bool) -> Plan:
    """Many turns of few accounts, few turns of many accounts: the samples of a percentile cost time."""
    if quick:
        return Plan(tuple(kinds), processes=1, turns=5 if accounts == 1 else 3)
    return Plan(tuple(kinds), processes=2, turns=max(2, min(20, 1500 // (2 * accounts))))


def measure_fan_outs(accounts: int, plan: Plan, *, strategy: str, address: str, token: str) -> FanOuts:
    """Starts fresh processes: a cold fan-out of each contender, then warm fan-outs in turn."""
    found = FanOuts(accounts)
    where = (address, os.environ["EXCHANGE_CA_FILE"], str(accounts))
    for _ in range(plan.processes):
        with (
            closing(Hub(strategy=strategy, token=token, accounts=accounts)) as hub,
            closing(Worker("fanout.contenders.floor", *where)) as floor,
            closing(Worker("fanout.contenders.ccxt_async", *where)) as ccxt_async,
            closing(Worker("fanout.contenders.ten_threads", *where)) as threads,
        ):
            contenders: dict[str, Contender] = {HUB: hub, FLOOR: floor, ASYNC: ccxt_async, THREADS: threads}
            for contender in contenders.values():
                contender.wait_until_ready()
            found.cold += [take_round(contenders, accounts, [Kind.LIMIT], 0)]
            for number in range(WARM_UPS):
                take_round(contenders, accounts, plan.kinds_of(number, WARM_UPS), number)
            hub.metrics.clear()
            for number in range(plan.turns):
                kinds = plan.kinds_of(number, plan.turns)
                found.warm.append(take_round(contenders, accounts, kinds, number))
            found.metrics += hub.metrics[Kind.LIMIT]
    return found


def take_round(
    contenders: Mapping[str, Contender], accounts: int, kinds: Sequence[Kind], number: int
) -> Round:
    """A turn of each kind. Each turn begins with another contender."""
    names = list(contenders)
    begin = number % len(names)
    order = names[begin:] + names[:begin]
    return {
        kind: {
            name: contenders[name].fan_out(kind)
            for name in order
            if name != THREADS or _threads_take_part(accounts, kind, number)
        }
        for kind in kinds
    }


def _threads_take_part(accounts: int, kind: Kind, number: int) -> bool:
    orders = accounts * len(ORDERS[kind])
    is_short = orders < MOST_ORDERS_OF_THREADS or kind is Kind.LIMIT
    return is_short and number < max(1, ORDERS_OF_THREADS // orders)
