"""A paper exchange for tests: a thread of its own, a free port, a temporary state."""

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchanges.paper.exchange import PaperExchange
from exchanges.paper.remote import PaperControl
from exchanges.paper.server import listening

START_S = 10


class _Server(threading.Thread):
    def __init__(self, state: Path, port: int, options: dict[str, int]) -> None:
        super().__init__(name="paper-exchange", daemon=True)
        self.state, self.port, self.options = state, port, options
        self.ready = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the test, which waits in another thread
            self.failure = error
        finally:
            self.ready.set()

    async def _serve(self) -> None:
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        exchange = PaperExchange(self.state, **self.options)
        try:
            async with listening(exchange, "127.0.0.1", self.port) as self.port:
                self.ready.set()
                await self.stop.wait()
        finally:
            exchange.close()

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.join(START_S)


@contextmanager
def running_paper_exchange(
    *, state: Path | None = None, port: int = 0, **options: int
) -> Iterator[PaperControl]:
    """Runs a paper exchange while the block runs. Options: `latency_ms`, `weight_limit`.

    A later run with the same `state` finds the ledger again.
    """
    with tempfile.TemporaryDirectory() as folder:
        server = _Server(state or Path(folder) / "paper.sqlite3", port, options)
        server.start()
        server.ready.wait(START_S)
        if server.failure:
            raise server.failure
        try:
            yield PaperControl(f"http://127.0.0.1:{server.port}")
        finally:
            server.end()
