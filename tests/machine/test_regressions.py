"""What the machine found, step by step."""

import time
from types import SimpleNamespace

import pytest

from orders.execution import batch_run, batches
from orders.execution.batch_run import LEASE, BatchRun, resume_batch
from orders.models import Batch, ExitGoal, Order, Position
from tests.crash import Killed, dying_at

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def patience(paper, settings, monkeypatch):
    settings.EXCHANGE_TIMEOUT_S = 30  # these tests know what comes of each answer: none may come too late
    monkeypatch.setattr(batch_run, "_HAND_OVER_AFTER_S", 5)  # and no run gives up before the clock is pushed


BUY = {"symbol": "BTCUSDT", "order_type": "MARKET", "side": "buy", "qty_per": "5"}
AT_ONCE = BUY | {"order_type": "LIMIT", "price": "96000"}  # waits for no price: all orders go out in one turn


def test_a_pass_takes_up_what_breaks_off_while_others_wait_for_it(world, settings):
    settings.ORDER_MAX_WAIT_S = 3600  # the clock is pushed while it waits
    for _ in range(2):
        world.arm("K2", 1)  # stored, and never begun
        world.deliver(0, [BUY])
    world.arm("K5", 1)  # the first breaks off again, while the second waits for it

    world.recover(12)

    assert [order.status for order in world.orders()] == ["filled"] * 6


def test_what_a_run_sent_after_it_was_taken_over_is_looked_up(world, monkeypatch):
    runs = []
    with monkeypatch.context() as patch:
        patch.setattr(batches, "start_run", runs.append)
        world.deliver(0, [AT_ONCE])
    batch = Batch.objects.get()
    Batch.objects.take_over(batch, by="another", now=world.clock.now(), lease=LEASE)
    second = resume_batch(batch, by="another", clock=world.clock.now)
    (first,) = runs
    with monkeypatch.context() as patch:
        stands_still = time.monotonic()  # so that it does not look after its lease before it sends
        patch.setattr(batch_run, "time", SimpleNamespace(monotonic=lambda: stands_still))
        with dying_at(BatchRun, "_wait_s"), pytest.raises(Killed):
            first.run()  # it sends, and is never heard of again

    second.run()

    assert not Order.objects.unreleased().exists()
    assert Order.objects.of_unknown_outcome().count() == 3
    world.recover(1)
    assert {order.status for order in world.orders()} == {"filled"}


def test_a_stop_that_is_refused_while_it_is_being_canceled_ends(world):
    close = {"symbol": "BTCUSDT", "qty_per": "-100", "side": "sell"}
    world.deliver(0, [BUY])
    world.deliver(0, [close | {"order_type": "STOP_MARKET", "stop_price": "90000"}])
    world.fault(account=0, path="/fapi/v1/algoOrder", method="DELETE", action="status", value=503, times=3)
    world.deliver(0, [close | {"order_type": "MARKET"}])  # the stops give way once nothing is held
    world.price("BTCUSDT", "90000")  # nothing is left to close: the exchange refuses what the stop becomes

    world.recover(12)

    assert {order.status for order in world.orders() if order.stop_price} == {"expired"}


def test_a_pass_looks_up_what_a_resumed_exit_waits_for(world):
    world.fault(account=0, path="/fapi/v1/order", action="status", value=503, when="after", times=9)
    world.deliver(0, [AT_ONCE])
    world.clear_faults()
    world.arm("K2", 1)
    world.deliver(0, [{"symbol": "BTCUSDT", "order_type": "MARKET", "qty_per": "-100"}])

    world.recover(12)
    world.recover(2)  # a second after it was denied for want of a position, the exit looks again
    world.recover(2)

    assert Order.objects.filter(goal__isnull=True, status="filled").count() == 3
    assert set(ExitGoal.objects.values_list("state", flat=True)) == {"reached"}
    assert not Position.objects.held().exists()
