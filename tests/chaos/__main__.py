"""The long runs behind script/chaos. Each ends with both sides' books compared exactly, or with the differences."""

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.chaos.databases import postgres_cluster, postgres_database, sqlite_database
from tests.chaos.kills import Run, all_cases
from tests.chaos.stack import Stack
from tests.chaos.storm import Storm
from tests.redis_server import redis_server

BATCH = 60  # cases on one stack: few enough that none outlives ORDER_MAX_WAIT_S


def say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def database(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        with sqlite_database() as url:
            yield url
    else:
        with postgres_cluster() as cluster, postgres_database(cluster.url) as url:
            yield url


def kills(options: argparse.Namespace, kind: str) -> None:
    cases = all_cases()
    random.Random(options.seed).shuffle(cases)
    wrong, done = [], 0
    for start in range(0, len(cases), BATCH):
        with database(kind) as url, Stack(url) as stack:
            run = Run(stack, cases[start : start + BATCH])
            compared = run.play()
            wrong += filter(None, [run.books, *run.verdicts().values()])
            done += run.kills
            say(f"{kind}: {min(start + BATCH, len(cases))} of {len(cases)} cases, {compared}")
    if wrong:
        raise AssertionError("\n".join(wrong))
    pauses = sum(case.point == "K19" for case in cases)
    say(f"{kind}: {done} kills and {pauses} pauses in {len(cases)} cases. Books equal the ledger.")


def storm(options: argparse.Namespace, kind: str) -> None:
    with database(kind) as url, queue(options.processes) as environment, Stack(url, **environment) as stack:
        raging = Storm(
            stack,
            random.Random(options.seed),
            fault_percent=options.fault_percent,
            processes=options.processes,
            say=say,
        )
        if options.what == "random":
            raging.rage(kills=options.kills)
        else:
            raging.blow(minutes=options.minutes)
    say(f"{kind}: {raging.kills} kills, {raging.faults} faults, {raging.compared}. Books equal the ledger.")


@contextmanager
def queue(processes: int) -> Iterator[dict[str, str]]:
    """The environment of several processes: a Redis server for the workers' queue and the cache."""
    if processes == 1:
        yield {}
        return
    with redis_server() as redis:
        yield {"TEST_Q_REDIS_URL": redis.url, "TEST_CACHE_URL": f"{redis.url[:-1]}1"}


RUNS: dict[str, Callable[[argparse.Namespace, str], None]] = {
    "kills": kills,
    "random": storm,
    "faults": storm,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/chaos", description=__doc__)
    parser.add_argument("what", choices=RUNS)
    parser.add_argument("--kills", type=int, default=2000, help="for random: how many, on each database")
    parser.add_argument("--minutes", type=float, default=5, help="for faults: how long, on each database")
    parser.add_argument("--fault-percent", type=int, help="share of alerts that meet a fault")
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="for random and faults: how many web servers and trackers, with as many workers and a Redis server",
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("Stopped.")
    )  # so that servers and files are cleared away
    if options.fault_percent is None:
        options.fault_percent = 10 if options.what == "faults" else 0
    for kind in ("sqlite", "postgres") if options.database == "both" else (options.database,):
        size = {"kills": "", "random": f" --kills {options.kills}", "faults": f" --minutes {options.minutes}"}
        again = f"script/chaos {options.what}{size[options.what]} --database {kind} --seed {options.seed}"
        if options.what != "kills":
            again += f" --fault-percent {options.fault_percent} --processes {options.processes}"
        started = time.monotonic()
        say(f"seed {options.seed}; again with: {again}")
        try:
            RUNS[options.what](options, kind)
        except (AssertionError, TimeoutError) as error:
            say(f"FAILED after {time.monotonic() - started:.0f} s: {error}\nagain with: {again}")
            return 1
        say(f"{kind}: {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
