"""Writes the figures of a run into a file, with what the run ran on."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fanout.contenders.turns import ROOT
from fanout.figures import Figures

FOLDER = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run runs on, read before the run."""

    commit: str
    cores: int
    cpu: str
    memory_gb: float
    system: str
    python: str
    database: str
    load_before: tuple[float, float, float]

    @classmethod
    def of_this_run(cls, database: str) -> "Machine":
        return cls(
            commit=_commit(),
            cores=len(os.sched_getaffinity(0)),
            cpu=_line_of("/proc/cpuinfo", "model name"),
            memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            database=database,
            load_before=os.getloadavg(),
        )


def _line_of(path: str, name: str) -> str:
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "unknown")


def _commit() -> str:
    """The short commit id of the working tree, with `-changed` where files differ from the commit."""
    found = _git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{found}-changed" if _git("status", "--porcelain", "--untracked-files=no") else found


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def save_figures(
    figures: Figures, machine: Machine, *, date: str, what: str, arguments: Sequence[str]
) -> Path:
    """Writes benchmarks/results/DATE-COMMIT-WHAT.json and returns the path."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{date}-{machine.commit}-{what}.json"
    measured = {name: found for name, found in asdict(figures).items() if found}
    run = {"date": date, "what": what, "arguments": list(arguments), "machine": asdict(machine)}
    path.write_text(json.dumps(run | measured, indent=1) + "\n")
    return path
