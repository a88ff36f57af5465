"""Measures the cost of a delivery next to bare requests, and next to ten threads of synchronous ccxt.

    pip install -r requirements.txt
    python benchmarks/fanout.py [--quick] [--accounts N ...] [--slow-account] [--json]

An alert sends a limit order for each of N accounts to the same local exchange: TLS, 50 ms per answer. The contenders
take turns, so that other work of the machine slows all contenders. Compare ratios within a run, and never compare
milliseconds between runs. docs/benchmarks.md has the method and the results. Linux only.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from fanout import tables
from fanout.measuring import Figures, measure_fan_outs, measure_slow_account
from fanout.surroundings import surroundings

SIZES = (1, 10, 100, 500)


def measure_sizes(address: str, token: str, rows: Any, *, sizes: Sequence[int], quick: bool) -> list[Figures]:
    accounts = rows.make_accounts(f"account-{number:03}" for number in range(max(sizes)))
    figures = []
    for size in sizes:
        rows.make_strategy(f"fanout-{size}", accounts[:size])
        runs = (5 if size == 1 else 3) if quick else (15 if size == 1 else 7)
        figures.append(
            measure_fan_outs(size, address=address, token=token, processes=1 if quick else 3, runs=runs)
        )
        print(f"N={size} measured", file=sys.stderr, flush=True)
    return figures


def tell_fan_outs(figures: Sequence[Figures], *, as_json: bool) -> None:
    if not as_json:
        print(
            tables.fan_out_table("warm", figures),
            tables.fan_out_table("cold", figures),
            tables.metrics_table(figures),
            sep="\n",
        )
        return
    told: dict[str, Any] = {kind: [each.row(kind) for each in figures] for kind in ("warm", "cold")}
    print(
        json.dumps(told | {"metrics": {each.accounts: each.metric_medians() for each in figures}}, indent=2)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, nargs="+", metavar="N", help="instead of 1 10 100 500")
    parser.add_argument("--quick", action="store_true", help="N up to 100, one process each, fewer runs")
    parser.add_argument(
        "--slow-account", action="store_true", help="instead: what one account that hangs costs the others"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    with surroundings() as address:
        rows = importlib.import_module("fanout.rows")  # models can be imported only after django.setup()
        rows.migrate_database()
        token = rows.issue_token()
        if options.slow_account:
            found = measure_slow_account(token=token, rows=rows, runs=3 if options.quick else 11)
            print(json.dumps(found, indent=2) if options.json else tables.slow_account_text(found))
        else:
            sizes = options.accounts or (SIZES[:-1] if options.quick else SIZES)
            figures = measure_sizes(address, token, rows, sizes=sizes, quick=options.quick)
            tell_fan_outs(figures, as_json=options.json)


if __name__ == "__main__":
    main()
