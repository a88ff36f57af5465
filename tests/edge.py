"""The edge to the exchange under a test's control: answers that it holds back, and pauses that it ends."""

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from exchanges import gateway as gateway_module
from exchanges import pauses
from exchanges.adapters.binance import BinanceFutures
from exchanges.gateway import gateway
from exchanges.market_data import catalog
from tests.waiting import eventually

_DAY_S = 24 * 3600


def forget_exchanges() -> None:
    """As a new process starts: no catalog, clients or pauses in memory."""
    catalog.forget_catalogs()
    gateway.forget_exchanges()


class Held:
    """Calls of one verb that wait until the test releases them."""

    def __init__(self, verb: str) -> None:
        self.verb, self.waiting, self.gone = verb, 0, 0
        self._released = threading.Event()

    def release(self) -> None:
        """Lets all calls go, also those that are still to come; returns when those that waited are gone."""
        self._released.set()
        eventually(lambda: self.gone >= self.waiting, what=f"the held calls of {self.verb} are gone")

    def wait_for(self, calls: int = 1) -> None:
        """Until so many calls have come to where they wait."""
        eventually(lambda: self.waiting >= calls, what=f"{calls} held calls of {self.verb}")

    async def hold(self) -> None:
        self.waiting += 1
        try:
            while not self._released.is_set():
                await asyncio.sleep(0.005)
        finally:
            self.gone += 1


class Edge:
    """Of this process alone: its pauses are not told to other processes."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(pauses, "synchronize", lambda **_: None)
        patch.setattr(pauses, "take_over", lambda *_, **__: None)
        self._patch = patch
        self._held: list[Held] = []
        self._skipped_s = 0.0

    def hold(
        self, verb: str, *, api_key: str = "", symbol: str = "", times: int = 10**6, before: bool = False
    ) -> Held:
        """Holds the next calls back: the answers of the exchange, or, with `before`, the calls themselves."""
        real, held = getattr(BinanceFutures, verb), Held(verb)

        async def call(adapter: BinanceFutures, *args: Any) -> Any:
            nonlocal times
            is_meant = (
                times > 0 and api_key in ("", adapter.client.apiKey) and (not symbol or symbol in str(args))
            )
            times -= is_meant
            if is_meant and before:
                await held.hold()
            answer = await real(adapter, *args)
            if is_meant and not before:
                await held.hold()
            return answer

        self._patch.setattr(BinanceFutures, verb, call)
        self._held.append(held)
        return held

    def pause(self, *, api_key: str = "") -> None:
        """The exchange wants to hear nothing, until `end_pauses`."""
        gateway.pause("paper", _DAY_S, api_key=api_key)

    def end_pauses(self) -> None:
        """The time that the exchange asked for is over."""
        self._skipped_s += 2 * _DAY_S
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + self._skipped_s, time=time.time)
        self._patch.setattr(gateway_module, "time", clock)

    def let_go(self) -> None:
        for held in self._held:
            held.release()
