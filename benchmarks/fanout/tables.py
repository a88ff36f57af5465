"""Formats the figures as text, with their targets."""

from collections.abc import Mapping, Sequence

from fanout.figures import (
    ASYNC,
    FLOOR,
    HUB,
    METRICS,
    THREADS,
    WARM,
    ColdFigures,
    Figures,
    MemoryFigures,
    QuietFigures,
    Row,
    SingleFigures,
    SlowAccountFigures,
)
from fanout.kinds import Kind

TARGETS = {  # warm limit orders, by number of accounts: highest ratio
    (100, f"to {FLOOR}"): 1.7,
    (100, f"to {THREADS}"): 0.22,
    (500, f"to {FLOOR}"): 2.2,
    (500, f"to {THREADS}"): 0.14,
    (1000, f"to {FLOOR}"): 2.2,
}
MARKET_TARGET, QUIET_TARGET = 1.25, 1.4
SLOW_TARGET_MS, MEMORY_TARGET_KB = 50, 60
RATIOS = (f"to {FLOOR}", f"to {ASYNC}", f"to {THREADS}", "to limit")


def tell_figures(figures: Figures) -> str:
    parts = [fan_out_table(kind, state, rows) for (kind, state), rows in _grouped(figures.rows).items()]
    if figures.metrics:
        parts.append(metrics_table(figures.metrics))
    parts += [single_text(each) for each in figures.singles]
    parts += [quiet_text(each) for each in figures.quiet]
    for text in (
        figures.cold and cold_text(figures.cold),
        figures.memory and memory_text(figures.memory),
        figures.slow_account and slow_account_text(figures.slow_account),
    ):
        parts += [text] if text else []
    return "\n\n".join(parts)


def _grouped(rows: Sequence[Row]) -> dict[tuple[Kind, str], list[Row]]:
    keys = sorted({(row.kind, row.state) for row in rows}, key=lambda key: (key[1], list(Kind).index(key[0])))
    return {key: [row for row in rows if (row.kind, row.state) == key] for key in keys}


def fan_out_table(kind: Kind, state: str, rows: Sequence[Row]) -> str:
    names = [name for name in (HUB, FLOOR, ASYNC, THREADS) if any(name in row.contenders for row in rows)]
    ratios = [name for name in RATIOS if any(name in row.ratios for row in rows)]
    head = [f"{kind}, {state}: p50 / p95 / p99, ms", *names, *ratios, "CPU per order, ms, in this order"]
    return markdown([head, *(_fan_out_cells(row, names, ratios) for row in rows)])


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table with its head in the first row."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    rule = "|".join("-" * (width + 2) for width in widths)
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def _fan_out_cells(row: Row, names: Sequence[str], ratios: Sequence[str]) -> list[str]:
    found = [row.contenders.get(name) for name in names]
    walls = [
        f"{each.wall_ms.p50:.0f} / {each.wall_ms.p95:.0f} / {each.wall_ms.p99:.0f}" if each else "-"
        for each in found
    ]
    cpu = ", ".join(f"{each.cpu_ms_per_order:.2f}" if each else "-" for each in found)
    return [f"{row.accounts:,}", *walls, *(_ratio_text(row, name) for name in ratios), cpu]


def _ratio_text(row: Row, name: str) -> str:
    if name not in row.ratios:
        return "-"
    target = None
    if row.state == WARM and row.kind is Kind.LIMIT:
        target = TARGETS.get((row.accounts, name))
    elif row.kind is Kind.MARKET and name == "to limit":
        target = MARKET_TARGET
    return f"{row.ratios[name]:.2f}" + (f" (target {target:g})" if target else "")


def metrics_table(metrics: Mapping[int, Mapping[str, float]]) -> str:
    head = ["performance_metrics of the warm limit orders, ms (medians)"]
    head += [name.removesuffix("_time_ms") for name in METRICS]
    rows = [
        [f"{accounts:,}", *(f"{found[name]:.1f}" for name in METRICS)] for accounts, found in metrics.items()
    ]
    return markdown([head, *rows])


def single_text(found: SingleFigures) -> str:
    added, floor = found.added_ms, found.floor_added_ms
    return (
        f"one account, {found.kind}, {added.samples} orders one after another: added to the exchange's"
        f" {found.exchange_ms:.0f} ms\n"
        f"tradehub p50 {added.p50:.1f}, p95 {added.p95:.1f}, p99 {added.p99:.1f} ms;"
        f" floor p50 {floor.p50:.1f}, p99 {floor.p99:.1f} ms"
    )


def quiet_text(found: QuietFigures) -> str:
    after = ", ".join(f"{wall:.0f}" for wall in found.after_ms)
    return (
        f"N={found.accounts}, first limit orders after {found.minutes:g} quiet minutes: {after} ms;"
        f" warm p50 {found.warm_ms.p50:.0f} ms\n"
        f"ratio {found.ratio:.2f} (<= {QUIET_TARGET:g}), of the floor {found.floor_ratio:.2f}"
    )


def cold_text(found: ColdFigures) -> str:
    return (
        f"N={found.accounts}, cold, the server on one core: sent {found.sent}, unknown {found.unknown} (0),"
        f" not sent {found.not_sent} (0)\n"
        f"answered after {found.answered_ms:.0f} ms, over after {found.over_ms:.0f} ms"
    )


def memory_text(found: MemoryFigures) -> str:
    steps = "\n".join(
        f"  {number}. {step.accounts} other accounts: {step.rss_mb:.0f} MB, {step.kb_per_account:.0f} KB each"
        for number, step in enumerate(found.steps, 1)
    )
    return (
        f"memory of the web server, after {found.before_accounts} accounts {found.before_mb:.0f} MB"
        f" (target: {MEMORY_TARGET_KB} KB for each account that traded)\n{steps}\n"
        f"  the last accounts once more: {found.again_mb:.0f} MB"
    )


def slow_account_text(found: SlowAccountFigures) -> str:
    return (
        f"one of {found.accounts} accounts hangs: ms until the others' orders are accepted in the database (medians)\n"
        f"without {found.without_ms:.0f}, with {found.with_ms:.0f}: {found.later_ms:+.0f}"
        f" (<= +{SLOW_TARGET_MS}), ratio {found.ratio:.2f}"
    )
