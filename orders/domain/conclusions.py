"""Concludes the status of an order from an exchange's report and our trades. Pure."""

from decimal import Decimal

from exchanges.adapters.protocol import OrderReport
from exchanges.enums import ReportStatus
from orders.domain.enums import OrderStatus
from orders.domain.lifecycle import may_become

_END_OF_REPORT = {
    ReportStatus.CANCELED: OrderStatus.CANCELED,
    ReportStatus.EXPIRED: OrderStatus.EXPIRED,
    ReportStatus.REJECTED: OrderStatus.REJECTED,
    # The exchange cut the order down (reduce-only): the order is done there, with less than our quantity filled.
    ReportStatus.FILLED: OrderStatus.EXPIRED,
}


def conclude_status(
    current: OrderStatus, quantity: Decimal, filled: Decimal, report: OrderReport
) -> OrderStatus:
    """Returns the status proved by the report and by our trades together. `filled` is the sum of our trades.

    While trades are missing, the order stays open here, so that a final status never hides a fill. An open order with
    status `pending_cancel` keeps the status: only the end of the cancel itself takes `pending_cancel` back.
    """
    if filled >= quantity:
        return OrderStatus.FILLED
    if report.status in _END_OF_REPORT and report.filled <= filled:
        return _permitted_end(current, _END_OF_REPORT[report.status])
    if current is OrderStatus.PENDING_CANCEL:
        return current
    return OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.ACCEPTED


def _permitted_end(current: OrderStatus, end: OrderStatus) -> OrderStatus:
    """Returns `end`, or `expired` where the lifecycle forbids `end`.

    An exchange may reject an accepted stop order at the trigger. A stop order in `pending_cancel` may not become
    `rejected`, so the stop order becomes `expired`.
    """
    return end if may_become(current, end) else OrderStatus.EXPIRED


def still_open(report: OrderReport) -> bool:
    return report.status in (ReportStatus.ACCEPTED, ReportStatus.PARTIALLY_FILLED)
