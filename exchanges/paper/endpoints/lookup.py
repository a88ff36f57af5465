"""Finds orders and trades of an account by the names and ranges of Binance's API."""

import bisect
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from exchanges.paper.engine.blotter import Blotter
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.records import AlgoOrder, Order, Trade
from exchanges.paper.wire.parameters import Params, integer, limit, optional_integer

Row = TypeVar("Row", Order, AlgoOrder, Trade)


def find_order(blotter: Blotter, kind: str, symbol: str, params: Params) -> Order | None:
    """Finds an order by orderId, else by origClientOrderId (the newest order of a reused id)."""
    if params.get("orderId"):
        found = blotter.orders.get((kind, integer(params, "orderId")))
    elif params.get("origClientOrderId"):
        found = blotter.by_client.get((kind, params["origClientOrderId"]))
    else:
        raise Refusal(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    return found if found and found.symbol == symbol else None


class Span(NamedTuple):
    """The first and the last time of the rows wanted, where there is one."""

    start: int | None
    end: int | None


def read_span(params: Params, longest_ms: int, too_long: int, recent_from: int | None = None) -> Span:
    """Reads startTime and endTime. One time alone opens the longest span; no time stands for `recent_from` onwards.

    Raises Refusal with the code `too_long` for a longer span.
    """
    start, end = optional_integer(params, "startTime"), optional_integer(params, "endTime")
    if start is None:
        return Span(recent_from if end is None else end - longest_ms, end)
    if end is not None and end - start > longest_ms:
        raise Refusal(too_long)
    return Span(start, start + longest_ms if end is None else end)


def select_page(
    rows: list[Row], params: Params, first_id: str, name: Callable[[Row], int], span: Span
) -> list[Row]:
    """Selects at most `limit` rows, oldest first: from an id or a start time onwards, else the newest rows."""
    size = limit(params, 500, 1000)
    from_id = optional_integer(params, first_id)
    if from_id is not None:
        return rows[bisect.bisect_left(rows, from_id, key=name) :][:size]
    chosen = _rows_between(rows, span)
    return chosen[:size] if params.get("startTime") else chosen[-size:]


def _rows_between(rows: list[Row], span: Span) -> list[Row]:
    first = 0 if span.start is None else bisect.bisect_left(rows, span.start, key=_row_time)
    after = len(rows) if span.end is None else bisect.bisect_right(rows, span.end, key=_row_time)
    return rows[first:after]


def _row_time(row: Order | AlgoOrder | Trade) -> int:
    return row.time
