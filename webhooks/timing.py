"""Times of a delivery's stages: points in time for the row, milliseconds for the answer."""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SENDER_WAITS_S, _ON_THE_WAY_S = 2.9, 0.4  # TradingView waits 3 s from its sending


@dataclass(slots=True)
class Timing:
    """`received_at` is a time of the wall clock. The monotonic clock measures the later stages from there."""

    received_at: datetime
    started: float = field(default_factory=time.monotonic)
    validated: float | None = None
    sent: float | None = None
    settled: float | None = None

    def validate(self) -> None:
        self.validated = time.monotonic()

    def send(self) -> None:
        self.sent = time.monotonic()

    def settle(self) -> None:
        self.settled = time.monotonic()

    def left_s(self, budget_ms: int) -> float:
        """Returns the seconds left of the answer budget, never below 0."""
        return max(0.0, budget_ms / 1000 - (time.monotonic() - self.started))

    def is_in_time(self, budget_ms: int) -> bool:
        """Whether the sender still listens. An answer that comes later is none, and the sender sends again.

        Who set a larger answer budget has senders that wait as long.
        """
        waits_s = max(SENDER_WAITS_S, budget_ms / 1000 + _ON_THE_WAY_S)
        return time.monotonic() - self.started < waits_s

    def at(self, station: float | None) -> datetime | None:
        return None if station is None else self.received_at + timedelta(seconds=station - self.started)

    def metrics(self) -> dict[str, float]:
        now = time.monotonic()
        validated = self.validated or now
        sent = self.sent or validated
        settled = self.settled or sent
        return {
            "validation_time_ms": _rounded_ms(validated - self.started),
            "preprocessing_time_ms": _rounded_ms(sent - validated),
            "trade_processing_time_ms": _rounded_ms(settled - sent),
            "total_processing_time_ms": _rounded_ms(now - self.started),
        }


def _rounded_ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
