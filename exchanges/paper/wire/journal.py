"""The log of signed requests, in the order they came. In memory: it is evidence for tests, not state."""

from exchanges.paper.wire.signing import SentRequest

MOST = 200_000


class Journal:
    def __init__(self) -> None:
        self.entries: list[dict] = []
        self.first = 0

    def open(self, sent: SentRequest) -> dict:
        """A new entry; the server fills in how it went."""
        entry = {
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

    def since(self, index: int) -> list[dict]:
        return self.entries[max(0, index - self.first) :]

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]
