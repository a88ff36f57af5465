"""What an exchange reported, written by someone whose copy of the order is old."""

from dataclasses import replace
from decimal import Decimal

import pytest
from django.utils import timezone

from exchanges.adapters.protocol import OrderReport
from exchanges.enums import ReportStatus
from orders.enums import Evidence
from orders.models import Order
from orders.recording import Observation, record
from tests.crash import track
from tests.desk import BTC_LIMIT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("status", [ReportStatus.ACCEPTED, None])
@pytest.mark.parametrize("is_doubtful", [False, True])
def test_an_old_copy_does_not_write_over_fills(deliver, paper, test1, status, is_doubtful):
    paper.set_liquidity({"BTCUSDT": "0.5"})
    deliver(test1.alert(BTC_LIMIT))
    if is_doubtful:
        Order.objects.update(unknown_since=timezone.now())
    old = Order.objects.select_related("account").get(account=test1.accounts["A1"])
    paper.set_prices({"BTCUSDT": "89000"})
    track()
    report = OrderReport(
        old.exchange_order_id, old.client_order_id, old.symbol, status, old.quantity, Decimal(0), None, None
    )

    for seen in (report, replace(report, filled=Decimal("0.5"))):
        record([Observation(old, seen)], evidence=Evidence.QUERY, actor="late", now=timezone.now())

    fresh = Order.objects.get(pk=old.pk)
    assert (fresh.filled, fresh.average) == (Decimal("0.5"), Decimal(90000))
    paper.set_liquidity({"BTCUSDT": None})
