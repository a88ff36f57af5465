"""A pool whose connections stand before calls need them, and end before the server ends them.

A connection costs a handshake: waiting for the exchange, and milliseconds of processor time. So as many idle
connections stand by at a host as calls held at a time in the last hours. A server ends idle connections, and a request
that meets such an end has an unknown outcome. So a connection ends here first, and another takes its place: opened in
advance, without a request, so at no request weight, one at a time, and while no call is young.
"""

import asyncio
import logging
import math
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from weakref import WeakSet

import aiohttp
import yarl
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.tracing import Trace

logger = logging.getLogger(__name__)

PASS_EVERY_S = 0.1  # while connections are lacking; a pass opens one at most
CALM_PASS_EVERY_S = 0.5
IDLE_AT_MOST_S = 50.0  # front ends of exchanges end idle connections after 60 s or later, by their defaults
_PART_OF_LIMIT = 0.8  # of a server's own limit, if the limit is known
_WORTH_KEEPING_S = 10.0  # a host that ends connections sooner gets none in advance
_ENDS_IN_A_ROW, _ALIKE_WITHIN_S, _LEARNED_FOR_S = 4, 1.0, 3600
_HOUR_S, _HOURS_REMEMBERED = 3600, 5  # so a fan-out at each bar of four hours finds its connections
_CALL_IS_YOUNG_S = 1.0  # an older call waits for the exchange, and a handshake beside does no harm
_OPENINGS_AT_A_TIME = 4
_REST_AFTER_FAILURE_S = 30.0
_OPENING_TIME = aiohttp.ClientTimeout(sock_connect=3)
_OPENING_S = 4.0
_TOLD_LIMIT = re.compile(r"timeout=([0-9]{1,9})")

Idle = deque[
    tuple[Any, float]
]  # aiohttp's connections to one host, with the times of their last use, oldest first


class Need:
    """How many connections calls held at a time: the most of this hour and of the four hours before."""

    def __init__(self) -> None:
        self._peaks: dict[int, int] = {}  # by the number of the hour

    def note(self, held: int, now: float) -> None:
        hour = int(now // _HOUR_S)
        if held > self._peaks.get(hour, 0):
            self._peaks[hour] = held

    def size(self, now: float) -> int:
        first = int(now // _HOUR_S) - _HOURS_REMEMBERED + 1
        self._peaks = {hour: peak for hour, peak in self._peaks.items() if hour >= first}
        return max(self._peaks.values(), default=0)


class IdleLimit:
    """How long a connection to a host may idle before the connection is not trusted with a request any more."""

    def __init__(self) -> None:
        self._told_s = self._learned_s = math.inf
        self._learned_until = 0.0
        self._ends: deque[float] = deque(maxlen=_ENDS_IN_A_ROW)

    def idle_s(self, now: float) -> float:
        learned_s = self._learned_s if now < self._learned_until else math.inf
        return min(IDLE_AT_MOST_S, self._told_s, learned_s)

    def note_told(self, keep_alive: str) -> None:
        """Reads a `Keep-Alive` header, for example "timeout=60, max=1000"."""
        told = _TOLD_LIMIT.search(keep_alive)
        if told is not None:
            self._told_s = _PART_OF_LIMIT * int(told[1])

    def note_end(self, idle_s: float, now: float) -> None:
        """Takes note that the server ended a connection that was idle for `idle_s`.

        Several ends in a row after the same time are the server's limit. Other ends, for example at a restart, are not.
        """
        self._ends.append(idle_s)
        is_limit = len(self._ends) == _ENDS_IN_A_ROW and max(self._ends) - min(self._ends) <= _ALIKE_WITHIN_S
        if is_limit:
            self._learned_s, self._learned_until = _PART_OF_LIMIT * min(self._ends), now + _LEARNED_FOR_S
            self._ends.clear()


@dataclass(slots=True)
class Host:
    """One host of an exchange. `request` names the host for a handshake and is never sent."""

    key: ConnectionKey
    request: aiohttp.ClientRequest
    exchange: str = ""  # unknown before the first answer
    need: Need = field(default_factory=Need)
    limit: IdleLimit = field(default_factory=IdleLimit)
    unused_limit: IdleLimit = field(default_factory=IdleLimit)  # of connections before their first request
    held: int = 0  # connections that calls hold or wait for
    opening: int = 0
    rests_until: float = 0.0


def always(exchange: str) -> bool:
    return True


class WarmConnector(aiohttp.TCPConnector):
    """aiohttp's pool, with at most `most` idle connections kept ready for each host; 0 keeps none ready.

    `may_open` tells whether the address may open connections to an exchange now. Connections without TLS are not
    opened in advance, because such a connection costs next to nothing.
    """

    def __init__(self, *, most: int = 0, may_open: Callable[[str], bool] = always, **options: Any) -> None:
        super().__init__(limit=0, keepalive_timeout=IDLE_AT_MOST_S, **options)
        self.openings: set[asyncio.Task[None]] = set()
        self._most, self._may_open = most, may_open
        self._hosts: dict[tuple[str | None, int | None, str], Host] = {}
        self._begun: dict[int, float] = {}  # the calls that hold or wait for a connection, the youngest last
        self._calls_so_far = 0
        self._unused: WeakSet[Any] = WeakSet()  # aiohttp's connections that carried no request so far
        self._timer = self._loop.call_later(CALM_PASS_EVERY_S, self._on_time) if most else None

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        """Takes a connection out of the pool, or opens one, and counts what calls hold at a time."""
        if req.proxy:
            return await super().connect(req, traces, timeout)
        host, now = self._host_of(req), monotonic()
        self._end_unfit(host, now)
        give_back = self._take(host, now)
        try:
            connection = await super().connect(req, traces, timeout)
        except BaseException:  # a cancelled call holds nothing either
            give_back()
            raise
        self._unused.discard(connection.protocol)
        connection.add_callback(give_back)
        return connection

    def note_answer(self, url: yarl.URL, headers: Mapping[str, str], exchange: str) -> None:
        """Learns from an answer to which exchange the host belongs, and how long the host keeps idle connections."""
        host = self._hosts.get((url.raw_host, url.port, url.scheme))
        if host is not None:
            host.exchange = exchange or host.exchange
            if told := headers.get("Keep-Alive"):
                host.limit.note_told(told)
                host.unused_limit.note_told(told)

    def look_after(self) -> bool:
        """One pass: ends connections that idled too long, and begins to open one where most are lacking.

        Returns whether the pass began to open one.
        """
        now = monotonic()
        lacks = [(self._tidy(host, now), host) for host in self._hosts.values()]
        youngest = next(reversed(self._begun.values()), -math.inf)
        if now - youngest < _CALL_IS_YOUNG_S or len(self.openings) >= _OPENINGS_AT_A_TIME:
            return False
        lacking = [(lack, host) for lack, host in lacks if lack > 0 and self._may_open_to(host, now)]
        if not lacking:
            return False
        _, host = max(lacking, key=lambda pair: pair[0])
        host.opening += 1
        opening = self._loop.create_task(self._open(host))
        self.openings.add(opening)
        opening.add_done_callback(self.openings.discard)
        return True

    async def close(self, *, abort_ssl: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for opening in self.openings:
            opening.cancel()
        await super().close(abort_ssl=abort_ssl)

    def _on_time(self) -> None:
        is_opening = self.look_after()
        self._timer = self._loop.call_later(PASS_EVERY_S if is_opening else CALM_PASS_EVERY_S, self._on_time)

    def _host_of(self, req: aiohttp.ClientRequest) -> Host:
        url = req.url
        name = (url.raw_host, url.port, url.scheme)
        host = self._hosts.get(name)
        if host is None:
            bare = aiohttp.ClientRequest("GET", url.origin(), loop=self._loop, ssl=req.ssl)
            host = self._hosts[name] = Host(req.connection_key, bare)
        return host

    def _take(self, host: Host, now: float) -> Callable[[], None]:
        """Counts a call in. Returns what counts the call out."""
        self._calls_so_far += 1
        number = self._calls_so_far
        self._begun[number] = now
        host.held += 1
        host.need.note(host.held, now)

        def give_back() -> None:
            host.held -= 1
            del self._begun[number]

        return give_back

    def _may_open_to(self, host: Host, now: float) -> bool:
        return bool(host.exchange) and now >= host.rests_until and self._may_open(host.exchange)

    def _size(self, host: Host, now: float) -> int:
        if not host.key.is_ssl or host.unused_limit.idle_s(now) < _WORTH_KEEPING_S:
            return 0
        return min(host.need.size(now), self._most)

    def _left_s(self, host: Host, idle: tuple[Any, float], now: float) -> float:
        """The seconds for which an idle connection may still be used. Below 0 where the server ended or spoke on it."""
        protocol, since = idle
        if protocol.should_close:
            return -1
        limit = host.unused_limit if protocol in self._unused else host.limit
        return limit.idle_s(now) - (now - since)

    def _end_unfit(self, host: Host, now: float) -> None:
        """Ends what the next call would get, where the next call must not get it."""
        idle = self._conns.get(host.key)
        while idle and self._left_s(host, idle[0], now) < 0:
            idle.popleft()[0].close()

    def _tidy(self, host: Host, now: float) -> int:
        """Ends idle connections that are broken, too old, or replaced. Returns how many the set lacks.

        A connection near its end counts as lacking, early enough for the pace of one new connection in a pass.
        """
        idle: Idle = self._conns.get(host.key, deque())
        self._learn(host, [each for each in idle if each[0].should_close], now)
        size = self._size(host, now)
        soon_s = min(size * PASS_EVERY_S, host.unused_limit.idle_s(now) / 2)
        rows = [(each, self._left_s(host, each, now)) for each in idle]
        young = sum(left_s >= soon_s for _, left_s in rows)
        near = [each for each, left_s in rows if 0 <= left_s < soon_s]
        ended = [each for each, left_s in rows if left_s < 0] + near[: max(0, young + len(near) - size)]
        for each in ended:
            idle.remove(each)
            each[0].close()
        return size - young - host.opening

    def _learn(self, host: Host, ended: Sequence[tuple[Any, float]], now: float) -> None:
        """Notes the longest time of a pass: a restart of the server ends connections after various times."""
        for limit, is_unused in ((host.limit, False), (host.unused_limit, True)):
            idle_s = [now - since for protocol, since in ended if (protocol in self._unused) is is_unused]
            if idle_s:
                limit.note_end(max(idle_s), now)

    async def _open(self, host: Host) -> None:
        """Opens one connection and puts the connection into the pool. After a failure the host rests for a while."""
        try:
            async with asyncio.timeout(_OPENING_S):
                protocol = await self._create_connection(host.request, [], _OPENING_TIME)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            host.rests_until = monotonic() + _REST_AFTER_FAILURE_S
            logger.info("connection not opened host=%s error=%s", host.key.host, type(error).__name__)
            return
        finally:
            host.opening -= 1
        self._unused.add(protocol)
        self._release(host.key, protocol)
