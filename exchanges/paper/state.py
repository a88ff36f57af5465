"""The whole state of the paper exchange: the ledger and the ledger's file, faults, journal and used limits."""

from collections.abc import Callable
from pathlib import Path

from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.engine.store import Store
from exchanges.paper.wire.faults import Faults
from exchanges.paper.wire.journal import Journal
from exchanges.paper.wire.limits import Limits


class ExchangeState:
    def __init__(self, path: Path, weight_limit: int = 0) -> None:
        self.ledger = Ledger()
        self.store = Store(path, self.ledger)
        self.store.load()
        self.faults = Faults()
        self.journal = Journal()
        self.limits = Limits(weight_limit)
        self.wipes = 0
        self.refuse_for: Callable[[float], None] | None = (
            None  # the server refuses connections for some seconds
        )

    def wipe(self) -> None:
        self.wipes += 1
        self.store.wipe()
        self.faults.clear()
        self.journal.clear()
        self.limits.counts.clear()

    def close(self) -> None:
        self.store.close()
