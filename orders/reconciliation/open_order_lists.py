"""Which questions tell most cheaply how the working orders of one account are, and what an answer tells of an order."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from exchanges.adapters.protocol import Capabilities, OrderReport
from exchanges.enums import OrderType, ReportStatus

_ALIVE = frozenset({ReportStatus.ACCEPTED, ReportStatus.PARTIALLY_FILLED})


@dataclass(frozen=True, slots=True)
class Listing:
    """One question for a list of open orders: of one symbol, or of all symbols where `symbol` is empty."""

    symbol: str
    order_types: frozenset[OrderType]

    def covers(self, symbol: str, order_type: str) -> bool:
        return order_type in self.order_types and self.symbol in ("", symbol)


@dataclass(frozen=True, slots=True)
class Questions:
    """The lists to ask for, and the symbols and order types whose orders are looked up one by one."""

    listings: tuple[Listing, ...]
    alone: frozenset[tuple[str, OrderType]]
    weight: int


@dataclass(frozen=True, slots=True)
class Known:
    """What our books say of a working order."""

    client_order_id: str
    exchange_order_id: str
    filled: Decimal


def cheapest_questions(counts: Mapping[tuple[str, OrderType], int], abilities: Capabilities) -> Questions:
    """Chooses the questions by request weight. `counts` has the number of orders by symbol and order type.

    Of equals, the question for a single order is chosen, because its answer tells the most.
    """
    weights = abilities.weights
    listings: list[Listing] = []
    alone: set[tuple[str, OrderType]] = set()
    weight = 0
    for order_types in abilities.open_order_lists:
        by_symbol: dict[str, int] = defaultdict(int)
        for (symbol, order_type), count in counts.items():
            if order_type in order_types:
                by_symbol[symbol] += count
        listed = sorted(s for s, count in by_symbol.items() if count * weights.order > weights.open_orders)
        single = by_symbol.keys() - listed
        cost = len(listed) * weights.open_orders + sum(by_symbol[s] for s in single) * weights.order
        if weights.all_open_orders is not None and weights.all_open_orders < cost:
            listed, single, cost = [""], set(), weights.all_open_orders
        listings += [Listing(symbol, order_types) for symbol in listed]
        alone |= {key for key in counts if key[0] in single and key[1] in order_types}
        weight += cost
    unlisted = counts.keys() - {key for key in counts if any(key[1] in t for t in abilities.open_order_lists)}
    weight += sum(counts[key] for key in unlisted) * weights.order
    return Questions(tuple(listings), frozenset(alone | unlisted), weight)


def one_by_one(counts: Mapping[tuple[str, OrderType], int], abilities: Capabilities) -> Questions:
    """The questions where a list was no answer."""
    return Questions((), frozenset(counts), sum(counts.values()) * abilities.weights.order)


class OpenOrders:
    """The answer to a Listing, by the exchange's ids and by our client order ids."""

    def __init__(self, reports: Sequence[OrderReport]) -> None:
        self._by_id = {report.order_id: report for report in reports if report.order_id}

    def has_alive(self, known: Known) -> bool:
        """Whether the list shows the order as our books have the order: alive, and filled by no more and no less.

        Anything else proves nothing: the list may be older than the order, and the order may have moved meanwhile. A
        triggered stop order goes on under another id, so the list tells nothing of its fills.
        """
        report = self._by_id.get(known.exchange_order_id)
        return (
            report is not None
            and report.client_order_id in ("", known.client_order_id)
            and report.status in _ALIVE
            and report.filled == known.filled
            and not report.working_order_id
        )
