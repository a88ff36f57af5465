"""Measures what a long history costs: deliveries, the audit of each minute, the tracker's reads, and the admin's lists.

    pip install -r requirements.txt
    python benchmarks/history.py [--orders N] [--deliveries N]

Fills a throwaway PostgreSQL with old orders and their events, trades and deliveries, and measures before and after. All
limits of risk are set. docs/benchmarks.md has the method and the results. Linux only; needs a PostgreSQL server binary.
"""

import argparse
import importlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from fanout.contenders.hub import Hub
from fanout.surroundings import surroundings

PAGES = [
    "orders/order/",
    "orders/order/?q=thold000000000000000000000500",
    "orders/order/?p=90",
    "orders/openorder/",
    "orders/failedorder/",
    "orders/trade/",
    "orders/orderevent/",
    "webhooks/webhooklog/",
]


def measure_deliveries(*strategies: str, token: str, accounts: int, count: int) -> dict[str, Any]:
    """Returns milliseconds of deliveries, one after another and the strategies in turns, after 20 that do not count."""
    with ExitStack() as stack:
        hubs = {
            name: stack.enter_context(closing(Hub(strategy=name, token=token, accounts=accounts)))
            for name in strategies
        }
        for hub in hubs.values():
            hub.wait_until_ready()
            for _ in range(20):
                hub.fan_out()
        times: dict[str, list[float]] = {name: [] for name in strategies}
        for _ in range(count):
            for name, hub in hubs.items():
                times[name].append(hub.fan_out().wall_ms)
    return {name: percentiles(found) for name, found in times.items()}


def percentiles(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {name: round(cuts[at - 1], 1) for name, at in (("p50", 50), ("p95", 95), ("p99", 99))}


def timed(work: Callable[[], Any]) -> dict[str, float]:
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "ms": round((time.perf_counter() - began) * 1000, 1),
        "cpu_ms": round((time.process_time() - cpu) * 1000, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--deliveries", type=int, default=200)
    options = parser.parse_args()
    with surroundings():
        rows = importlib.import_module("fanout.rows")  # models can be imported only after django.setup()
        old = importlib.import_module("fanout.old_rows")
        reads = importlib.import_module("fanout.timed_reads")
        rows.migrate_database()
        rows.lift_budgets()
        rows.set_limits()
        token = rows.issue_token()
        for name in ("new-0", "new-1"):
            accounts = rows.make_accounts(f"{name}-{number}" for number in range(old.PER_BATCH))
            rows.make_strategy(name, accounts)
        olds = old.make_old_strategies()

        def tell(what: str, found: Any) -> None:
            print(what, json.dumps(found), flush=True)

        how = {"token": token, "accounts": old.PER_BATCH, "count": options.deliveries}
        tell("delivery, empty", measure_deliveries("new-0", "new-1", **how))
        tell("filling", timed(lambda: old.fill_year(options.orders, olds)))
        tell("delivery, with history", measure_deliveries("new-0", "old-0", **how))
        for name, work in reads.first_reads().items():
            tell(f"first: {name}", timed(work))
        for name, work in reads.repeated_reads().items():
            tell(name, timed(work))
        open_page = reads.page_opener()
        for page in PAGES:
            open_page(page)
            tell(f"admin: {page}", timed(lambda page=page: open_page(page)))  # type: ignore[misc]


if __name__ == "__main__":
    main()
