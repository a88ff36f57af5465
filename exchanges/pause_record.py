"""The pauses that this process knows: which requests an exchange does not want to hear, and for how long.

All times count on the monotonic clock of the process, so that a wrong clock of the machine neither prolongs nor ends a
pause.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

# An exchange may ask for days. No pause lasts longer: whoever holds a position wants to know sooner whether exits go.
MAX_PAUSE_S = 600
PROBE_EVERY_S = 60
_DIGEST_LENGTH = 16


class PauseKey(NamedTuple):
    """Names the requests that a pause holds back: of one account, or, with an empty digest, of the whole address."""

    exchange: str
    key_digest: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause with the seconds left, the seconds that the exchange asked for, and the exchange's words."""

    left_s: float
    asked_s: int = 0
    reason: str = ""


@dataclass(slots=True)
class _Entry:
    until: float
    asked_s: int
    reason: str
    heard_at: float  # the time of the last answer that asked for the pause, or of the last probe


def key_digest(api_key: str) -> str:
    """Names an API key without telling the key; "" for no key."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:_DIGEST_LENGTH] if api_key else ""


class PauseRecord:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[PauseKey, _Entry] = {}
        self._probed: set[PauseKey] = set()  # the pauses that the success of a probe ended

    def begin(self, key: PauseKey, seconds: float, *, asked_s: int = 0, reason: str = "") -> None:
        """Begins or prolongs a pause, up to MAX_PAUSE_S from now. Never shortens a pause."""
        now = self._clock()
        until = now + min(seconds, MAX_PAUSE_S)
        with self._lock:
            known = self._entries.get(key)
            if known is None or until > known.until:
                self._entries[key] = _Entry(until, asked_s, reason, now)
            else:
                known.heard_at = now

    def end(self, key: PauseKey) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._probed.clear()

    @property
    def is_empty(self) -> bool:
        """Whether no pause was begun since the start, or all pauses have been ended."""
        return not self._entries

    def left_s(self, *keys: PauseKey) -> float:
        """The seconds until no pause of the keys holds any more; 0 without a pause."""
        now = self._clock()
        return max(max(0.0, known.until - now) for known in map(self._entry, keys))

    def _entry(self, key: PauseKey) -> _Entry:
        return self._entries.get(key) or _Entry(0.0, 0, "", 0.0)

    def running(self) -> dict[PauseKey, Pause]:
        now = self._clock()
        with self._lock:
            return {
                key: Pause(entry.until - now, entry.asked_s, entry.reason)
                for key, entry in self._entries.items()
                if entry.until > now
            }

    # Probes

    def claim_probe(self, *keys: PauseKey) -> bool:
        """Claims the minute's probe of the pauses. Returns False within a minute after the exchange's last refusal."""
        now = self._clock()
        with self._lock:
            held = [entry for key in keys if (entry := self._entries.get(key)) and entry.until > now]
            if not held or any(now - entry.heard_at < PROBE_EVERY_S for entry in held):
                return False
            for entry in held:
                entry.heard_at = now
            return True

    def end_by_probe(self, *keys: PauseKey) -> None:
        """Ends the pauses, because the exchange answered a probe. `take_probed` tells the pauses once."""
        with self._lock:
            self._probed |= {key for key in keys if self._entries.pop(key, None)}

    def take_probed(self) -> set[PauseKey]:
        with self._lock:
            taken, self._probed = self._probed, set()
        return taken
