"""One authenticated request, in the form for an endpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from exchanges.paper.engine.blotter import Blotter
from exchanges.paper.engine.codec import Json
from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.engine.records import Account, AlgoOrder, AnyOrder, Order

Answer = Json | list[Json]
OrderKind = TypeVar("OrderKind", Order, AlgoOrder)


def _nothing_hidden(order: AnyOrder) -> bool:
    return False


@dataclass(slots=True)
class Call:
    """One call of an endpoint. `now` is epoch milliseconds. `is_hidden` tells whether look-ups miss an order."""

    ledger: Ledger
    account: Account
    params: dict[str, str]
    now: int
    is_hidden: Callable[[AnyOrder], bool] = _nothing_hidden
    orders: list[AnyOrder] = field(default_factory=list)

    @property
    def blotter(self) -> Blotter:
        return self.ledger.blotters[self.account.api_key]

    def visible(self, orders: Sequence[OrderKind]) -> list[OrderKind]:
        return [order for order in orders if not self.is_hidden(order)]

    def accepted(self, order: AnyOrder) -> None:
        """Notes the order made by this request for the caller."""
        self.orders.append(order)
