"""The state on disk: one SQLite file. The store writes a change before any reply that depends on the change leaves.

All requests of one turn of the event loop share a transaction. WAL with synchronous=NORMAL survives the death of the
process, and may lose writes at the death of the machine.
"""

import asyncio
import dataclasses
import sqlite3
import typing
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from exchanges.paper.engine.codec import Json, dumps, loads
from exchanges.paper.engine.ledger import Changed, ChangeKey, Ledger
from exchanges.paper.engine.records import Account, AlgoOrder, Income, Order, Position, Trade, Wallet
from exchanges.paper.engine.settlement import restore_reserved_margin

SCHEMA = "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL)"
KINDS = ("account", "order", "algo", "trade", "income", "counters")

Record = TypeVar("Record", Account, Order, AlgoOrder, Trade, Income, Wallet, Position)


class Store:
    def __init__(self, path: Path, ledger: Ledger) -> None:
        self.ledger = ledger
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None, timeout=5)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.execute(SCHEMA)
        self._turn: asyncio.Future[None] | None = None

    def load(self) -> None:
        rows: dict[str, list[Json]] = {kind: [] for kind in KINDS}
        for kind, body in self.db.execute("SELECT kind, body FROM rows"):
            rows[kind].append(loads(body))
        for row in rows["counters"]:
            _set_counters(self.ledger, row)
        _restore_ledger(self.ledger, rows)
        self.ledger.changes.clear()

    async def committed(self) -> None:
        """Waits until every change so far is on disk."""
        if not self.ledger.changes:
            return
        if self._turn is None:
            loop = asyncio.get_running_loop()
            self._turn = loop.create_future()
            loop.call_soon(self._end_turn, self._turn)
        await asyncio.shield(self._turn)

    def _end_turn(self, turn: asyncio.Future[None]) -> None:
        self._turn = None
        try:
            self.write()
        except sqlite3.Error as error:
            turn.set_exception(error)
        else:
            turn.set_result(None)

    def write(self) -> None:
        changes = self.ledger.changes.items()
        rows = [_stored_row(key, value) for key, value in changes if value is not None]
        gone = [(_row_name(key),) for key, value in changes if value is None]
        self.db.execute("BEGIN IMMEDIATE")
        try:
            self.db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", rows)
            self.db.executemany("DELETE FROM rows WHERE key = ?", gone)
            self.db.execute("COMMIT")
        except sqlite3.Error:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise
        self.ledger.changes.clear()

    def wipe(self) -> None:
        self.ledger.wipe()
        self.db.execute("DELETE FROM rows")
        self.write()

    def close(self) -> None:
        self.write()
        self.db.close()


def _stored_row(key: ChangeKey, value: Changed) -> tuple[str, str, bytes]:
    body = value.counters() if isinstance(value, Ledger) else value
    return _row_name(key), key[0], dumps(body)


def _row_name(key: ChangeKey) -> str:
    return ":".join(map(str, key))


def build_record(kind: type[Record], row: Json) -> Record:
    """Builds a record from the record's JSON."""
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    return kind(**{name: _field_value(types[name], value) for name, value in row.items() if name in types})


def _field_value(kind: Any, value: Any) -> Any:
    if kind is Decimal:
        return Decimal(value)
    inner: Any = typing.get_args(kind)[-1] if typing.get_origin(kind) is dict else None
    if inner in (Wallet, Position):
        return {name: build_record(inner, row) for name, row in value.items()}
    return value


def _set_counters(ledger: Ledger, row: Json) -> None:
    ledger.last_id = row["last_id"]
    ledger.last_tran_id = row.get("last_tran_id", ledger.last_tran_id)
    ledger.trade_ids = row["trade_ids"]
    ledger.prices |= {symbol: Decimal(price) for symbol, price in row["prices"].items()}
    ledger.references = {symbol: Decimal(price) for symbol, price in row.get("references", {}).items()}
    ledger.liquidity = {symbol: Decimal(qty) for symbol, qty in row["liquidity"].items()}
    ledger.depth = {symbol: Decimal(qty) for symbol, qty in row.get("depth", {}).items()}
    for kind, changed in row.get("rules", {}).items():
        for symbol, rules in changed.items():
            ledger.change_rules(kind, symbol, rules)


def _restore_ledger(ledger: Ledger, rows: dict[str, list[Json]]) -> None:
    algos = [build_record(AlgoOrder, row) for row in rows["algo"]]
    orders = [build_record(Order, row) for row in rows["order"]]
    trades = [build_record(Trade, row) for row in rows["trade"]]
    for row in rows["account"]:
        ledger.restore_account(build_record(Account, row))
    for algo in sorted(algos, key=lambda algo: algo.algo_id):
        ledger.add_algo(algo)
    for order in sorted(orders, key=lambda order: order.order_id):
        ledger.add_order(order)
        restore_reserved_margin(ledger, order)
    for trade in sorted(trades, key=lambda trade: (trade.time, trade.id)):
        ledger.add_trade(trade)
    for row in sorted(rows["income"], key=lambda row: row["tran_id"]):
        ledger.add_income(build_record(Income, row))
