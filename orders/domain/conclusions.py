"""What an exchange's report means for an order, given the trades that we hold. Pure."""

from decimal import Decimal

from exchanges.adapters.protocol import OrderReport
from exchanges.enums import ReportStatus
from orders.domain.enums import OrderStatus
from orders.domain.lifecycle import may_become

_ENDS = {
    ReportStatus.CANCELED: OrderStatus.CANCELED,
    ReportStatus.EXPIRED: OrderStatus.EXPIRED,
    ReportStatus.REJECTED: OrderStatus.REJECTED,
    # Done, yet less than we asked for: the exchange cut it down (reduce-only) and will do no more.
    ReportStatus.FILLED: OrderStatus.EXPIRED,
}


def conclude_status(
    current: OrderStatus, quantity: Decimal, filled: Decimal, report: OrderReport
) -> OrderStatus:
    """The status that the report and our trades (`filled`) prove together.

    While trades are missing the order stays alive here, so that a final status never hides a fill. An open order keeps
    `pending_cancel`: only the end of the cancel itself takes that back.
    """
    if filled >= quantity:
        return OrderStatus.FILLED
    if report.status in _ENDS and report.filled <= filled:
        return _end(current, _ENDS[report.status])
    if current is OrderStatus.PENDING_CANCEL:
        return current
    return OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.ACCEPTED


def _end(current: OrderStatus, end: OrderStatus) -> OrderStatus:
    """A stop that is refused when it triggers was accepted once; under a cancel that reads as its expiry."""
    return end if may_become(current, end) else OrderStatus.EXPIRED


def still_open(report: OrderReport) -> bool:
    return report.status in (ReportStatus.ACCEPTED, ReportStatus.PARTIALLY_FILLED)
