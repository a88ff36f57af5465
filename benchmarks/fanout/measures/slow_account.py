"""Measures what one account that hangs costs the others."""

import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from fanout.contenders.hub import Hub
from fanout.figures import SlowAccountFigures
from fanout.measures.fan_outs import WARM_UPS

SLOW_ACCOUNTS = 50
LIMIT_S = 30


def measure_slow_account(*, token: str, rows: Any, runs: int) -> SlowAccountFigures:
    others = rows.make_accounts(f"other-{number:03}" for number in range(SLOW_ACCOUNTS - 1))
    last = rows.make_accounts(["quick", "hangs"])
    rows.make_strategy("all-quick", [*others, last[0]])
    rows.make_strategy("one-hangs", [*others, last[1]])
    pairs = []
    with closing(Hub(strategy="all-quick", token=token, accounts=SLOW_ACCOUNTS)) as hub:
        hub.wait_until_ready()
        for _ in range(WARM_UPS + runs):
            hub.strategy = "all-quick"
            hub.fan_out()  # warms the server up again after the wait for the hanging account
            pairs.append([_time_others(hub, rows, others, name) for name in ("all-quick", "one-hangs")])
    measured = pairs[WARM_UPS:]
    return SlowAccountFigures(
        accounts=SLOW_ACCOUNTS,
        without_ms=statistics.median(without for without, _ in measured),
        with_ms=statistics.median(with_one for _, with_one in measured),
        later_ms=statistics.median(with_one - without for without, with_one in measured),
        ratio=statistics.median(with_one / without for without, with_one in measured),
    )


def _time_others(hub: Hub, rows: Any, others: Sequence[Any], strategy: str) -> float:
    hub.strategy = strategy
    hub.connect()
    before = rows.latest_batch(strategy)
    sender = threading.Thread(target=hub.deliver)
    start = time.perf_counter()
    sender.start()
    accepted: float = rows.wait_until_accepted(strategy, after=before, accounts=others, limit_s=LIMIT_S)
    sender.join()  # waits for the hanging account, too
    return (accepted - start) * 1000
