"""Whether the last comparison of an account with its exchange is young enough for entries. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from orders.domain.reasons import Denied

COMPARED_WITHIN = timedelta(minutes=10)
_TRACKER_SEEN_WITHIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The last complete comparison of an account began at `compared_at`; None where none was made yet.

    Our books were last found to have a gap at `gap_noticed_at`. The tracker made its last turn at `tracker_seen_at`.
    """

    compared_at: datetime | None
    gap_noticed_at: datetime | None = None
    tracker_seen_at: datetime | None = None

    def is_stale(self, now: datetime) -> bool:
        """Whether the comparison is too old, or older than a gap. A clock that was set back makes nothing stale."""
        if self.compared_at is None or now - self.compared_at > COMPARED_WITHIN:
            return True
        return self.is_before_gap

    @property
    def is_before_gap(self) -> bool:
        if self.compared_at is None or self.gap_noticed_at is None:
            return self.gap_noticed_at is not None
        return self.compared_at < self.gap_noticed_at

    def denial(self, now: datetime) -> Denied:
        """The reason to deny an entry: the age of the comparison, and why there is no younger comparison."""
        age = "?" if self.compared_at is None else str(max(0, int((now - self.compared_at).total_seconds())))
        allowed = str(int(COMPARED_WITHIN.total_seconds()))
        return Denied("not_compared", {"age_s": age, "allowed_s": allowed, "why": self._why(now)})

    def _why(self, now: datetime) -> str:
        if self.tracker_seen_at is None or now - self.tracker_seen_at > _TRACKER_SEEN_WITHIN:
            return "no_tracker"
        return "gap" if self.is_before_gap else "no_answer"
