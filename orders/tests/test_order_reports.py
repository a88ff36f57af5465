"""What an exchange reported, written by someone whose copy of the order is old."""

from dataclasses import replace
from decimal import Decimal

import pytest
from django.utils import timezone

from exchanges.adapters.protocol import Fill, OrderReport
from exchanges.enums import ReportStatus, Side
from orders.domain.enums import Evidence
from orders.fills.order_reports import Observation, record_reports
from orders.models import Order, Position, Trade
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
        record_reports([Observation(old, seen)], evidence=Evidence.QUERY, actor="late", now=timezone.now())

    fresh = Order.objects.get(pk=old.pk)
    assert (fresh.filled, fresh.average) == (Decimal("0.5"), Decimal(90000))
    paper.set_liquidity({"BTCUSDT": None})


def reported(order, *quantities):
    """As the exchange would tell of these fills."""
    fills = tuple(
        Fill(
            trade_id=f"{order.pk}-{number}",
            order_id=order.exchange_order_id,
            symbol=order.symbol,
            side=Side(order.side),
            quantity=quantity,
            price=Decimal(90000),
            fee=Decimal(0),
            fee_currency="USDT",
            executed_at=timezone.now(),
        )
        for number, quantity in enumerate(quantities)
    )
    total = sum(quantities, Decimal(0))
    return Observation(
        order,
        OrderReport(
            order.exchange_order_id,
            order.client_order_id,
            order.symbol,
            ReportStatus.FILLED,
            order.quantity,
            total,
            Decimal(90000),
            timezone.now(),
            fills,
        ),
    )


def test_more_filled_than_ordered_is_refused_and_logged_and_holds_up_no_other_order(deliver, test1, caplog):
    deliver(test1.alert(BTC_LIMIT))
    first, other = Order.objects.order_by("pk").select_related("account")

    record_reports(
        [reported(first, Decimal(1), first.quantity), reported(other, other.quantity)],
        evidence=Evidence.QUERY,
        actor="tracker",
        now=timezone.now(),
    )

    first.refresh_from_db()
    other.refresh_from_db()
    assert (first.filled, first.status) == (1, "partially_filled")
    assert (other.filled, other.status) == (other.quantity, "filled")
    assert Trade.objects.filter(order=first).get().quantity == 1
    assert Position.objects.get(strategy_account=first.strategy_account).quantity == 1
    assert f"overfill refused order={first.client_order_id}" in caplog.text
