"""Formats the figures as text, with their targets."""

from collections.abc import Sequence

from fanout.measuring import FLOOR, HUB, METRICS, SLOW_ACCOUNTS, THREADS, Figures

TARGETS = {  # by N, warm: highest ratio to the other contender's wall time
    (100, FLOOR): 2.0,
    (100, THREADS): 0.25,
    (500, FLOOR): 3.0,
}
SLOW_TARGET_MS = 50


def fan_out_table(kind: str, figures: Sequence[Figures]) -> str:
    lines = [
        f"{kind} fan-out: wall in ms, tradehub's ratios, CPU in ms per order (medians)",
        f"{'N':>5}{HUB:>10}{FLOOR:>8}{THREADS:>13}{'to floor':>17}{'to ten threads':>17}"
        f"{'CPU':>9}{FLOOR:>8}{THREADS:>13}",
    ]
    return "\n".join([*lines, *(fan_out_row(kind, each) for each in figures), ""])


def fan_out_row(kind: str, figures: Figures) -> str:
    row, n = figures.row(kind), figures.accounts
    walls = f"{row[f'{HUB} ms']:>10.0f}{row[f'{FLOOR} ms']:>8.0f}{row[f'{THREADS} ms']:>13.0f}"
    targets = [TARGETS.get((n, name)) if kind == "warm" else None for name in (FLOOR, THREADS)]
    ratios = (
        f"{ratio_text(row[f'to {FLOOR}'], targets[0]):>17}{ratio_text(row[f'to {THREADS}'], targets[1]):>17}"
    )
    cpu = [row[f"{name} cpu ms/order"] for name in (HUB, FLOOR, THREADS)]
    return f"{n:>5}{walls}{ratios}{cpu[0]:>9.2f}{cpu[1]:>8.2f}{cpu[2]:>13.2f}"


def ratio_text(value: float, target: float | None) -> str:
    return f"{value:.2f}" + (f" (<= {target:g})" if target else "")


def metrics_table(figures: Sequence[Figures]) -> str:
    head = "    N" + "".join(f"{name.removesuffix('_time_ms'):>18}" for name in METRICS)
    rows = [
        f"{each.accounts:>5}" + "".join(f"{value:>18.1f}" for value in each.metric_medians().values())
        for each in figures
    ]
    return "\n".join(["performance_metrics of the warm deliveries, ms (medians)", head, *rows])


def slow_account_text(found: dict[str, float]) -> str:
    return (
        f"one of {SLOW_ACCOUNTS} accounts hangs: ms until the others' orders are accepted in the database (medians)\n"
        f"without {found['without ms']:.0f}, with {found['with ms']:.0f}: {found['later ms']:+.0f}"
        f" (<= +{SLOW_TARGET_MS}), ratio {found['ratio']:.2f}"
    )
