"""The process's way to the exchanges: one asyncio loop on a thread of its own, one connection pool, warm clients.

Callers are ordinary threads. A caller hands over calls and gets each outcome at the outcome's arrival. The gateway
never touches the database. Only a command that found no connection goes a second time; nothing else is repeated.
"""

import asyncio
import logging
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from django.conf import settings

from exchanges.adapters.ccxt_adapter import CcxtAdapter
from exchanges.adapters.clients import clone_client, install_markets, new_template, read_clock_offset
from exchanges.adapters.dialects import DIALECTS
from exchanges.adapters.protocol import Capabilities, Credentials
from exchanges.adapters.transport import UNREACHABLE, Passage, Session, new_session
from exchanges.enums import MarketType
from exchanges.errors import (
    DuplicateClientOrderId,
    ExchangeError,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unavailable,
)
from exchanges.pause_record import MAX_PAUSE_S, PauseKey, PauseRecord, key_digest
from exchanges.registry import EXCHANGES, Exchange
from exchanges.shares import FairQueue, OwnerPlaces, WeightShares

logger = logging.getLogger(__name__)

CLOCK_SKEW = "clock_skew"
PLACE_ORDER, CANCEL_ORDER = "place_order", "cancel_order"
# So few calls that can wait run at a time that each call learns the request weight of the calls before.
_PATIENT_AT_A_TIME, _PATIENT_OF_ONE_OWNER = 8, 6
# Of the minute's weight: what questions that can wait leave to orders, and what entries leave to exits and cancels.
_FOR_QUESTIONS, _FOR_ENTRIES = 0.5, 0.9
_HANDSHAKES_AT_A_TIME = 100  # of one owner
_LEAVE_AT_ONCE = 8  # calls are signed in one turn of the loop


class Line(NamedTuple):
    """Names one host of an exchange. An exchange counts request weight per address and host."""

    exchange: str
    market_type: MarketType


@dataclass(frozen=True, slots=True)
class Call:
    """One verb of `ExchangeAdapter` with arguments. The outcome hands the caller's own `tag` back.

    A call with `can_wait` leaves the exchange's request weight to urgent calls: few calls with `can_wait` run at a
    time, by turns of their owners, and none starts after more than half of the minute's weight was used, or more than
    the owner's part of this half where others ask too. Such a call ends with Unavailable, code
    "budget". A call with `is_probe` leaves during a pause too; the caller asked `Gateway.may_probe` before. Calls leave
    by turns of their owners; urgent calls go first.
    """

    exchange: str
    market_type: MarketType
    verb: str
    args: tuple[Any, ...] = ()
    credentials: Credentials | None = field(default=None, repr=False)
    tag: Any = None
    can_wait: bool = False
    is_probe: bool = False
    owner: int = 0
    is_urgent: bool = False

    @property
    def line(self) -> Line:
        return Line(self.exchange, self.market_type)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one call: `value` where `error` is None, else `error`."""

    call: Call
    value: Any = None
    error: ExchangeError | None = None

    def unwrap(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class Gateway:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._loop: asyncio.AbstractEventLoop
        self._session: Session
        self._templates: dict[Line, Any] = {}
        self._capabilities: dict[Line, Capabilities] = {}
        self.pause_record = PauseRecord(lambda: time.monotonic())
        # What `exchanges.pauses` saw at its last look into the table: the lifts, and the ends of the pauses.
        self.pause_lifts: dict[PauseKey, int] | None = None
        self.pause_times: dict[PauseKey, datetime] = {}
        self._weights: dict[Line, WeightShares] = {}
        self._patient: dict[Line, OwnerPlaces] = {}
        # By owner, line and urgency: a host without connections holds up neither other hosts nor the owner's exits.
        self._doors: dict[tuple[int, Line, bool], asyncio.Semaphore] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._leaving: FairQueue[tuple[Call, Callable[[Outcome], None]]] = FairQueue()

    def start(self, calls: Sequence[Call], deliver: Callable[[Outcome], None]) -> None:
        """Sends all calls at once. The loop's thread calls `deliver` once for each call; `deliver` must not block."""
        self._ensure_running()
        self._loop.call_soon_threadsafe(self._spawn, tuple(calls), deliver)

    def call(self, call: Call) -> Any:
        """Makes one call and waits for the value. Raises ExchangeError."""
        return self.call_all([call])[0].unwrap()

    def call_all(self, calls: Sequence[Call]) -> list[Outcome]:
        """Makes all calls side by side and waits. Returns the outcomes in the order of the calls."""
        outcomes: dict[int, Outcome] = {}
        done = threading.Event()

        def deliver(outcome: Outcome) -> None:
            outcomes[id(outcome.call)] = outcome
            if len(outcomes) == len(calls):
                done.set()

        if calls:
            self.start(calls, deliver)
            done.wait()
        return [outcomes[id(call)] for call in calls]

    def install_markets(
        self, exchange: str, market_type: MarketType, raw_markets: Sequence[dict[str, Any]]
    ) -> None:
        """Gives the markets of the database to the exchange's clients."""
        self._ensure_running()

        async def install() -> None:
            install_markets(self._template(exchange, market_type), raw_markets)

        asyncio.run_coroutine_threadsafe(install(), self._loop).result()

    def capabilities(self, exchange: str, market_type: MarketType) -> Capabilities:
        """The capabilities of the exchange. The exchange's markets must be installed before."""
        key = Line(exchange, market_type)
        if key not in self._capabilities:
            self._ensure_running()
            reading = asyncio.run_coroutine_threadsafe(self._read_capabilities(key), self._loop)
            self._capabilities[key] = reading.result()
        return self._capabilities[key]

    async def _read_capabilities(self, key: Line) -> Capabilities:
        return self._adapter(*key, credentials=None).capabilities

    def pause(
        self, exchange: str, seconds: float, *, api_key: str = "", asked_s: int = 0, reason: str = ""
    ) -> None:
        """Lets no request leave to the exchange, or to one account there, for `seconds`, but at most MAX_PAUSE_S.

        Never shortens a pause.
        """
        key = PauseKey(exchange, key_digest(api_key))
        self.pause_record.begin(key, seconds, asked_s=asked_s, reason=reason)

    def pause_left_s(self, exchange: str, credentials: Credentials | None = None) -> float:
        """The seconds until the exchange takes requests of this address and account again; 0 without a pause."""
        if self.pause_record.is_empty:
            return 0.0
        return self.pause_record.left_s(*_pause_keys(exchange, credentials))

    def pauses(self) -> dict[str, float]:
        """The seconds left for each exchange with a pause of the whole address."""
        running = self.pause_record.running()
        return {key.exchange: pause.left_s for key, pause in running.items() if not key.key_digest}

    def has_room_for_entries(self, line: Line, count: int, *, owner: int) -> bool:
        """Whether this minute's request weight has room for so many entries of the owner.

        Exits and cancels ask nobody. The exchange's markets must be installed before.
        """
        weight = self.capabilities(*line).weight_per_minute
        return self._has_room(line, weight, owner, _FOR_ENTRIES, more=count)

    def may_probe(self, exchange: str, credentials: Credentials) -> bool:
        """Whether one exit of the account may go out now in spite of a pause, as a call with `is_probe`.

        True at most once a minute, and not within the first minute after the exchange's last refusal.
        """
        return self.pause_record.claim_probe(*_pause_keys(exchange, credentials))

    def set_clock(self, exchange: str, market_type: MarketType) -> None:
        """Makes later calls carry the exchange's time. Runs in the background; a failure leaves the time as before."""
        self._ensure_running()
        self._loop.call_soon_threadsafe(self._begin_set_clock, exchange, market_type)

    # On the loop's thread

    def _spawn(self, calls: Sequence[Call], deliver: Callable[[Outcome], None]) -> None:
        is_idle = not self._leaving
        for call in calls:
            self._leaving.put((call, deliver), owner=call.owner, is_urgent=call.is_urgent)
        if is_idle:  # first the calls of all who have asked in this turn of the loop, each on their own
            self._loop.call_soon(self._let_some_leave)

    def _let_some_leave(self) -> None:
        """Lets a few calls leave, and the rest afterwards: an owner's call waits for no fan-out of another owner."""
        for _ in range(min(_LEAVE_AT_ONCE, len(self._leaving))):
            call, deliver = self._leaving.pop()
            self._keep(self._loop.create_task(self._run(call, deliver)))
        if self._leaving:
            self._loop.call_soon(self._let_some_leave)

    def _keep(self, task: asyncio.Task[None]) -> None:
        """Keeps a reference to the task until the task ends, because the loop itself holds only a weak reference."""
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, call: Call, deliver: Callable[[Outcome], None]) -> None:
        if call.can_wait:
            async with self._patience(call):
                outcome = await self._passed(call)
        else:
            outcome = await self._passed(call)
        deliver(outcome)

    async def _passed(self, call: Call) -> Outcome:
        key = (call.owner, call.line, call.is_urgent)
        door = self._doors.get(key)
        if door is None:
            door = self._doors[key] = asyncio.Semaphore(_HANDSHAKES_AT_A_TIME)
        async with Passage(door, call.exchange) as passage:
            return await self._outcome(call, passage)

    @asynccontextmanager
    async def _patience(self, call: Call) -> AsyncIterator[None]:
        if call.line not in self._patient:
            self._patient[call.line] = OwnerPlaces(_PATIENT_AT_A_TIME, of_one_owner=_PATIENT_OF_ONE_OWNER)
        places, may_begin = self._patient[call.line], self._loop.create_future()
        places.ask(call.owner, partial(may_begin.set_result, None))
        await may_begin
        try:
            yield
        finally:
            places.give_back(call.owner)

    async def _outcome(self, call: Call, passage: Passage) -> Outcome:
        held_back = None if call.is_probe else self._held_back(call)
        if held_back is not None:
            return Outcome(call, error=held_back)
        outcome = await self._answered_outcome(call, passage)
        if call.is_probe and _is_heard(outcome.error):
            self.pause_record.end_by_probe(*_pause_keys(call.exchange, call.credentials))
            logger.info("pause ended by a probe exchange=%s", call.exchange)
        return outcome

    async def _answered_outcome(self, call: Call, passage: Passage) -> Outcome:
        try:
            async with asyncio.timeout(settings.EXCHANGE_TIMEOUT_S) as limit:
                return Outcome(call, value=await self._dispatch(call, limit, passage))
        except ExchangeError as error:
            self._note_pause(call.exchange, call.credentials, error)
            if error.code == CLOCK_SKEW:
                self._begin_set_clock(call.exchange, call.market_type)
            return Outcome(call, error=error)
        except TimeoutError:
            return Outcome(call, error=_late(passage))
        except Exception as error:
            # Boundary: after any failure the request may have been sent, and the caller must learn of the failure.
            logger.exception("exchange call failed exchange=%s verb=%s", call.exchange, call.verb)
            return Outcome(call, error=OutcomeUnknown(f"Unexpected {type(error).__name__}."))

    def _held_back(self, call: Call) -> ExchangeError | None:
        """Refuses the call during a pause, because an exchange bans an address for longer after further requests.

        An order gets Throttled, the exchange's own refusal, because the order certainly was not sent.
        """
        left_s = self.pause_left_s(call.exchange, call.credentials)
        if not left_s:
            return None
        words = "The exchange asked us to wait."
        if call.verb != PLACE_ORDER:
            return Unavailable(words, code="paused")
        per_account = not self.pause_left_s(call.exchange)
        return Throttled(words, retry_after_s=math.ceil(left_s), per_account=per_account)

    async def _dispatch(self, call: Call, limit: asyncio.Timeout, passage: Passage) -> Any:
        adapter = self._adapter(call.exchange, call.market_type, call.credentials)
        adapter.client.passage = passage
        adapter.client.restart_time = partial(self._restart_time, limit)
        weight = adapter.capabilities.weight_per_minute
        if call.can_wait and not self._has_room(call.line, weight, call.owner, _FOR_QUESTIONS):
            raise Unavailable(
                "This minute's request weight is kept for others, or for orders.", code="budget"
            )
        with self._lock:
            self._weight_of(call.line).note_call(_clock_minute(), call.owner)
        try:
            return await getattr(adapter, call.verb)(*call.args)
        except NotSent as error:
            if not _may_go_again(call, error, passage) or self.pause_left_s(call.exchange, call.credentials):
                raise
        # Without a connection nothing has left. The request goes again, once, at once, with the same client order id.
        return await getattr(adapter, call.verb)(*call.args)

    def _restart_time(self, limit: asyncio.Timeout) -> None:
        """Gives a history's next page the time of a whole call, because a long history takes many requests."""
        limit.reschedule(self._loop.time() + settings.EXCHANGE_TIMEOUT_S)

    def _weight_of(self, line: Line) -> WeightShares:
        shares = self._weights.get(line)
        if shares is None:
            shares = self._weights[line] = WeightShares()
        return shares

    def _has_room(self, line: Line, per_minute: int | None, owner: int, part: float, more: int = 0) -> bool:
        if per_minute is None:
            return True
        with self._lock:
            weights = self._weight_of(line)
            return weights.has_room(_clock_minute(), owner, limit=part * per_minute, more=more)

    def _note_weight(self, line: Line, minute: int, used: int) -> None:
        with self._lock:
            self._weight_of(line).note_used(minute, used)

    def _adapter(
        self, exchange: str, market_type: MarketType, credentials: Credentials | None
    ) -> CcxtAdapter:
        dialect = DIALECTS[EXCHANGES[exchange].dialect]
        client = clone_client(self._template(exchange, market_type), credentials)
        client.note_weight = partial(self._note_weight, Line(exchange, market_type), _clock_minute())
        return dialect.adapters[market_type](client, market_type)

    def _begin_set_clock(self, exchange: str, market_type: MarketType) -> None:
        """Sets the clock for later calls, for example after a refusal for clock skew. No refused call is repeated."""
        self._keep(self._loop.create_task(self._set_clock(exchange, market_type)))

    async def _set_clock(self, exchange: str, market_type: MarketType) -> None:
        if self.pause_left_s(exchange):
            return
        template = self._template(exchange, market_type)
        try:
            async with asyncio.timeout(settings.EXCHANGE_TIMEOUT_S):
                offset_ms = await read_clock_offset(template)
        except TimeoutError:
            logger.warning("clock not set exchange=%s code=timeout", exchange)
            return
        except ExchangeError as error:
            self._note_pause(exchange, None, error)
            logger.warning("clock not set exchange=%s code=%s", exchange, error.code)
            return
        template.options["timeDifference"] = offset_ms
        logger.info("clock set exchange=%s offset_ms=%s", exchange, offset_ms)

    def _note_pause(self, exchange: str, credentials: Credentials | None, error: ExchangeError) -> None:
        if not isinstance(error, Throttled):
            return
        api_key = credentials.api_key if error.per_account and credentials else ""
        asked_s = error.retry_after_s
        self.pause(exchange, asked_s, api_key=api_key, asked_s=asked_s, reason=_words_of(error))
        logger.warning(
            "exchange throttles exchange=%s one_account=%s retry_after_s=%s pause_s=%s",
            exchange, bool(api_key), asked_s, min(asked_s, MAX_PAUSE_S),
        )  # fmt: skip

    def _template(self, exchange: str, market_type: MarketType) -> Any:
        key = Line(exchange, market_type)
        if key not in self._templates:
            self._templates[key] = self._build(EXCHANGES[exchange], market_type)
        return self._templates[key]

    def _build(self, exchange: Exchange, market_type: MarketType) -> Any:
        return new_template(
            exchange.clients[market_type],
            transport=DIALECTS[exchange.dialect].transport,
            session=self._session,
            address=getattr(settings, exchange.setting) if exchange.setting else "",
        )

    # Life

    def forget_exchanges(self) -> None:
        """Drops clients, capabilities, pauses and used weight, as if the process had just started."""
        self._templates, self._capabilities = {}, {}
        self._weights = {}
        self.pause_record.clear()
        self.pause_lifts, self.pause_times = None, {}

    def _ensure_running(self) -> None:
        """Starts the loop on first use, and again in a forked child, because a fork does not copy the thread."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            self._templates, self._running = {}, set()
            self._leaving = FairQueue()  # the parent sends what was in it
            # Pauses stay: a child process has the same address.
            self._weights, self._patient, self._doors = {}, {}, {}
            self._loop = asyncio.new_event_loop()
            started = threading.Event()
            threading.Thread(target=self._serve, args=(started,), name="exchanges", daemon=True).start()
            started.wait()
            self._pid = os.getpid()

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._session = self._loop.run_until_complete(self._open_session())
        started.set()
        self._loop.run_forever()

    async def _open_session(self) -> Session:
        return new_session(
            ca_file=settings.EXCHANGE_CA_FILE,
            most_warm=settings.WARM_CONNECTIONS,
            may_open=lambda exchange: not self.pause_left_s(exchange),
        )


def _pause_keys(exchange: str, credentials: Credentials | None) -> tuple[PauseKey, ...]:
    address = PauseKey(exchange)
    return (address, PauseKey(exchange, key_digest(credentials.api_key))) if credentials else (address,)


def _may_go_again(call: Call, error: NotSent, passage: Passage) -> bool:
    is_command = call.verb in (PLACE_ORDER, CANCEL_ORDER)
    return is_command and error.code == UNREACHABLE and not passage.is_connected


def _late(passage: Passage) -> ExchangeError:
    if passage.is_connected:
        return OutcomeUnknown("No answer in time.", code="timeout")
    return NotSent("No connection in time.")


def _is_heard(error: ExchangeError | None) -> bool:
    """Whether the exchange read the request, also where it refused the order for another reason than the pause."""
    if isinstance(error, Throttled):
        return False
    return error is None or isinstance(error, Rejected | DuplicateClientOrderId | OrderNotFound)


def _words_of(error: ExchangeError) -> str:
    """The exchange's answer for a person: HTTP status, code and message."""
    return " ".join(filter(None, [str(error.http_status or ""), error.exchange_code, error.message]))


def _clock_minute() -> int:
    """The number of the present minute. Exchanges count request weight by the minutes of the clock."""
    return int(time.time()) // 60


gateway = Gateway()
