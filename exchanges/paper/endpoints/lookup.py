"""Finds orders and trades of an account by the names and ranges of Binance's API."""

import bisect
from collections.abc import Callable
from typing import TypeVar

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


def select_page(
    rows: list[Row], params: Params, first_id: str, name: Callable[[Row], int], most: int = 1000
) -> list[Row]:
    """Selects at most `limit` rows, oldest first: from an id or a start time onwards, else the newest rows."""
    size = limit(params, 500, most)
    start, end = optional_integer(params, "startTime"), optional_integer(params, "endTime")
    from_id = optional_integer(params, first_id)
    if from_id is not None:
        return rows[bisect.bisect_left(rows, from_id, key=name) :][:size]
    chosen = _rows_between(rows, start, end)
    return chosen[:size] if start is not None else chosen[-size:]


def _rows_between(rows: list[Row], start: int | None, end: int | None) -> list[Row]:
    first = 0 if start is None else bisect.bisect_left(rows, start, key=_row_time)
    after = len(rows) if end is None else bisect.bisect_right(rows, end, key=_row_time)
    return rows[first:after]


def _row_time(row: Order | AlgoOrder | Trade) -> int:
    return row.time
