"""An order's life as a table (SPEC section 7). Nothing else decides what an order may become."""

from collections.abc import Iterable, Mapping

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

# What the exchange may still prove of an order that was over, and nobody else: only by a look-up of that
# order.
LATE_EVIDENCE: Mapping[S, frozenset[S]] = {
    S.CANCELED: frozenset({S.PARTIALLY_FILLED, S.FILLED}),
    S.EXPIRED: frozenset({S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED}),
    S.REJECTED: frozenset({S.ACCEPTED, S.PARTIALLY_FILLED, S.FILLED}),
}

UNSENT = frozenset({S.INITIALIZED, S.QUEUED})
IN_FLIGHT = frozenset({S.SUBMITTED, S.PENDING_CANCEL})
WORKING = frozenset({S.ACCEPTED, S.PARTIALLY_FILLED, S.PENDING_CANCEL})
OPEN = IN_FLIGHT | WORKING
FAILED = frozenset({S.DENIED, S.REJECTED})
FINAL = frozenset(status for status, targets in MAY_BECOME.items() if not targets)


class IllegalTransition(Exception):
    """A change that the table does not have: a fault in this program, never of an exchange."""

    def __init__(self, source: S, target: S) -> None:
        super().__init__(f"{source.value} may not become {target.value}")
        self.source = source
        self.target = target


def may_become(source: S, target: S, *, late: bool = False) -> bool:
    """`late`: the exchange itself says so in answer to a look-up."""
    return target in MAY_BECOME[source] or (late and target in LATE_EVIDENCE.get(source, ()))


def sources_of(target: S, *, late: bool = False) -> frozenset[S]:
    """The statuses that may become this one."""
    return frozenset(source for source in MAY_BECOME if may_become(source, target, late=late))


def require_transition(source: S, target: S, *, late: bool = False) -> None:
    """Raises IllegalTransition."""
    if not may_become(source, target, late=late):
        raise IllegalTransition(source, target)


def replay_events(events: Iterable[tuple[S, S]]) -> S:
    """Walks an order's recorded changes from its first status and returns the last.

    Late evidence counts as legal, as it was when it was recorded. Raises IllegalTransition for a change that
    the table does not have or that does not start where the one before it ended.
    """
    current = S.INITIALIZED
    for source, target in events:
        if source != current:
            raise IllegalTransition(current, target)
        require_transition(source, target, late=True)
        current = target
    return current
