"""The rules of SPEC section 7 through steps that nobody wrote down. `script/machine` runs many more of them."""

import os

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.machine import OrderPath
from tests.machine.world import World

pytestmark = pytest.mark.django_db(transaction=True)

PARTS = 4  # side by side under pytest-xdist
STEPS = int(os.environ.get("MACHINE_STEPS", "400"))
SEED = int(os.environ.get("MACHINE_SEED", "0"))
LENGTH = 50


@pytest.mark.parametrize("part", range(PARTS))
def test_the_rules_hold_after_every_step(paper, part):
    def machine() -> OrderPath:
        return OrderPath(World(paper))

    run_state_machine_as_test(
        seed(SEED * PARTS + part)(machine),
        settings=settings(
            max_examples=max(1, STEPS // LENGTH // PARTS),
            stateful_step_count=LENGTH,
            deadline=None,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
