"""The process dies on one line; the next one finishes the work, with one POST per row."""

from datetime import timedelta

import pytest

from orders.execution import batches
from orders.execution.batch_run import LEASE, BatchRun
from orders.execution.client import ExecutionClient
from orders.models import Batch, Order, Position
from orders.models.order import OrderQuerySet
from tests.crash import abandon_all, dying_at, never_run, track, track_at
from tests.desk import BTC_LIMIT, BTC_MARKET, CANCEL_ALL, ETH_MARKET, order_posts
from tests.waiting import eventually
from webhooks.models import WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)

POINTS = {
    "before anything is sized": (BatchRun, "_begin_steps", False),
    "before submitted is committed": (OrderQuerySet, "transition", False),
    "after submitted, before the socket": (ExecutionClient, "place", False),
    "after the socket opened": (ExecutionClient, "place", True),
    "after the answer, before it is written": (ExecutionClient, "_write_answers", False),
    "after the answer is written": (ExecutionClient, "_write_answers", True),
    "before the orders are settled": (BatchRun, "_release_steps", False),
    "before the batch is finished": (BatchRun, "_advance_queues", True),
}


@pytest.fixture(autouse=True)
def old_prices_do(settings):
    settings.PRICE_MAX_AGE_S = 600


def crash(deliver, paper, point, alert):
    deliver(alert | {"dry_run": True})  # the price is known: all accounts' orders go out in one turn
    with dying_at(*POINTS[point][:2], after=POINTS[point][2]):
        answer = deliver(alert).json()
    wait_for_quiet(paper)
    abandon_all()
    return answer


def wait_for_quiet(paper):
    eventually(
        lambda: all(row["outcome"] != "pending" for row in paper.requests()), what="no request under way"
    )


def finish():
    for after_s in (0, 12, 24, 36, 90):
        track(after_s=after_s)


def assert_as_at_exchange(desk):
    for row in Order.objects.select_related("account"):
        found = [o for o in desk.ledger_orders(row.account.name) if o["clientOrderId"] == row.client_order_id]
        expected = {"NEW": "accepted", "FILLED": "filled", "CANCELED": "canceled"}
        assert row.status == (expected[found[0]["status"]] if found else "rejected")
        if found:
            assert str(row.filled) == found[0]["executedQty"]
    assert not Batch.objects.unfinished().exists()
    assert not Order.objects.unreleased().exists()


@pytest.mark.parametrize("alert", [BTC_LIMIT, BTC_MARKET], ids=["LIMIT", "MARKET"])
@pytest.mark.parametrize("point", POINTS)
def test_what_a_crash_leaves_is_finished_with_one_post_per_row(deliver, paper, test1, point, alert):
    answer = crash(deliver, paper, point, test1.alert(alert))

    finish()

    assert answer["success"] is True
    assert Order.objects.count() == 2
    assert_as_at_exchange(test1)
    absent = Order.objects.filter(status="rejected").count()
    assert len(order_posts(paper)) == 2 - absent
    assert bool(absent) == (point == "after submitted, before the socket")
    for position in Position.objects.select_related("strategy_account__account"):
        assert str(position.quantity) == test1.held(position.strategy_account.account.name)


@pytest.mark.parametrize("point", POINTS)
def test_the_rest_of_a_batch_runs_after_a_crash_in_its_first_leg(deliver, paper, test1, point):
    legs = [BTC_MARKET | {"priority": 1}, ETH_MARKET | {"priority": 2}]
    crash(deliver, paper, point, test1.alert(orders=legs))

    finish()

    assert_as_at_exchange(test1)
    assert test1.held("A1", "ETHUSDT") == test1.held("A2", "ETHUSDT") == "-571.428"


CANCEL_POINTS = {
    "before the instruction is carried out": (BatchRun, "_begin_cancellations", False),
    "after pending_cancel, before the socket": (ExecutionClient, "cancel", False),
    "after the socket opened": (ExecutionClient, "cancel", True),
    "after the answer, before it is written": (ExecutionClient, "_write_answers", False),
    "before it is settled": (BatchRun, "_release_steps", False),
}


@pytest.mark.parametrize("point", CANCEL_POINTS)
def test_a_cancel_that_a_crash_interrupted_is_carried_out(
    deliver, paper, test1, settings, monkeypatch, point
):
    deliver(test1.alert(BTC_LIMIT))
    monkeypatch.setitem(POINTS, point, CANCEL_POINTS[point])
    crash(deliver, paper, point, test1.alert(CANCEL_ALL))

    track()
    track()

    assert [row["status"] for name in ("A1", "A2") for row in test1.ledger_orders(name)] == ["CANCELED"] * 2
    assert {order.status for order in Order.objects.all()} == {"canceled"}
    assert len(order_posts(paper)) == 2


def test_a_delivery_that_was_stored_and_never_started_runs_once(deliver, paper, test1, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batches, "start_run", never_run)
        answer = deliver(test1.alert(BTC_LIMIT)).json()
    abandon_all()

    track()
    track()

    assert answer["summary"]["pending_trades"] == 2
    assert WebhookLog.objects.get().answered_at is not None
    assert_as_at_exchange(test1)
    assert len(order_posts(paper)) == 2


def test_a_batch_whose_lease_still_holds_is_left_alone(deliver, paper, test1, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batches, "start_run", never_run)
        deliver(test1.alert(BTC_LIMIT))
    batch = Batch.objects.get()

    track_at(batch.created_at + LEASE)
    assert order_posts(paper) == []

    track_at(batch.created_at + LEASE + timedelta(seconds=1))
    assert len(order_posts(paper)) == 2


def test_a_batch_of_a_dead_process_of_this_machine_is_taken_over_at_once(deliver, paper, test1, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batches, "start_run", never_run)
        deliver(test1.alert(BTC_LIMIT))
    host = batches.process_name().partition(":")[0]
    Batch.objects.update(claimed_by=f"{host}:4194305:abc")  # above the largest process id

    track()

    assert len(order_posts(paper)) == 2
