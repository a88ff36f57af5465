"""The request weight that a part of the tracker's work may use at an exchange, as it grows with time.

Questions that can wait stop at half of an exchange's weight (exchanges.gateway). The parts together stay below, with
what is kept from quiet times: else the first part of a minute would leave nothing to the others.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from exchanges.gateway import Line, gateway


@dataclass(slots=True)
class Room:
    """The weight left at one host; a question may leave while some is left, and then it may be less than nothing."""

    left: float
    at: datetime


class Rooms:
    """`part` of each exchange's weight, shared out over time; what is not used is kept for as long as `keep`.

    An exchange counts the weight of an address, which all trackers share as `trackers` tells.
    """

    def __init__(self, part: float, *, keep: timedelta, trackers: Callable[[], int]) -> None:
        self._part, self._keep, self._trackers = part, keep, trackers
        self._rooms: dict[Line, Room] = {}

    def spend(self, line: Line, weight: int, *, now: datetime) -> bool:
        """Takes the weight where some is left. Returns whether the questions may leave."""
        room = self._room(line, now)
        if room.left <= 0:
            return False
        room.left -= weight
        return True

    def empty(self, line: Line) -> None:
        """Called where the exchange has less weight left than we thought."""
        if line in self._rooms:
            self._rooms[line].left = 0.0

    def _room(self, line: Line, now: datetime) -> Room:
        per_minute = gateway.capabilities(*line).weight_per_minute
        per_s = math.inf if per_minute is None else per_minute * self._part / 60 / self._trackers()
        most = per_s * self._keep.total_seconds()
        room = self._rooms.setdefault(line, Room(most, now))
        waited_s = (now - room.at).total_seconds()
        if waited_s > 0:
            room.left = min(most, room.left + per_s * waited_s)
        room.at = now
        return room
