"""Who waits for a turn is woken by whatever frees the turn."""

from datetime import timedelta

import pytest

from orders.execution import batch_run
from orders.models import Order
from tests.desk import BTC_CLOSE, BTC_LIMIT
from tests.waiting import LONG_S, eventually

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_step_that_is_denied_wakes_who_waits_behind_it(deliver, test1, monkeypatch):
    told = []
    monkeypatch.setattr(batch_run.wake_up, "notify", lambda *what: told.append(what))

    deliver(test1.alert(BTC_CLOSE))  # nothing is held

    assert {order.status for order in Order.objects.all()} == {"denied"}
    assert told


def test_an_account_that_does_not_answer_takes_no_place_among_the_woken(
    deliver, test1, paper, edge, monkeypatch, settings
):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 50
    monkeypatch.setattr(
        batch_run, "_RECHECK_S", LONG_S
    )  # who is not woken looks again after the lease's renewal
    monkeypatch.setattr(batch_run, "LEASE", timedelta(seconds=4 * LONG_S))
    held = edge.hold("place_order", api_key=test1.key("A1"))
    alerts, started = 14, []
    for number in range(alerts):
        started.append(deliver(test1.alert(BTC_LIMIT, price=str(90000 - number), id=str(number))))

    try:
        eventually(lambda: len(test1.posts("A2")) == alerts, what="A2 goes on although A1 hangs", within_s=10)
    finally:
        held.release()
