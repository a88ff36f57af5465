"""The history of a futures wallet: funding, fees and profits.

https://developers.binance.com/docs/derivatives/usds-margined-futures/account/rest-api/Get-Income-History
"""

from exchanges.paper.endpoints.call import Call
from exchanges.paper.endpoints.futures import WEEK_MS
from exchanges.paper.engine.catalog import FUTURES
from exchanges.paper.engine.codec import Json, eight_places
from exchanges.paper.engine.records import Income, Trade
from exchanges.paper.wire.parameters import limit, optional_integer


def get_income(call: Call) -> list[Json]:
    """One page, oldest first: from the start time or of the page asked for, else the newest rows of seven days."""
    start = optional_integer(call.params, "startTime")
    end = optional_integer(call.params, "endTime")
    since = call.now - WEEK_MS if start is None and end is None else start or 0
    rows = [
        row
        for row in _all_rows(call)
        if since <= row["time"] <= (end or row["time"]) and _is_wanted(call, row)
    ]
    rows.sort(key=lambda row: (row["time"], row["tranId"]))
    size, page = limit(call.params, 100, 1000), optional_integer(call.params, "page")
    if page is None and start is None:
        return rows[-size:]
    first = ((page or 1) - 1) * size
    return rows[first : first + size]


def _is_wanted(call: Call, row: Json) -> bool:
    wanted = {"symbol": call.params.get("symbol"), "incomeType": call.params.get("incomeType")}
    return all(value in (None, "", row[name]) for name, value in wanted.items())


def _all_rows(call: Call) -> list[Json]:
    rows = [_income_json(income) for income in call.blotter.income]
    for (kind, _), trades in call.blotter.trades.items():
        if kind == FUTURES:
            rows += [row for trade in trades for row in _trade_rows(trade)]
    return rows


def _trade_rows(trade: Trade) -> list[Json]:
    amounts = {"COMMISSION": -trade.commission, "REALIZED_PNL": trade.realized_pnl}
    return [
        {
            "symbol": trade.symbol,
            "incomeType": kind,
            "income": eight_places(amount),
            "asset": "USDT",
            "info": str(trade.id),
            "time": trade.time,
            "tranId": trade.tran_id,
            "tradeId": str(trade.id),
        }
        for kind, amount in amounts.items()
        if amount
    ]


def _income_json(income: Income) -> Json:
    return {
        "symbol": income.symbol,
        "incomeType": income.kind,
        "income": eight_places(income.amount),
        "asset": income.asset,
        "info": income.kind,
        "time": income.time,
        "tranId": income.tran_id,
        "tradeId": "",
    }
