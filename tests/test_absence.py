"""What else an account does must not keep an order unknown for ever."""

from datetime import timedelta

import pytest
from django.utils import timezone

from orders.models import Order
from orders.reconciliation import absence
from tests.crash import track, track_at
from tests.desk import BTC_LIMIT, BTC_MARKET

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_fill_of_an_older_order_does_not_forbid_the_proof_of_absence(deliver, paper, test1, monkeypatch):
    monkeypatch.setattr(
        absence, "_LOOK_BACK", timedelta(0)
    )  # the resting order is older than what is asked for
    deliver(test1.alert(BTC_LIMIT, price="94000"))
    paper.fault(action="drop", when="before", method="POST", path="/fapi/v1/order", times=2)
    deliver(test1.alert(BTC_MARKET))
    paper.set_prices({"BTCUSDT": "93900"})

    for after_s in (12, 24, 36, 48, 70, 90):
        track(after_s=after_s)

    found = set(Order.objects.values_list("order_type", "status", "reason"))
    assert found == {("LIMIT", "filled", ""), ("MARKET", "rejected", "not_found_at_exchange")}


def test_three_looks_in_a_blink_prove_nothing(deliver, paper, test1):
    paper.fault(action="drop", when="before", method="POST", path="/fapi/v1/order", times=2)
    deliver(test1.alert(BTC_LIMIT))
    later = timezone.now() + timedelta(hours=1)

    for after_s in (0, 0.1, 0.2):
        track_at(later + timedelta(seconds=after_s))

    assert set(Order.objects.values_list("status", "absent_reads")) == {("submitted", 1)}
