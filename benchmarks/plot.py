"""Draws the warm rows of a saved run: wall time by accounts for each contender, both on logarithmic scales.

python benchmarks/plot.py benchmarks/results/RUN.json [--kind limit]

Writes benchmarks/results/RUN-KIND.svg. The line is the median, and the bar ends at the 99th percentile.
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 600, 50, 400
COLORS = {"tradehub": "#c0392b", "floor": "#7f8c8d", "ccxt async": "#2980b9", "ten threads": "#8e6c3a"}
STYLE = "font-family: sans-serif; font-size: 12px; fill: #333"


@dataclass(frozen=True, slots=True)
class Point:
    accounts: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Scale:
    """A logarithmic scale from `low` at the coordinate `begin` to `high` at the coordinate `end`."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.begin + part * (self.end - self.begin), 1)

    def marks(self) -> Iterator[float]:
        """The values 1, 2 and 5 of each decade."""
        for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1):
            for digit in (1, 2, 5):
                if self.low <= digit * 10**power <= self.high:
                    yield digit * 10**power


def read_lines(run: dict[str, Any], kind: str) -> dict[str, list[Point]]:
    """The points of each contender, by name."""
    lines: dict[str, list[Point]] = {}
    for row in run.get("rows", []):
        if row["kind"] == kind and row["state"] == "warm":
            for name, found in row["contenders"].items():
                wall = found["wall_ms"]
                lines.setdefault(name, []).append(Point(row["accounts"], wall["p50"], wall["p99"]))
    return lines


def draw(lines: dict[str, list[Point]], title: str) -> str:
    points = [point for line in lines.values() for point in line]
    most = max(max(point.accounts for point in points), 10)
    across = Scale(1, most, LEFT, RIGHT)
    walls = [point.p50_ms for point in points] + [point.p99_ms for point in points]
    up = Scale(min(walls) / 1.2, max(walls) * 1.2, BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" style="{STYLE}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, 25, title),
        text((LEFT + RIGHT) / 2, BOTTOM + 42, "accounts", anchor="middle"),
        text(12, TOP - 10, "ms"),
        *draw_grid(across, up, sorted({point.accounts for point in points})),
    ]
    for number, (name, line) in enumerate(lines.items()):
        parts += draw_line(line, across, up, COLORS.get(name, "black"))
        parts += draw_legend(name, TOP + 20 * number)
    return "\n".join([*parts, "</svg>\n"])


def draw_grid(across: Scale, up: Scale, accounts: Sequence[int]) -> Iterator[str]:
    for value in up.marks():
        yield f'<path d="M{LEFT} {up.at(value)}H{RIGHT}" stroke="#ddd"/>'
        yield text(LEFT - 8, up.at(value) + 4, f"{value:,.0f}", anchor="end")
    for count in accounts:
        yield f'<path d="M{across.at(count)} {TOP}V{BOTTOM}" stroke="#ddd"/>'
        yield text(across.at(count), BOTTOM + 20, f"{count:,}", anchor="middle")


def draw_line(line: Sequence[Point], across: Scale, up: Scale, color: str) -> Iterator[str]:
    places = [(across.at(point.accounts), up.at(point.p50_ms), up.at(point.p99_ms)) for point in line]
    path = " ".join(f"{x},{y}" for x, y, _ in places)
    yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'
    for x, y, slowest in places:
        yield f'<circle cx="{x}" cy="{y}" r="3.5" fill="{color}"/>'
        yield f'<path d="M{x} {y}V{slowest}m-4 0h8" stroke="{color}"/>'


def draw_legend(name: str, y: float) -> Iterator[str]:
    yield f'<path d="M{RIGHT + 20} {y}h24" stroke="{COLORS.get(name, "black")}" stroke-width="2"/>'
    yield text(RIGHT + 50, y + 4, name)


def text(x: float, y: float, words: str, *, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a file that benchmarks/fanout.py --save wrote")
    parser.add_argument("--kind", default="limit", help="limit, market, exit or batch")
    options = parser.parse_args()
    run = json.loads(options.run.read_text())
    lines = read_lines(run, options.kind)
    if not lines:
        raise SystemExit(f"The run has no warm rows of the kind {options.kind}.")
    where = f"{run['date']}, commit {run['machine']['commit']}, {run['machine']['cores']} cores"
    title = f"One {options.kind} alert, warm, p50 with p99: {where}"
    path = options.run.with_name(f"{options.run.stem}-{options.kind}.svg")
    path.write_text(draw(lines, title))
    print(path)


if __name__ == "__main__":
    main()
