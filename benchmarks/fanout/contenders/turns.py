"""A contender in a separate process: a fan-out for each line of stdin, with a line of JSON as the answer."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from fanout.kinds import Kind

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@dataclass(frozen=True, slots=True)
class Sample:
    """The measurement of a fan-out. `cpu_ms` is the CPU time of the contender's process on all cores."""

    wall_ms: float
    cpu_ms: float


def obey_lines(fan_out: Callable[[Kind], Any]) -> None:
    """The contender's side: prints `ready`, then measures a fan-out of the kind on each line until stdin ends."""
    print("ready", flush=True)
    for line in sys.stdin:
        kind = Kind(line.strip())
        wall, cpu = time.perf_counter(), time.process_time()
        fan_out(kind)
        sample = Sample((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000)
        print(json.dumps(asdict(sample)), flush=True)


def start_module(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'benchmarks'}:{ROOT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def ask_process(process: subprocess.Popen[str], line: str = "") -> str:
    """Writes the line, if any, and returns the next line of the process."""
    assert process.stdin
    assert process.stdout
    if line:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    heard = process.stdout.readline().strip()
    if not heard:
        raise SystemExit(f"A process of the benchmark ended: {process.args!r}")
    return heard


def stop_process(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait()


class Contender(Protocol):
    def wait_until_ready(self) -> None: ...

    def fan_out(self, kind: Kind) -> Sample: ...


class Worker:
    """The benchmark's side of `obey_lines`."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.process = start_module(module, *arguments)

    def wait_until_ready(self) -> None:
        ask_process(self.process)

    def fan_out(self, kind: Kind) -> Sample:
        return Sample(**json.loads(ask_process(self.process, kind)))

    def close(self) -> None:
        stop_process(self.process)
