"""How long it takes to refuse a token, by why it is refused: python benchmarks/token_timing.py [rounds]

The kinds take turns, so that what slows the machine down slows all of them. Prints the mean, and Welch's t of each kind
against unknown tokens; |t| below 4.5 over 10,000 rounds tells nobody anything. Uses a database that goes away.
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
from strategies.models import WebhookToken  # noqa: E402

WARM_UP = 500
NEIGHBORS = 1000  # other tokens in the table
LIMIT = 4.5


def make_kinds() -> dict[str, list[str]]:
    """Tokens that open nothing, by why; several of each, so that no kind lives in a cache."""
    user = User.objects.create_user("alice")
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


def measure(kinds: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    now = timezone.now()
    for turn in range(rounds + WARM_UP):
        for kind, clears in kinds.items():
            clear = clears[turn % len(clears)]
            started = time.perf_counter_ns()
            found = WebhookToken.objects.find(clear, now=now)
            spent = time.perf_counter_ns() - started
            assert found is None
            if turn >= WARM_UP:
                taken[kind].append(spent / 1000)
    return {kind: trimmed(values) for kind, values in taken.items()}


def trimmed(values: list[float]) -> list[float]:
    """Without the slowest hundredth: the machine's own doings."""
    return sorted(values)[: len(values) - len(values) // 100]


def welch_t(left: list[float], right: list[float]) -> float:
    spread = statistics.variance(left) / len(left) + statistics.variance(right) / len(right)
    return (statistics.fmean(left) - statistics.fmean(right)) / math.sqrt(spread)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    runner = DiscoverRunner(verbosity=0)
    databases = runner.setup_databases()
    try:
        taken = measure(make_kinds(), rounds)
    finally:
        runner.teardown_databases(databases)
    for kind, values in taken.items():
        t = welch_t(values, taken["unknown"])
        verdict = "" if abs(t) < LIMIT else "  <- can be told apart"
        print(f"{kind:22} {statistics.fmean(values):8.1f} us   t = {t:6.2f}{verdict}")


if __name__ == "__main__":
    main()
