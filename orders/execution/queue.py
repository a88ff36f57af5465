"""Whose turn it is: what earlier batches of the same strategy still have to do."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from orders.models import Batch, Cancellation, Order

ANY_SYMBOL = ""


class WakeUp:
    """Wakes the runs of this process that wait for a turn. Runs of other processes are seen by looking again."""

    def __init__(self) -> None:
        self._rung = threading.Condition()
        self._times = 0

    def times(self) -> int:
        return self._times

    def ring(self) -> None:
        with self._rung:
            self._times += 1
            self._rung.notify_all()

    def wait(self, heard: int, *, timeout_s: float) -> None:
        """Returns at the next ring, at once if it rang since `heard`, and in any case after the time-out."""
        with self._rung:
            self._rung.wait_for(lambda: self._times != heard, timeout_s)


wake_up = WakeUp()


@dataclass(frozen=True, slots=True)
class Blocked:
    """Places (strategy account, symbol) where an earlier step is unsettled; no symbol means all of them."""

    places: frozenset[tuple[int, str]]
    accounts: frozenset[int]

    def holds(self, step: Order | Cancellation) -> bool:
        account = step.strategy_account_id
        if step.symbol == ANY_SYMBOL:
            return account in self.accounts
        return not self.places.isdisjoint({(account, step.symbol), (account, ANY_SYMBOL)})


def blocked_places(batch: Batch, steps: Sequence[Order | Cancellation]) -> Blocked:
    """Batch ids grow in commit order within a strategy, so what is earlier is already visible here."""
    accounts = {step.strategy_account_id for step in steps}
    orders = Order.objects.unreleased().filter(batch__lt=batch.pk, strategy=batch.strategy_id)
    cancellations = Cancellation.objects.unreleased().filter(
        batch__lt=batch.pk, batch__strategy=batch.strategy_id
    )
    columns = ("strategy_account_id", "symbol")
    rows = orders.order_by().values_list(*columns).union(cancellations.order_by().values_list(*columns))
    places = frozenset(place for place in rows if place[0] in accounts)
    return Blocked(places, frozenset(account for account, _ in places))
