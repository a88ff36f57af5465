"""Every fault of docs/reliability.md, at a real server and tracker. The exchange's ledger and its request log judge."""

from collections.abc import Iterator

import pytest

from tests.chaos.faults import Run, all_cases
from tests.chaos.stack import Stack

CASES = all_cases()


@pytest.fixture(scope="module")
def run(database_url: str) -> Iterator[Run]:
    with Stack(database_url) as stack:
        run = Run(stack, CASES)
        run.play()
        yield run


@pytest.fixture(scope="module")
def verdicts(run: Run) -> dict[str, list[str]]:
    return run.verdicts()


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_a_fault_leaves_the_order_as_the_exchange_has_it(verdicts, name):
    assert not verdicts[name]


def test_all_faults_together_leave_the_books_as_the_exchange_has_them(run):
    assert not run.books


def test_there_are_as_many_cases_as_promised():
    assert len(CASES) >= 160
