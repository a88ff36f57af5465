"""Measures one order after another of one account: what tradehub adds to the exchange's own time."""

import os
from collections.abc import Sequence
from contextlib import closing

from fanout.contenders.hub import Hub
from fanout.contenders.turns import Contender, Worker
from fanout.exchange.latency import LATENCY_S
from fanout.figures import FLOOR, HUB, SingleFigures, Times
from fanout.kinds import Kind
from fanout.measures.fan_outs import take_round

WARM_UPS = 10


def measure_single(
    kinds: Sequence[Kind], turns: int, *, strategy: str, address: str, token: str
) -> list[SingleFigures]:
    """The floor sends one request for an order, as tradehub does, and reads nothing back."""
    where = (address, os.environ["EXCHANGE_CA_FILE"], "1")
    with (
        closing(Hub(strategy=strategy, token=token, accounts=1)) as hub,
        closing(Worker("fanout.contenders.floor", *where)) as floor,
    ):
        contenders: dict[str, Contender] = {HUB: hub, FLOOR: floor}
        for contender in contenders.values():
            contender.wait_until_ready()
        rounds = [take_round(contenders, 1, kinds, number) for number in range(WARM_UPS + turns)][WARM_UPS:]
    exchange_ms = LATENCY_S * 1000
    return [
        SingleFigures(
            kind,
            exchange_ms,
            Times.of([each[kind][HUB].wall_ms - exchange_ms for each in rounds]),
            Times.of([each[kind][FLOOR].wall_ms - exchange_ms for each in rounds]),
        )
        for kind in kinds
    ]
