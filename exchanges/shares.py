"""Queues, places and request weight with a share for every owner: whoever has much to do delays only their own."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_URGENT_IN_A_ROW = 3
NOBODY = 0  # the owner of calls for everybody, such as prices


class FairQueue(Generic[T]):
    """Owners take turns, one item each. Urgent items (exits, cancels) go before the owner's other items.

    Among the owners, too, urgent items go first, but after three urgent items in a row an item that is not urgent has a
    turn: no owner can hold up the entries of others with exits. Not thread-safe.
    """

    def __init__(self) -> None:
        self._urgent: OrderedDict[int, deque[T]] = OrderedDict()  # by owner, the next owner first
        self._usual: OrderedDict[int, deque[T]] = OrderedDict()
        self._urgent_in_a_row = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, item: T, *, owner: int, is_urgent: bool) -> None:
        (self._urgent if is_urgent else self._usual).setdefault(owner, deque()).append(item)
        self._count += 1

    def pop(self) -> T:
        """Removes the next item. Raises IndexError where there is none."""
        if not self._count:
            raise IndexError("The queue is empty.")
        takes_urgent = bool(self._urgent) and (not self._usual or self._urgent_in_a_row < _URGENT_IN_A_ROW)
        self._urgent_in_a_row = self._urgent_in_a_row + 1 if takes_urgent else 0
        self._count -= 1
        queues = self._urgent if takes_urgent else self._usual
        return _next(queues, next(iter(queues)))


def _next(queues: OrderedDict[int, deque[T]], owner: int) -> T:
    items = queues.pop(owner)
    item = items.popleft()
    if items:
        queues[owner] = items  # behind the other owners
    return item


class OwnerPlaces:
    """Gives `places` to calls by turns of their owners; one owner has at most `of_one_owner` places at a time.

    Not thread-safe.
    """

    def __init__(self, places: int, *, of_one_owner: int) -> None:
        self._free, self._of_one_owner = places, of_one_owner
        self._waiting: OrderedDict[int, deque[Callable[[], None]]] = OrderedDict()  # the next owner first
        self._running: Counter[int] = Counter()

    def ask(self, owner: int, begin: Callable[[], None]) -> None:
        """Calls `begin` once a place is the owner's, at once or during another owner's `give_back`."""
        self._waiting.setdefault(owner, deque()).append(begin)
        self._let_in()

    def give_back(self, owner: int) -> None:
        self._free += 1
        self._running -= Counter((owner,))
        self._let_in()

    def _let_in(self) -> None:
        while self._free and (owner := self._next_owner()) is not None:
            self._free -= 1
            self._running[owner] += 1
            _next(self._waiting, owner)()

    def _next_owner(self) -> int | None:
        return next((owner for owner in self._waiting if self._running[owner] < self._of_one_owner), None)


class WeightShares:
    """The request weight that one host counts in a minute, and the owners who use it.

    The host tells the weight of the whole address. An owner's part is as large as the owner's part of the calls. Not
    thread-safe.
    """

    def __init__(self) -> None:
        self.minute, self.used = 0, 0
        self._calls: Counter[int] = Counter()  # of this minute, by owner
        self._lately: frozenset[int] = frozenset()  # the owners of the minute before

    def note_used(self, minute: int, used: int) -> None:
        """Notes what the host told in an answer to a request of the minute."""
        self._turn_to(minute)
        if minute == self.minute:  # a late answer tells nothing about this minute
            self.used = used

    def note_call(self, minute: int, owner: int) -> None:
        self._turn_to(minute)
        self._calls[owner] += 1

    def has_room(self, minute: int, owner: int, *, limit: float, more: int = 0) -> bool:
        """Whether the owner may use `more` of the `limit` now.

        Half of the limit is for whoever comes first. Of the rest nobody takes more than an equal part of the whole, as
        long as others called in this minute or the one before.
        """
        self._turn_to(minute)
        used = self.used + more
        if used > limit:
            return False
        others = (self._lately | self._calls.keys()) - {owner, NOBODY}
        if 2 * used <= limit or not others or owner == NOBODY:
            return True
        own = self.used * self._calls[owner] / max(1, self._calls.total()) + more
        return own * (len(others) + 1) <= limit

    def _turn_to(self, minute: int) -> None:
        if minute > self.minute:
            self._lately = frozenset(self._calls) if minute == self.minute + 1 else frozenset()
            self.minute, self.used, self._calls = minute, 0, Counter()
