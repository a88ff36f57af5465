"""Counts what becomes of the orders of one cold fan-out for many accounts, with the server on a single core."""

import time
from contextlib import closing
from typing import Any

from fanout.contenders.hub import Hub
from fanout.figures import ColdFigures

CORE = 0
LIMIT_S = 180
# The product's own limits of time, which the benchmark raises elsewhere.
OWN_LIMITS = {"WEBHOOK_ANSWER_BUDGET_MS": "2500", "EXCHANGE_TIMEOUT_S": "10"}


def measure_cold(strategy: str, *, accounts: int, token: str, rows: Any) -> ColdFigures:
    with closing(
        Hub(strategy=strategy, token=token, accounts=accounts, core=CORE, settings=OWN_LIMITS)
    ) as hub:
        hub.wait_until_ready()
        began = time.perf_counter()
        hub.send_alert()
        answered_ms = (time.perf_counter() - began) * 1000
        rows.wait_until_over(limit_s=LIMIT_S)
        over_ms = (time.perf_counter() - began) * 1000
        found = rows.outcomes(strategy)
    return ColdFigures(
        accounts=accounts,
        sent=found.sent,
        unknown=found.unknown,
        not_sent=found.not_sent,
        answered_ms=round(answered_ms, 1),
        over_ms=round(over_ms, 1),
    )
