"""Turns of senders before the web server's threads: the queue of one sender delays no other sender.

Who sends is guessed cheaply, before any check: by the digest of the token in the request, and by the address. A wrong
guess costs a turn and opens nothing. Everything here runs on the server's event loop.
"""

import asyncio
import math
import re
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from strategies.tokens import digest_of
from webhooks.senders import Network, neighborhood_of, sender_in

STRANGERS = 0  # the owner of requests without a token that was right before
_KNOWN_TOKENS = 10_000
_TOKEN = re.compile(rb"t[hr]_[A-Za-z0-9_-]{43}")
_READ_AT_MOST = 64 * 1024  # bytes: no delivery is longer


class Crowded(Exception):
    """Too many requests of this sender, or of all senders, wait already."""


@dataclass(frozen=True, slots=True)
class Sender:
    """The guess: the token's digest, "" without a token, and the neighborhood of the address."""

    digest: str
    address: str


class Group(NamedTuple):
    """Requests that wait in one line: those of an owner's token, by its digest, or of an address of strangers."""

    owner: int
    name: str


def sender_of_request(environ: Mapping[str, Any], body: bytes, trusted: Sequence[Network]) -> Sender:
    header = environ.get("HTTP_AUTHORIZATION", "").encode("latin1")
    found = _TOKEN.search(header) or _TOKEN.search(body, 0, _READ_AT_MOST)
    digest = digest_of(found[0].decode("ascii")) if found else ""
    return Sender(digest, neighborhood_of(sender_in(environ, trusted)))


class KnownTokens:
    """The owners of tokens that were right lately, by the tokens' digests."""

    def __init__(self, at_most: int = _KNOWN_TOKENS) -> None:
        self._owners: OrderedDict[str, int] = OrderedDict()
        self._at_most = at_most

    def group_of(self, sender: Sender) -> Group:
        owner = self._owners.get(sender.digest, STRANGERS)
        return Group(owner, sender.address if owner == STRANGERS else sender.digest)

    def learn(self, digest: str, owner: int) -> None:
        self._owners[digest] = owner
        self._owners.move_to_end(digest)
        if len(self._owners) > self._at_most:
            self._owners.popitem(last=False)

    def forget(self, digest: str) -> None:
        self._owners.pop(digest, None)


@dataclass(slots=True, eq=False)
class _Waiter:
    sender: Sender
    may_go: "asyncio.Future[Group]"  # the group whose place is used


class Turns:
    """Gives `places` to requests. Owners take turns; an owner's tokens take turns, and so do strangers' addresses.

    An owner, and an address of strangers, uses at most `of_one_sender` places at a time; all strangers together use
    twice as many. So a place is soon free for whoever comes next, and no owner's requests fill the processor alone.

    At most `waiting_per_sender` requests of an owner, or of an address of strangers, wait. Above `waiting_at_most` in
    all, only owners with less than an equal part of these may wait; strangers never have more than half.
    """

    def __init__(
        self,
        places: int,
        known: KnownTokens,
        *,
        of_one_sender: int = 1,
        waiting_per_sender: float = math.inf,
        waiting_at_most: float = math.inf,
    ) -> None:
        self._free = places
        self._of_one_sender = max(1, of_one_sender)
        self._known = known
        self._waiting_per_sender, self._waiting_at_most = waiting_per_sender, waiting_at_most
        # By owner and group, the next one first: a token's digest is a group, and so is an address of strangers.
        self._queues: OrderedDict[int, OrderedDict[str, deque[_Waiter]]] = OrderedDict()
        self._waiting_in_all = 0
        self._waiting: Counter[int | Group] = Counter()  # by owner, and by group
        self._running: Counter[int | Group] = Counter()

    @asynccontextmanager
    async def turn_of(self, sender: Sender) -> AsyncIterator[None]:
        """Waits for a place. Raises Crowded where the sender has to come again later."""
        if self._is_crowded(self._known.group_of(sender)):
            raise Crowded
        waiter = _Waiter(sender, asyncio.get_running_loop().create_future())
        self._put(waiter)
        self._let_in()
        try:
            group = await waiter.may_go
        except asyncio.CancelledError:
            if not waiter.may_go.cancelled():
                self._give_back(waiter.may_go.result())
            raise
        try:
            yield
        finally:
            self._give_back(group)

    def _is_crowded(self, group: Group) -> bool:
        owner, is_stranger = group.owner, group.owner == STRANGERS
        fair = self._waiting_at_most / (len(self._queues) + 1)
        return (
            self._waiting[group if is_stranger else owner] >= self._waiting_per_sender
            or (is_stranger and 2 * self._waiting[owner] >= self._waiting_at_most)
            or (self._waiting_in_all >= self._waiting_at_most and self._waiting[owner] >= fair)
        )

    def _put(self, waiter: _Waiter) -> None:
        group = self._known.group_of(waiter.sender)
        self._queues.setdefault(group.owner, OrderedDict()).setdefault(group.name, deque()).append(waiter)
        self._waiting_in_all += 1
        _count_up(self._waiting, group)

    def _let_in(self) -> None:
        while self._free and (group := self._next_group()) is not None:
            waiter = self._take(group)
            if group.owner == STRANGERS and self._known.group_of(waiter.sender) != group:
                # The token proved right while the request waited among the strangers. Their turn is still to come.
                self._put(waiter)
                if STRANGERS in self._queues:
                    self._queues.move_to_end(STRANGERS, last=False)
            elif not waiter.may_go.done():  # else the client has left
                self._free -= 1
                _count_up(self._running, group)
                waiter.may_go.set_result(group)

    def _next_group(self) -> Group | None:
        for owner, queues in self._queues.items():
            if self._running[owner] >= self._of_one_sender * (2 if owner == STRANGERS else 1):
                continue
            for name in queues:
                if self._running[group := Group(owner, name)] < self._of_one_sender:
                    return group
        return None

    def _take(self, group: Group) -> _Waiter:
        """Removes the first waiter of the group, and puts group and owner behind the others."""
        queues = self._queues.pop(group.owner)
        queue = queues.pop(group.name)
        waiter = queue.popleft()
        if queue:
            queues[group.name] = queue
        if queues:
            self._queues[group.owner] = queues
        self._waiting_in_all -= 1
        _count_down(self._waiting, group)
        return waiter

    def _give_back(self, group: Group) -> None:
        self._free += 1
        _count_down(self._running, group)
        self._let_in()


def _count_up(counts: Counter[int | Group], group: Group) -> None:
    counts[group.owner] += 1
    counts[group] += 1


def _count_down(counts: Counter[int | Group], group: Group) -> None:
    """Keeps no zeros: groups are named by strangers."""
    for key in (group.owner, group):
        counts[key] -= 1
        if not counts[key]:
            del counts[key]
