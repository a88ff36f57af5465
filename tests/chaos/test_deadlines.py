"""When the truth is back after a kill, with the product's own limits. It takes long, and so is a module of its own."""

import time
from collections.abc import Iterator

import pytest

from tests.chaos.books import check_books
from tests.chaos.kills import ORDER
from tests.chaos.stack import MARKET, Stack


@pytest.fixture
def patient_stack(database_url_of_its_own: str) -> Iterator[Stack]:
    """With the product's own horizon, time-out and interval."""
    with Stack(database_url_of_its_own, horizon_s=60, timeout_s=10, TRACK_INTERVAL_S="2") as stack:
        yield stack


def test_what_a_killed_server_left_is_settled_within_its_limits(patient_stack):
    stack = patient_stack
    accepted, lost, absent = stack.seed(*({"name": name} for name in ("accepted", "lost", "absent")))
    stack.paper.fault(action="drop", when="after", method="POST", path=ORDER, api_key=lost.keys[0])
    stack.paper.fault(action="drop", when="before", method="POST", path=ORDER, api_key=absent.keys[0])
    for desk in (accepted, lost, absent):
        web = stack.start_web("K9:1")
        assert stack.deliver(desk.alert(MARKET)) is None
        stack.wait_until_dead(web)

    restarted_at = time.time()
    stack.start_web()
    stack.start_tracker()
    compared = check_books(stack, within_s=120)

    rows = {row["strategy"]: row for row in stack.call("books")["orders"]}
    assert compared["statuses"] == {"filled": 2, "rejected": 1}
    assert max(rows[name]["closed_at"] for name in ("accepted", "lost")) - restarted_at <= 30
    assert 60 <= rows["absent"]["closed_at"] - rows["absent"]["submitted_at"] <= 120
    assert rows["absent"]["evidence"] == "absence"
