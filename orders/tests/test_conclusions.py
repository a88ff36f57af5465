from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exchanges.adapters.protocol import OrderReport
from exchanges.enums import ReportStatus
from orders.domain.enums import OrderStatus
from orders.domain.lifecycle import FINAL, OPEN, conclude_status, may_become, still_open


def report(status, filled="0"):
    return OrderReport("1", "th1", "BTC/USDT", status, Decimal(1), Decimal(filled), None, None)


@pytest.mark.parametrize(
    ("current", "ours", "status", "theirs", "expected"),
    [
        ("submitted", "0", "accepted", "0", "accepted"),
        ("submitted", "0", None, "0", "accepted"),
        ("submitted", "0", "canceled", "0", "canceled"),
        ("submitted", "0", "rejected", "0", "rejected"),
        ("accepted", "0.4", "partially_filled", "0.4", "partially_filled"),
        ("accepted", "0.4", "expired", "0.4", "expired"),
        ("accepted", "0.4", "filled", "0.4", "expired"),  # cut down to what could be reduced
        ("accepted", "0.4", "filled", "1", "partially_filled"),  # a fill is missing here
        ("accepted", "0", "canceled", "0.4", "accepted"),  # also then
        ("accepted", "1", "partially_filled", "0.4", "filled"),
        ("pending_cancel", "0.4", "accepted", "0.4", "pending_cancel"),
        ("pending_cancel", "0.4", "canceled", "0.4", "canceled"),
        ("pending_cancel", "0", "canceled", "0.4", "pending_cancel"),
        ("pending_cancel", "1", "canceled", "1", "filled"),
        ("pending_cancel", "0", "rejected", "0", "expired"),  # a stop that was refused when it triggered
    ],
)
def test_a_report_and_our_trades_prove_together(current, ours, status, theirs, expected):
    said = report(ReportStatus(status) if status else None, theirs)

    assert conclude_status(OrderStatus(current), Decimal(1), Decimal(ours), said) == expected


parts = st.integers(0, 10).map(lambda tenth: Decimal(tenth) / 10)
reports = st.builds(report, st.none() | st.sampled_from(ReportStatus), parts)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(OPEN)), parts, reports)
def test_nothing_is_over_while_a_fill_is_missing(current, filled, said):
    assume(filled or current != OrderStatus.PARTIALLY_FILLED)

    status = conclude_status(OrderStatus(current), Decimal(1), filled, said)

    assert (status is OrderStatus.FILLED) is (filled == 1)
    assert may_become(OrderStatus(current), status) or status == current
    if status in FINAL - {OrderStatus.FILLED}:
        assert said.filled <= filled
        assert not still_open(said)
    if said.status is None or still_open(said):
        assert status not in FINAL - {OrderStatus.FILLED}


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(OPEN)), parts, reports)
def test_the_same_report_again_changes_nothing(current, filled, said):
    once = conclude_status(OrderStatus(current), Decimal(1), filled, said)

    if once not in FINAL:
        assert conclude_status(once, Decimal(1), filled, said) is once
