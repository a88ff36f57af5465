"""Measures a delivery next to bare requests, ccxt's async client, and ten threads of synchronous ccxt.

    pip install -r requirements.txt
    python benchmarks/fanout.py [--quick] [--accounts N ...] [--kinds KIND ...] [--with-background] [--save DATE]
    python benchmarks/fanout.py [--single] [--quiet MINUTES] [--cold N] [--memory] [--slow-account]

An alert sends orders for each of N accounts to the same local exchange: TLS, 50 ms per answer. The contenders take
turns, so that other work of the machine slows all contenders. Compare ratios within a run, and never compare
milliseconds between runs. docs/benchmarks.md has the method and the results. Linux only.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from fanout.background import open_positions, running_background
from fanout.figures import Figures
from fanout.kinds import Kind, strategy_name
from fanout.measures.cold import measure_cold
from fanout.measures.fan_outs import measure_fan_outs, plan_for
from fanout.measures.memory import measure_memory
from fanout.measures.quiet import measure_quiet
from fanout.measures.single import measure_single
from fanout.measures.slow_account import measure_slow_account
from fanout.results import Machine, save_figures
from fanout.surroundings import surroundings
from fanout.tables import tell_figures

BEGAN = time.perf_counter()
SIZES = (1, 10, 100, 500, 1000)
QUIET_SIZES = (100, 500)
SINGLE_TURNS = 200
WARM_UP_ACCOUNTS, MEMORY_ACCOUNTS, MEMORY_STRATEGIES = 100, 1000, 3


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, nargs="+", metavar="N", help="instead of 1 10 100 500 1000")
    parser.add_argument("--kinds", type=Kind, nargs="+", choices=list(Kind), help="instead of all")
    parser.add_argument("--quick", action="store_true", help="N up to 100, one process each, fewer runs")
    instead = parser.add_argument_group("instead of the rows, alone or together")
    instead.add_argument("--single", action="store_true", help="what one order of one account takes longer")
    instead.add_argument("--quiet", type=float, metavar="MINUTES", help="the first fan-out after a rest")
    instead.add_argument("--cold", type=int, metavar="N", help="N accounts, cold, the server on one core")
    instead.add_argument("--memory", action="store_true", help="memory for each account that traded")
    instead.add_argument(
        "--slow-account", action="store_true", help="what an account that hangs costs others"
    )
    around = parser.add_argument_group("around the measurements")
    around.add_argument("--with-background", action="store_true", help="with tracker, worker, and all limits")
    around.add_argument("--old-orders", type=int, default=0, metavar="N", help="old orders in the database")
    around.add_argument(
        "--exchange-idle", type=float, default=0, metavar="S", help="the exchange closes idle connections"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--save", metavar="DATE", help="write benchmarks/results/DATE-COMMIT-WHAT.json")
    return parser.parse_args()


class Run:
    """The measurements of one run. `rows` is the module of the database's rows."""

    def __init__(self, options: argparse.Namespace, rows: Any, *, address: str) -> None:
        self.options, self.rows, self.address = options, rows, address
        self.token = rows.issue_token()
        self.figures = Figures()

    def make_strategy(self, base: str, accounts: Sequence[Any]) -> str:
        for name in sorted({strategy_name(base, kind) for kind in Kind}):
            self.rows.make_strategy(name, accounts)
        return base

    def make_sizes(self, sizes: Sequence[int]) -> dict[int, str]:
        accounts = self.rows.make_accounts(f"account-{number:04}" for number in range(max(sizes)))
        return {size: self.make_strategy(f"fanout-{size}", accounts[:size]) for size in sizes}

    def measure(self) -> list[str]:
        """Makes the measurements that the options name, and returns their names."""
        wanted = {
            "single": (self.options.single, self.measure_single),
            "quiet": (self.options.quiet, self.measure_quiet),
            "cold": (self.options.cold, self.measure_cold),
            "memory": (self.options.memory, self.measure_memory),
            "slow-account": (self.options.slow_account, self.measure_slow_account),
        }
        chosen = {name: measure for name, (is_wanted, measure) in wanted.items() if is_wanted}
        for name, measure in (chosen or {"rows": self.measure_rows}).items():
            self.rows.note_comparisons()
            measure()
            tell_progress(name)
        return list(chosen) or ["rows"]

    def measure_rows(self) -> None:
        kinds = self.kinds()
        for size, strategy in self.make_sizes(self.sizes()).items():
            self.rows.note_comparisons()
            plan = plan_for(size, kinds, quick=self.options.quick)
            found = measure_fan_outs(size, plan, strategy=strategy, address=self.address, token=self.token)
            self.figures.rows += found.rows()
            if found.metrics:
                self.figures.metrics[size] = found.metric_medians()
            tell_progress(f"N={size}")

    def sizes(self) -> Sequence[int]:
        return self.options.accounts or (SIZES[:3] if self.options.quick else SIZES)

    def kinds(self) -> list[Kind]:
        """The kinds in the order of the alerts: an exit needs the position of a market order."""
        wanted = set(self.options.kinds or Kind) | {Kind.LIMIT}
        if wanted & {Kind.MARKET, Kind.EXIT}:
            wanted |= {Kind.MARKET, Kind.EXIT}
        return [kind for kind in Kind if kind in wanted]

    def measure_single(self) -> None:
        strategy = self.make_strategy("single", self.rows.make_accounts(["single"]))
        self.figures.singles = measure_single(
            [kind for kind in self.kinds() if kind is not Kind.BATCH],
            SINGLE_TURNS // 10 if self.options.quick else SINGLE_TURNS,
            strategy=strategy,
            address=self.address,
            token=self.token,
        )

    def measure_quiet(self) -> None:
        sizes = self.make_sizes(self.options.accounts or QUIET_SIZES)
        self.figures.quiet = measure_quiet(
            sizes,
            self.options.quiet,
            address=self.address,
            token=self.token,
            wake=self.rows.note_comparisons,
        )

    def measure_cold(self) -> None:
        many = self.options.cold
        strategy = self.make_strategy("cold", self.rows.make_accounts(f"cold-{n:04}" for n in range(many)))
        self.figures.cold = measure_cold(strategy, accounts=many, token=self.token, rows=self.rows)

    def measure_memory(self) -> None:
        counts = [WARM_UP_ACCOUNTS, *[MEMORY_ACCOUNTS] * MEMORY_STRATEGIES]
        strategies = [
            self.make_strategy(
                f"memory-{number}", self.rows.make_accounts(f"memory-{number}-{n:04}" for n in range(count))
            )
            for number, count in enumerate(counts)
        ]
        self.figures.memory = measure_memory(
            strategies[0], strategies[1:], accounts=(WARM_UP_ACCOUNTS, MEMORY_ACCOUNTS), token=self.token
        )

    def measure_slow_account(self) -> None:
        runs = 3 if self.options.quick else 11
        self.figures.slow_account = measure_slow_account(token=self.token, rows=self.rows, runs=runs)


def circumstances(options: argparse.Namespace) -> list[str]:
    """What distinguishes the run in the name of its file."""
    found = {
        "background": options.with_background,
        f"{options.old_orders}-old-orders": options.old_orders,
        f"idle-{options.exchange_idle:g}": options.exchange_idle,
        "quick": options.quick,
    }
    return [name for name, holds in found.items() if holds]


def tell_progress(what: str) -> None:
    print(f"{what} measured after {time.perf_counter() - BEGAN:.0f} s", file=sys.stderr, flush=True)


def prepare(run: Run) -> None:
    """Fills the database with the old orders, and sets the limits."""
    options = run.options
    run.rows.lift_budgets()
    if options.with_background:
        run.rows.set_limits()
    if options.old_orders:
        old = importlib.import_module("fanout.old_rows")
        old.fill_year(options.old_orders, old.make_old_strategies())
        open_positions(run.address, old.held_positions())
        for work in importlib.import_module("fanout.timed_reads").first_reads().values():
            work()  # the first audit of a long history is slow, and later audits read what changed


def main() -> None:
    options = parse_options()
    with ExitStack() as stack:
        address = stack.enter_context(surroundings(exchange_idle_s=options.exchange_idle))
        rows = importlib.import_module("fanout.rows")  # models can be imported only after django.setup()
        rows.migrate_database()
        machine = Machine.of_this_run(rows.database_version())
        run = Run(options, rows, address=address)
        prepare(run)
        if options.with_background:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(running_background(Path(folder)))
        what = "-".join([*run.measure(), *circumstances(options)])
    print(json.dumps(asdict(run.figures), indent=2) if options.json else tell_figures(run.figures))
    if options.save:
        path = save_figures(run.figures, machine, date=options.save, what=what, arguments=sys.argv[1:])
        print(f"\nSaved: {path}")


if __name__ == "__main__":
    main()
