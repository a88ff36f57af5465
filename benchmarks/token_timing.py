"""Measures the time of refusing a token, by reason of the refusal: python benchmarks/token_timing.py [rounds]

The kinds of tokens take turns, so that a slow machine slows all kinds. Prints the mean of each kind, and Welch's t
against unknown tokens; |t| below 4.5 over 10,000 rounds tells a guesser nothing. Uses a throwaway database.
"""

import math
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.test.runner import DiscoverRunner  # noqa: E402
from django.utils import timezone  # noqa: E402

from strategies import tokens  # noqa: E402
from strategies.access import find_entrance  # noqa: E402
from strategies.models import Strategy, WebhookToken  # noqa: E402

WARM_UP = 500
NEIGHBORS = 1000  # other tokens in the table
LIMIT = 4.5


def make_kinds() -> dict[str, list[str]]:
    """Makes tokens that open nothing, by reason: several tokens of each kind, so that no kind stays in a cache."""
    user = User.objects.create_user("alice")
    Strategy.objects.create(owner=user, name="single", group_name="single", market_type="FUTURES")
    for _ in range(NEIGHBORS):
        WebhookToken.objects.issue(user=user)
    revoked = [WebhookToken.objects.issue(user=user, revoked_at=timezone.now())[1] for _ in range(50)]
    expired = [WebhookToken.objects.issue(user=user, expires_at=timezone.now())[1] for _ in range(50)]
    valid = [WebhookToken.objects.issue(user=user)[1] for _ in range(50)]
    return {
        "unknown": [tokens.new_token(tokens.WEBHOOK_MARK).clear for _ in range(50)],
        "unknown too": [tokens.new_token(tokens.WEBHOOK_MARK).clear for _ in range(50)],
        "known prefix, wrong": [clear[:-4] + "AAAA" for clear in valid],
        "revoked": revoked,
        "expired": expired,
    }


def measure_kinds(kinds: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    now = timezone.now()
    for turn in range(rounds + WARM_UP):
        for kind, clears in kinds.items():
            clear = clears[turn % len(clears)]
            started = time.perf_counter_ns()
            entrance = find_entrance(clear, "single", now=now)
            spent = time.perf_counter_ns() - started
            assert entrance.token is None
            if turn >= WARM_UP:
                taken[kind].append(spent / 1000)
    return {kind: trim_slowest(values) for kind, values in taken.items()}


def trim_slowest(values: list[float]) -> list[float]:
    """Drops the slowest hundredth, in which the machine did other work."""
    return sorted(values)[: len(values) - len(values) // 100]


def welch_t(left: list[float], right: list[float]) -> float:
    spread = statistics.variance(left) / len(left) + statistics.variance(right) / len(right)
    return (statistics.fmean(left) - statistics.fmean(right)) / math.sqrt(spread)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    runner = DiscoverRunner(verbosity=0)
    databases = runner.setup_databases()
    try:
        taken = measure_kinds(make_kinds(), rounds)
    finally:
        runner.teardown_databases(databases)
    for kind, values in taken.items():
        t = welch_t(values, taken["unknown"])
        verdict = "" if abs(t) < LIMIT else "  <- can be told apart"
        print(f"{kind:22} {statistics.fmean(values):8.1f} us   t = {t:6.2f}{verdict}")


if __name__ == "__main__":
    main()
