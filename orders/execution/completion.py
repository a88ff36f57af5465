"""An event that threads wait for, and that calls back whoever must not wait in a thread."""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Completion(threading.Event):
    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[], None]] = []
        self._guard = threading.Lock()

    def set(self) -> None:
        with self._guard:
            super().set()
            callbacks, self._callbacks = self._callbacks, []
        for call in callbacks:
            try:
                call()
            except Exception:
                # Boundary: who waits may be gone, for example a server that ends, and the run goes on.
                logger.exception("nobody could be told")

    def when_set(self, call: Callable[[], None]) -> None:
        """Has `call` called once, on the thread that sets the event; at once where the event is set already."""
        with self._guard:
            if not self.is_set():
                self._callbacks.append(call)
                return
        call()
