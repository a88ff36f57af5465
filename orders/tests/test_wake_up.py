"""Who waits for a turn is woken by whatever frees the turn."""

import pytest

from orders.execution import batch_run
from orders.execution.wake_up import WakeUp
from orders.models import Order
from tests.desk import BTC_CLOSE

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_step_that_is_denied_wakes_who_waits_behind_it(deliver, test1, monkeypatch):
    told = []
    monkeypatch.setattr(batch_run.wake_up, "notify", told.append)

    deliver(test1.alert(BTC_CLOSE))  # nothing is held

    assert {order.status for order in Order.objects.all()} == {"denied"}
    assert told


def test_those_who_wait_for_another_account_take_nobodys_place():
    wake_up, woken = WakeUp(), []
    for batch in range(1, 9):  # behind an account that does not answer
        wake_up.wait(1, batch, lambda: None)
    wake_up.wait(1, 9, lambda: woken.append(9))

    wake_up.notify(1)  # the step for which only batch 9 waits

    assert woken == [9]
