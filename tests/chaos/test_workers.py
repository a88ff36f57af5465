"""The worker's tasks and the rotation of keys, killed in the middle: running again changes nothing that is done."""

import os
import signal
from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet

from tests.chaos.books import check_books
from tests.chaos.stack import MARKET, Desk, Stack
from tests.settings import CREDENTIAL_KEYS
from tests.waiting import LONG_S, eventually


@pytest.fixture(scope="module")
def stack(database_url: str) -> Iterator[Stack]:
    with Stack(database_url) as stack:
        yield stack


def an_order_without_its_answer(stack: Stack, name: str) -> Desk:
    """Its server was killed with the exchange's reply in hand.

    One account: with two, the second order may not have left by then, and only absence could decide it.
    """
    desk = stack.seed({"name": name, "accounts": 1})[0]
    web = stack.start_web("K9:1")
    assert stack.deliver(desk.alert(MARKET)) is None
    stack.wait_until_dead(web)
    return desk


@pytest.mark.parametrize(
    "point", ["K9:1", "K10:1", "K17:1"], ids=["K16-asked", "K16-writing", "K17-not-acknowledged"]
)
def test_a_task_whose_worker_was_killed_is_done_once_by_the_next(stack, point):
    desk = an_order_without_its_answer(stack, point.partition(":")[0])
    stack.call("enqueue_tracking")
    stack.start("worker", name="doomed", failpoints=point)
    eventually(
        lambda: "reincarnated" in stack.tail(),
        within_s=2 * LONG_S,
        what="a killed worker is replaced",
        every_s=0.2,
    )
    stack.kill("doomed")

    stack.start("worker", name="next")
    eventually(
        lambda: stack.call("queue_size") == 0,
        within_s=2 * LONG_S,
        what="the task is delivered again",
        every_s=0.5,
    )
    stack.kill("next", signal.SIGTERM)

    check_books(stack)
    assert all(len(stack.posts(key)) == 1 for key in desk.keys)


def test_a_worker_finishes_its_task_on_sigterm_within_a_bound(stack):
    desk = an_order_without_its_answer(stack, "drained")
    stack.paper.fault(action="delay", value=1.5, when="before", method="GET", api_key=desk.keys[0])
    stack.call("enqueue_tracking")
    worker = stack.start("worker", name="draining")
    eventually(
        lambda: any(row["fault"] for row in stack.paper.requests()),
        within_s=2 * LONG_S,
        what="the task asks the exchange",
    )

    stack.signal("draining", signal.SIGTERM)
    stack.wait_until_dead(worker, within_s=60)  # a busy machine needs some of them

    check_books(stack)  # nobody else is there to finish it


def test_a_rotation_killed_midway_leaves_every_key_readable_and_goes_on(stack):
    stack.seed({"name": "rotated", "accounts": 4})
    keys = {"CREDENTIAL_KEYS": [Fernet.generate_key().decode(), *CREDENTIAL_KEYS]}
    before = stack.call("seals")

    doomed = stack.start("rotation", name="rotation", failpoints="K18:2", settings=keys)
    assert os.WIFSIGNALED(stack.wait_until_dead(doomed))
    halfway = stack.call("seals")
    assert sum(a != b for a, b in zip(before, halfway, strict=True)) == 2
    assert stack.call("unreadable_accounts", keys=keys["CREDENTIAL_KEYS"]) == []

    stack.wait_until_dead(stack.start("rotation", name="rotation", settings=keys))
    assert stack.call("unreadable_accounts", keys=keys["CREDENTIAL_KEYS"][:1]) == []
