"""SIGKILL at every named place, and at random: nothing is lost, nothing is sent twice (docs/reliability.md)."""

import random
from collections.abc import Iterator

import pytest

from tests.chaos.kills import Run, ci_cases
from tests.chaos.stack import Stack
from tests.chaos.storm import Storm

CASES = ci_cases()


@pytest.fixture(scope="module")
def run(database_url: str) -> Iterator[Run]:
    with Stack(database_url) as stack:
        run = Run(stack, CASES)
        run.play()
        yield run


@pytest.fixture(scope="module")
def verdicts(run: Run) -> dict[str, str]:
    return run.verdicts()


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_a_killed_process_leaves_the_order_as_the_exchange_has_it(verdicts, name):
    assert not verdicts[name]


def test_all_kills_together_leave_the_books_as_the_exchange_has_them(run):
    assert not run.books


def test_kills_at_random_times_under_load_lose_and_repeat_nothing(database_url_of_its_own):
    with Stack(database_url_of_its_own) as stack:
        storm = Storm(stack, random.Random(20261122), desks=6)
        storm.rage(kills=5)

        assert storm.kills == 5
        assert storm.compared["orders"] > 0
