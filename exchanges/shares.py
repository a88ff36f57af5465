"""A queue with a share for every owner: whoever has much to do delays only what is their own."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")

_URGENT_IN_A_ROW = 3


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
        return _next(self._urgent if takes_urgent else self._usual)


def _next(queues: OrderedDict[int, deque[T]]) -> T:
    owner, items = queues.popitem(last=False)
    item = items.popleft()
    if items:
        queues[owner] = items  # behind the other owners
    return item
