"""Measures how trackers follow many open orders within an exchange's request weight.

    pip install -r requirements.txt
    python benchmarks/tracking.py [--accounts 500] [--orders 20] [--symbols 1] [--trackers 1] [--seconds 120]

The paper exchange takes every order, counts request weight as Binance futures does (2,400 a minute), refuses what goes
beyond, and answers after 50 ms. Trackers are `manage.py track_orders` on PostgreSQL. docs/benchmarks.md has the method
and the results. Linux only.
"""

import argparse
import importlib
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
from cryptography.fernet import Fernet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from fanout.contenders.hub import cpu_time_s, free_port
from fanout.contenders.turns import ROOT
from fanout.surroundings import running_database

from exchanges.paper.remote import PaperControl

WEIGHT_PER_MINUTE = 2400
LATENCY_MS = 50
FIRST_ROUND_S = 300
FILLS = 10  # accounts with an order that fills at the end


@dataclass(frozen=True)
class Usage:
    """A tracker's process: CPU time since its start, and the most memory so far."""

    cpu_s: float
    peak_mb: float


@contextmanager
def surroundings() -> Iterator[PaperControl]:
    with tempfile.TemporaryDirectory() as folder, running_database(Path(folder)) as database_url:
        port = free_port()
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "tradehub.settings",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
            "DATABASE_URL": database_url,
            "CACHE_URL": "locmemcache://",
            "Q_REDIS_URL": "",
            "WATERMARK_FILE": "",
            "LOG_LEVEL": "WARNING",
            "PAPER_EXCHANGE_URL": f"http://127.0.0.1:{port}",
        }
        limits = ["--weight-limit", str(WEIGHT_PER_MINUTE), "--latency-ms", str(LATENCY_MS)]
        exchange = start("paper_exchange", "--port", str(port), "--state", f"{folder}/paper.sqlite3", *limits)
        try:
            assert exchange.stdout
            exchange.stdout.readline()
            django.setup()
            yield PaperControl(os.environ["PAPER_EXCHANGE_URL"])
        finally:
            stop([exchange])


def start(*command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "manage.py", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def stop(processes: Sequence["subprocess.Popen[str]"]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def usage(process: "subprocess.Popen[str]") -> Usage:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return Usage(cpu_time_s(process.pid), int(peak) / 1024)


def measure(paper: PaperControl, rows: Any, *, trackers: int, seconds: float) -> None:
    processes = [start("track_orders") for _ in range(trackers)]
    try:
        first_s = rows.wait_for_first_round(limit_s=FIRST_ROUND_S)
        print(f"first round: {first_s:.0f} s" if first_s else f"first round: not in {FIRST_ROUND_S} s")
        before = [usage(process) for process in processes]
        asked_before, began = len(paper.requests()), time.monotonic()
        ages = []
        while time.monotonic() - began < seconds:
            ages.append(rows.oldest_answer_s())
            time.sleep(1)
        minutes = (time.monotonic() - began) / 60
        after = [usage(process) for process in processes]
        requests = paper.requests(since=asked_before)
        print(
            f"oldest answer about an open order: {statistics.median(ages):.0f} s, at most {max(ages):.0f} s"
        )
        print("  " + " ".join(f"{age:.0f}" for age in ages[::5]))
        for old, new in zip(before, after, strict=True):
            print(
                f"tracker: {(new.cpu_s - old.cpu_s) / minutes:.1f} s of CPU a minute, {new.peak_mb:.0f} MB at most"
            )
        tell_requests(requests, minutes)
        print(f"{FILLS} fills booked after {rows.time_fills(paper):.1f} s")
    finally:
        stop(processes)


def tell_requests(requests: Sequence[dict[str, Any]], minutes: float) -> None:
    paths = Counter(row["path"] for row in requests)
    refused = sum(str(row["outcome"]).startswith("429") for row in requests)
    for path, number in paths.most_common():
        print(f"  {number / minutes:.0f} a minute  {path}")
    print(f"  refused for too much weight: {refused}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--orders", type=int, default=20, help="open orders of each account")
    parser.add_argument(
        "--symbols", type=int, default=1, help="symbols over which an account's orders spread"
    )
    parser.add_argument("--trackers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    with surroundings() as paper:
        rows = importlib.import_module("tracking_rows")
        count = rows.place_orders(
            paper, accounts=options.accounts, orders=options.orders, symbols=options.symbols, fills=FILLS
        )
        print(f"{count} open orders of {options.accounts} accounts, {options.trackers} trackers", flush=True)
        measure(paper, rows, trackers=options.trackers, seconds=options.seconds)


if __name__ == "__main__":
    main()
