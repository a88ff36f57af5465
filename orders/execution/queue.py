"""The account queues: a step waits for earlier steps of the same strategy account, in this and in earlier batches."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import QuerySet

from exchanges.database.prepared import Query, Slot, read_together
from orders.domain.keys import PositionKey
from orders.models import Batch, Cancellation, ExitGoal, Order

ANY_SYMBOL = ""


Step = Order | Cancellation | ExitGoal  # a goal waits for its next attempt


@dataclass(slots=True)
class AccountQueue:
    """The steps of one strategy account. `working` counts the unanswered calls of the first step."""

    steps: deque[Step]
    working: int = 0
    free_symbols: set[str] = field(default_factory=set)  # without an unreleased step of an earlier batch


def account_queues(steps: Iterable[Order | Cancellation]) -> dict[int, AccountQueue]:
    """The queues of a batch by strategy account: unreleased steps in the order of their turns."""
    queues: dict[int, AccountQueue] = {}
    for step in sorted(steps, key=lambda step: step.sequence):
        if step.released_at is None:
            queues.setdefault(step.strategy_account_id, AccountQueue(deque())).steps.append(step)
    return queues


@dataclass(frozen=True, slots=True)
class EarlierSteps:
    """The positions for which an earlier batch has an unreleased step.

    A position without a symbol stands for all symbols of the strategy account.
    """

    positions: frozenset[PositionKey]
    strategy_accounts: frozenset[int]

    def block(self, step: Step) -> bool:
        """Whether the step has to wait for an earlier batch."""
        strategy_account = step.strategy_account_id
        if step.symbol == ANY_SYMBOL:
            return strategy_account in self.strategy_accounts
        same = {PositionKey(strategy_account, step.symbol), PositionKey(strategy_account, ANY_SYMBOL)}
        return not self.positions.isdisjoint(same)


def earlier_steps(batch: Batch, steps: Sequence[Step]) -> EarlierSteps:
    """The unreleased steps of earlier batches. One statement.

    Batch ids grow in commit order within a strategy, so the steps of every earlier batch are visible here.
    """
    found = read_together(*UNRELEASED_STEPS, strategy=batch.strategy_id, batch=batch.pk)
    return _earlier_steps(found, {step.strategy_account_id for step in steps})


def _earlier_steps(found: Iterable[Iterable[tuple[int, str]]], strategy_accounts: set[int]) -> EarlierSteps:
    positions = frozenset(PositionKey(*row) for rows in found for row in rows if row[0] in strategy_accounts)
    return EarlierSteps(positions, frozenset(key.strategy_account_id for key in positions))


def _unreleased_orders() -> QuerySet[Order, tuple[int, str]]:
    rows = Order.objects.unreleased().filter(strategy=Slot("strategy"), batch__lt=Slot("batch"))
    return rows.order_by().values_list("strategy_account_id", "symbol").distinct()


def _unreleased_cancellations() -> QuerySet[Cancellation, tuple[int, str]]:
    rows = Cancellation.objects.unreleased().filter(batch__strategy=Slot("strategy"), batch__lt=Slot("batch"))
    return rows.order_by().values_list("strategy_account_id", "symbol").distinct()


UNRELEASED_STEPS = (Query(_unreleased_orders), Query(_unreleased_cancellations))
