"""The changes of status that an order may make (SPEC section 7), and the status that a report and our trades prove.

No other module permits a change.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from exchanges.adapters.protocol import OrderReport
from exchanges.enums import ReportStatus
from orders.domain.enums import OrderStatus as S

MAY_BECOME: Mapping[S, frozenset[S]] = {
    S.INITIALIZED: frozenset({S.QUEUED, S.DENIED, S.SUBMITTED, S.CANCELED}),
    S.QUEUED: frozenset({S.INITIALIZED, S.CANCELED, S.DENIED}),
    S.DENIED: frozenset(),
    S.SUBMITTED: frozenset(
        {S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED, S.REJECTED, S.CANCELED, S.EXPIRED, S.PENDING_CANCEL}
    ),
    S.ACCEPTED: frozenset(
        {S.PARTIALLY_FILLED, S.FILLED, S.PENDING_CANCEL, S.CANCELED, S.EXPIRED, S.REJECTED}
    ),
    S.PARTIALLY_FILLED: frozenset({S.FILLED, S.PENDING_CANCEL, S.CANCELED, S.EXPIRED}),
    S.PENDING_CANCEL: frozenset({S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED}),
    S.FILLED: frozenset(),
    S.REJECTED: frozenset(),
    S.EXPIRED: frozenset(),
    S.CANCELED: frozenset(),
}

# The further changes of an order in a final status. Only the exchange proves such a change, in its answer to a look-up
# of the order.
LATE_EVIDENCE: Mapping[S, frozenset[S]] = {
    S.CANCELED: frozenset({S.PARTIALLY_FILLED, S.FILLED}),
    S.EXPIRED: frozenset({S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED}),
    S.REJECTED: frozenset({S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED}),
}

UNSENT = frozenset({S.INITIALIZED, S.QUEUED})
IN_FLIGHT = frozenset({S.SUBMITTED, S.PENDING_CANCEL})
WORKING = frozenset({S.ACCEPTED, S.PARTIALLY_FILLED, S.PENDING_CANCEL})
OPEN = IN_FLIGHT | WORKING
CANCELABLE = (UNSENT | OPEN) - {S.PENDING_CANCEL}
FAILED = frozenset({S.DENIED, S.REJECTED})
FINAL = frozenset(status for status, targets in MAY_BECOME.items() if not targets)


class IllegalTransition(Exception):
    """A change of status outside of the table: a fault of this program, never of an exchange."""

    def __init__(self, source: S, target: S) -> None:
        super().__init__(f"{source.value} may not become {target.value}")
        self.source = source
        self.target = target


def may_become(source: S, target: S, *, late: bool = False) -> bool:
    """Whether an order may change from `source` to `target`. `late`: the exchange answered a look-up with `target`."""
    return target in MAY_BECOME[source] or (late and target in LATE_EVIDENCE.get(source, ()))


def sources_of(target: S, *, late: bool = False) -> frozenset[S]:
    """Returns the statuses that may become `target`."""
    return frozenset(source for source in MAY_BECOME if may_become(source, target, late=late))


def require_transition(source: S, target: S, *, late: bool = False) -> None:
    """Raises IllegalTransition unless `source` may become `target`."""
    if not may_become(source, target, late=late):
        raise IllegalTransition(source, target)


def replay_events(events: Iterable[tuple[S, S]], *, begin: S = S.INITIALIZED) -> S:
    """Walks an order's recorded changes, (source, target), from `begin` on and returns the last status.

    Changes on late evidence are legal here, because the changes were legal when the events were recorded. Raises
    IllegalTransition for a change outside of the table, and for a change from another status than the change before
    ended with.
    """
    current = begin
    for source, target in events:
        if source != current:
            raise IllegalTransition(current, target)
        require_transition(source, target, late=True)
        current = target
    return current


# The status that a report proves

_END_OF_REPORT = {
    ReportStatus.CANCELED: S.CANCELED,
    ReportStatus.EXPIRED: S.EXPIRED,
    ReportStatus.REJECTED: S.REJECTED,
    # The exchange cut the order down (reduce-only): the order is done there, with less than our quantity filled.
    ReportStatus.FILLED: S.EXPIRED,
}


def conclude_status(current: S, quantity: Decimal, filled: Decimal, report: OrderReport) -> S:
    """Returns the status proved by the report and by our trades together. `filled` is the sum of our trades.

    While trades are missing, the order stays open here, so that a final status never hides a fill. An open order with
    status `pending_cancel` keeps the status: only the end of the cancel itself takes `pending_cancel` back.
    """
    if filled >= quantity:
        return S.FILLED
    if report.status in _END_OF_REPORT and report.filled <= filled:
        return _permitted_end(current, _END_OF_REPORT[report.status])
    if current is S.PENDING_CANCEL:
        return current
    return S.PARTIALLY_FILLED if filled else S.ACCEPTED


def _permitted_end(current: S, end: S) -> S:
    """Returns `end`, or `expired` where the lifecycle forbids `end`.

    An exchange may reject an accepted stop order at the trigger. A stop order in `pending_cancel` may not become
    `rejected`, so the stop order becomes `expired`.
    """
    return end if may_become(current, end) else S.EXPIRED


def still_open(report: OrderReport) -> bool:
    return report.status in (ReportStatus.ACCEPTED, ReportStatus.PARTIALLY_FILLED)
