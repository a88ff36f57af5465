"""The journal of signed requests in order of arrival. The journal is evidence for tests, and stays in memory."""

from typing import TypedDict

from exchanges.paper.wire.signing import SentRequest

MOST = 200_000


class Entry(TypedDict):
    """One request in the journal. `status` is None where the client got no whole answer."""

    index: int
    method: str
    path: str
    api_key: str
    clientOrderId: str | None
    symbol: str | None
    received_at: int
    outcome: str
    fault: str | None
    status: int | None


class Journal:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.first = 0

    def open(self, sent: SentRequest) -> Entry:
        """Adds an entry. The exchange fills in the outcome later."""
        entry: Entry = {
            "index": self.first + len(self.entries),
            "method": sent.method,
            "path": sent.path,
            "api_key": sent.api_key,
            "clientOrderId": sent.client_order_id or None,
            "symbol": sent.symbol or None,
            "received_at": sent.received_at,
            "outcome": "pending",
            "fault": None,
            "status": None,
        }
        self.entries.append(entry)
        if len(self.entries) > 2 * MOST:
            self._forget()
        return entry

    def _forget(self) -> None:
        del self.entries[:MOST]
        self.first += MOST

    def since(self, index: int) -> list[Entry]:
        return self.entries[max(0, index - self.first) :]

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]
