"""Measures the memory of the web server for each account that traded."""

import time
from collections.abc import Sequence
from contextlib import closing

from fanout.contenders.hub import Hub
from fanout.figures import MemoryFigures, MemoryStep

SETTLES_S = 2


def measure_memory(
    first: str, further: Sequence[str], *, accounts: tuple[int, int], token: str
) -> MemoryFigures:
    """A warm server gets an alert for each of the `further` strategies; no account is in two of these strategies.

    `accounts` are the numbers of accounts of the first strategy and of each further strategy. The alert of the first
    further strategy opens most connections to the exchange, too.
    """
    warm_up, many = accounts
    with closing(Hub(strategy=first, token=token, accounts=warm_up)) as hub:
        hub.wait_until_ready()
        for _ in range(3):
            hub.fan_out()
        before = last = _settled_kb(hub)
        hub.accounts, steps = many, []
        for strategy in further:
            hub.strategy = strategy
            hub.fan_out()
            now = _settled_kb(hub)
            steps.append(MemoryStep(many, round(now / 1024, 1), round((now - last) / many, 1)))
            last = now
        hub.fan_out()
        again = _settled_kb(hub)
    return MemoryFigures(round(before / 1024, 1), warm_up, steps, round(again / 1024, 1))


def _settled_kb(hub: Hub) -> int:
    time.sleep(SETTLES_S)
    return hub.rss_kb()
