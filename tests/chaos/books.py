"""Our rows against the exchange's ledger and its log of requests. Every difference is a sentence."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tests.chaos.stack import ORDER_PATHS, Stack
from tests.waiting import LONG_S, eventually

Json = dict[str, Any]
Sums = defaultdict[tuple[str, str], Decimal]
PREFIX = "th"
STATUSES = {
    "NEW": "accepted",
    "PARTIALLY_FILLED": "partially_filled",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "EXPIRED": "expired",
}
FINAL = ("filled", "canceled", "expired", "rejected", "denied")
FROM_THE_EXCHANGE = ("reply", "query", "absence")
_PLACES = Decimal(1).scaleb(-12)


def check_books(stack: Stack, *, within_s: float = LONG_S) -> Json:
    """Waits until nothing is undecided and both sides say the same; returns how much was compared."""
    stack.wait_until_decided(within_s=2 * within_s)
    found: dict[str, Any] = {}

    def agree() -> bool:
        ours, ledger, requests = stack.call("books"), stack.paper.state(), stack.paper.requests()
        found["differences"] = list(differences(ours, ledger, requests))
        found["compared"] = counts(ours, requests)
        return not found["differences"]

    try:
        eventually(agree, within_s=within_s, what="the books agree", every_s=0.5)
    except TimeoutError as error:
        raise AssertionError("\n".join(found["differences"][:40])) from error
    return found["compared"]


def counts(ours: Json, requests: list[Json]) -> Json:
    return {
        "orders": len(ours["orders"]),
        "posts": len(_posts(requests)),
        "trades": len(ours["trades"]),
        "positions": sum(1 for row in ours["positions"] if Decimal(row["quantity"])),
        "statuses": dict(Counter(row["status"] for row in ours["orders"])),
    }


def differences(ours: Json, ledger: Json, requests: list[Json]) -> Iterator[str]:
    rows = {row["client_order_id"]: row for row in ours["orders"]}
    theirs = _ledger_orders(ledger)
    yield from _ledger_differences(rows, theirs)
    yield from _row_differences(rows, theirs, {row["clientOrderId"] for row in _posts(requests)})
    yield from _post_differences(rows, requests)
    yield from _trade_differences(ours, ledger)
    yield from _position_differences(ours, ledger)


def _posts(requests: list[Json]) -> list[Json]:
    return [row for row in requests if row["method"] == "POST" and row["path"] in ORDER_PATHS]


def _ledger_orders(ledger: Json) -> dict[str, tuple[str, Json]]:
    found: dict[str, tuple[str, Json]] = {}
    for key, account in ledger["accounts"].items():
        for order in account["orders"]:
            name = order["clientOrderId"]
            if name.startswith(PREFIX):
                found[name if name not in found else f"{name} again"] = (key, order)
    return found


def _ledger_differences(rows: dict[str, Json], theirs: dict[str, tuple[str, Json]]) -> Iterator[str]:
    for name, (key, order) in theirs.items():
        row = rows.get(name)
        if row is None or row["account"] != key:
            yield f"{name}: at the exchange without a row of that account"
            continue
        yield from _order_differences(name, row, order)


def _order_differences(name: str, row: Json, order: Json) -> Iterator[str]:
    if row["submitted_at"] is None or row["submitted_at"] * 1000 > order["time"] + 1:
        yield f"{name}: submitted at {row['submitted_at']}, accepted at {order['time']}"
    wanted = STATUSES[order["status"]]
    if order["reduceOnly"] and Decimal(order["origQty"]) < Decimal(row["quantity"]):
        wanted = (
            "expired" if wanted == "filled" else wanted
        )  # cut down to the position: done, yet less than asked
    elif Decimal(row["quantity"]) != Decimal(order["origQty"]):
        yield f"{name}: quantity {row['quantity']} here, {order['origQty']} there"
    if row["status"] != wanted:
        yield f"{name}: {row['status']} here, {order['status']} there"
    if Decimal(row["filled"]) != Decimal(order["executedQty"]):
        yield f"{name}: filled {row['filled']} here, {order['executedQty']} there"
    if row["exchange_order_id"] != str(order["orderId"]):
        yield f"{name}: {row['exchange_order_id']} here, {order['orderId']} there"
    if _average(order) != _rounded(row["average"]):
        yield f"{name}: average {row['average']} here, {_average(order)} there"


def _average(order: Json) -> Decimal | None:
    filled = Decimal(order["executedQty"])
    return (Decimal(order["cumQuote"]) / filled).quantize(_PLACES) if filled else None


def _rounded(average: str) -> Decimal | None:
    return None if average == "None" else Decimal(average).quantize(_PLACES)


def _row_differences(
    rows: dict[str, Json], theirs: dict[str, tuple[str, Json]], posted: set[str]
) -> Iterator[str]:
    for name, row in rows.items():
        status, evidence = row["status"], row["evidence"]
        if row["replayed"] != status:
            yield f"{name}: its events lead to {row['replayed']}, it is {status}"
        if (status in FINAL) != (row["closed_at"] is not None):
            yield f"{name}: {status} and closed at {row['closed_at']}"
        if name in theirs:
            if evidence not in FROM_THE_EXCHANGE:
                yield f"{name}: {status} on {evidence} evidence"
        else:
            yield from _absent_differences(name, status, evidence, name in posted)


def _absent_differences(name: str, status: str, evidence: str, was_posted: bool) -> Iterator[str]:
    if status not in ("denied", "rejected", "canceled"):
        yield f"{name}: {status} here, unknown there"
    elif (was_posted or status == "rejected") and evidence not in ("reply", "absence"):
        yield f"{name}: unknown there, {status} on {evidence} evidence"


def _post_differences(rows: dict[str, Json], requests: list[Json]) -> Iterator[str]:
    sent = Counter((row["clientOrderId"], row["api_key"]) for row in _posts(requests))
    for (name, key), times in sent.items():
        if times > 1:
            yield f"{name}: sent {times} times"
        if name not in rows or rows[name]["account"] != key:
            yield f"{name}: sent with {key}, without a row of that account"


def _trade_differences(ours: Json, ledger: Json) -> Iterator[str]:
    here = Counter(
        (
            row["account"],
            row["client_order_id"],
            row["trade_id"],
            row["symbol"],
            row["side"].lower(),
            Decimal(row["quantity"]),
            Decimal(row["price"]),
            Decimal(row["fee"]),
            row["fee_currency"],
        )
        for row in ours["trades"]
    )
    there = Counter(
        (
            key,
            trade["clientOrderId"],
            str(trade["id"]),
            trade["symbol"],
            trade["side"].lower(),
            Decimal(trade["qty"]),
            Decimal(trade["price"]),
            Decimal(trade["commission"]),
            trade["commissionAsset"],
        )
        for key, account in ledger["accounts"].items()
        for trade in account["trades"]
        if trade["clientOrderId"].startswith(PREFIX)
    )
    for trade in here - there:
        yield f"trade here only: {trade}"
    for trade in there - here:
        yield f"trade there only: {trade}"


def _position_differences(ours: Json, ledger: Json) -> Iterator[str]:
    here, there = _sums(ours["positions"], "quantity"), Sums(Decimal)
    paid_here, paid_there = _sums(ours["positions"], "fees"), Sums(Decimal)
    for key, account in ledger["accounts"].items():
        for position in account["positions"]:
            there[key, position["symbol"]] += Decimal(position["positionAmt"])
        for trade in account["trades"]:
            place, fee = (key, trade["symbol"]), Decimal(trade["commission"])
            is_quote = trade["symbol"].endswith(trade["commissionAsset"])
            paid_there[place] += fee if is_quote else 0
            if trade["market"] == "spot":  # holds balances, not positions
                sign = 1 if trade["side"].lower() == "buy" else -1
                there[place] += sign * Decimal(trade["qty"]) - (0 if is_quote else fee)
    yield from _unequal("position", here, there)
    yield from _unequal("fees", paid_here, paid_there)


def _sums(rows: list[Json], name: str) -> Sums:
    found = Sums(Decimal)
    for row in rows:
        found[row["account"], row["symbol"]] += Decimal(row[name])
    return found


def _unequal(what: str, here: Sums, there: Sums) -> Iterator[str]:
    for place in here.keys() | there.keys():
        if here[place] != there[place]:
            yield f"{what} of {place}: {here[place]} here, {there[place]} there"
