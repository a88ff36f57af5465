"""The markets of each exchange: loaded once without keys, kept in the database, shared in memory.

After a restart the first order needs no request for markets. The worker replaces an old list. Where the database has no
list, the first caller asks the exchange, and callers who ask meanwhile share the answer. No lock is held during a
request, and whoever takes the answer stores the list, because the gateway's thread must not wait for the database.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from django.conf import settings
from django.db.models import Q

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType
from exchanges.errors import ExchangeError, Unavailable
from exchanges.gateway import Call, Line, Outcome, gateway
from exchanges.market_data.symbols import SymbolIndex
from exchanges.models import Market, MarketList
from exchanges.registry import EXCHANGES
from exchanges.shares import NOBODY

_RECHECK = timedelta(seconds=60)
_JUST_NOW = timedelta(minutes=5)
FIRST_LIST_WITHIN_S = 2.0  # senders wait 3 s


@dataclass(slots=True)
class MarketCatalog:
    """All markets of one exchange and market type. Callers never change a catalog."""

    specs: dict[str, MarketSpec]
    index: SymbolIndex
    loaded_at: datetime
    checked_at: datetime

    def resolve(self, text: str) -> MarketSpec:
        """Raises exchanges.market_data.symbols.SymbolError."""
        return self.index.resolve(text)


Catalogs = dict[str, MarketCatalog | ExchangeError]
Notify = Callable[[], None]


@dataclass(slots=True, eq=False)
class _Load:
    """One question for a list. `outcome` is None until the answer."""

    asked_at: datetime
    began: float = field(default_factory=time.monotonic)
    outcome: Outcome | None = None
    done: threading.Event = field(default_factory=threading.Event)
    waiting: set[Notify] = field(default_factory=set)

    @property
    def is_overdue(self) -> bool:
        """Whether the answer takes longer than a call may: the question waits behind other calls of its owner."""
        return self.outcome is None and time.monotonic() - self.began > settings.EXCHANGE_TIMEOUT_S

    def may_serve(self, since: datetime) -> bool:
        """Whether the answer is on its way, or is a list of a question since then that nobody has stored."""
        if self.outcome is None:
            return not self.is_overdue
        return self.outcome.error is None and self.asked_at >= since


_catalogs: dict[Line, MarketCatalog] = {}
_loads: dict[Line, _Load] = {}
_guard = threading.Lock()  # of `_loads`
_locks: dict[Line, threading.Lock] = defaultdict(threading.Lock)  # of the database's list
_EVER = datetime.min.replace(tzinfo=UTC)


def _forget_in_child() -> None:
    """The clients of a forked process have no markets installed yet, and no answer reaches the process."""
    _catalogs.clear()
    _loads.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def open_catalog(
    exchange: str, market_type: MarketType, *, now: datetime, owner: int = NOBODY
) -> MarketCatalog:
    """Returns the catalog from memory, else from the database, else from the exchange, in the share of `owner`.

    Raises ExchangeError where the catalog had to come from the exchange, and did not come.
    """
    return _opened(Line(exchange, market_type), now, owner, wait_s=None)


def open_catalogs(
    exchanges: Iterable[str], market_type: MarketType, *, now: datetime, owner: int = NOBODY
) -> Catalogs:
    """The catalog of each exchange, or the error that kept the catalog away."""
    return {
        exchange: catalog_or_error(Line(exchange, market_type), now=now, owner=owner)
        for exchange in set(exchanges)
    }


def catalog_or_error(line: Line, *, now: datetime, owner: int = NOBODY) -> MarketCatalog | ExchangeError:
    """As `open_catalog`, without a long wait.

    A list that no one has loaded yet is waited for during the first FIRST_LIST_WITHIN_S of the question, whoever asked.
    So an exchange that hangs holds threads for so long, and not again before the question has timed out.
    """
    try:
        return _opened(line, now, owner, wait_s=FIRST_LIST_WITHIN_S)
    except ExchangeError as error:
        return error


def _opened(line: Line, now: datetime, owner: int, *, wait_s: float | None) -> MarketCatalog:
    known = _stored_catalog(line, now)
    if known is not None:
        return known
    load = _join_load(line, _EVER, asked_at=now, owner=owner)
    if not load.done.wait(None if wait_s is None else max(0.0, load.began + wait_s - time.monotonic())):
        raise Unavailable("The exchange has not listed its markets yet.", code="markets_on_their_way")
    return _keep_list(line, load, now)


def catalog_in_memory(line: Line, *, now: datetime) -> MarketCatalog | None:
    """The catalog that no look into the database is due for; asks nobody."""
    known = _catalogs.get(line)
    return known if known is not None and now - known.checked_at < _RECHECK else None


def fresh_catalog(
    line: Line, since: datetime, *, now: datetime, owner: int, notify: Notify
) -> MarketCatalog | ExchangeError | None:
    """The catalog where it is younger than `since`, because a refusal of that time contradicts an older one.

    Else asks the exchange in the background, in the share of `owner`, and returns None; an error where the answer takes
    longer than EXCHANGE_TIMEOUT_S, so that an exit goes on. At the answer the gateway's
    thread calls `notify`, which must not block, and the next call finds the catalog, or the error that kept it away.
    """
    with _locks[line]:
        known = _younger(line, since, now)
    if known is not None:
        return known
    with _guard:
        load = _loads.get(line)
    if load is not None and load.outcome is not None and load.asked_at >= since:
        return _kept_or_error(line, load, now)
    if load is not None and load.is_overdue:
        _drop(line, load)
        return Unavailable("The exchange takes too long to list its markets.", code="markets_on_their_way")
    # The time of the refusal is in the future where the clock was set back meanwhile.
    load = _join_load(line, since, asked_at=max(now, since), owner=owner, notify=notify)
    return _kept_or_error(line, load, now) if load.outcome is not None and load.asked_at >= since else None


def _kept_or_error(line: Line, load: _Load, now: datetime) -> MarketCatalog | ExchangeError:
    try:
        return _keep_list(line, load, now)
    except ExchangeError as error:
        return error


def _join_load(
    line: Line, since: datetime, *, asked_at: datetime, owner: int, notify: Notify | None = None
) -> _Load:
    """The question that is on its way or has brought a list since then, else a new question.

    The call counts for whoever asked first; the others share the answer.
    """
    with _guard:
        load = _loads.get(line)
        is_new = load is None or not load.may_serve(since)
        if load is None or is_new:
            _loads[line] = load = _Load(asked_at)
        if notify is not None and load.outcome is None:
            load.waiting.add(notify)
    if is_new:
        call = Call(*line, "load_markets", owner=owner, is_urgent=notify is not None)
        try:
            gateway.start([call], partial(_deliver_list, load))
        except RuntimeError:  # no thread, or the loop is closed: no answer would ever come
            _drop(line, load)
            raise
    return load


def _drop(line: Line, load: _Load) -> None:
    """Forgets the question, so that the next caller asks anew."""
    with _guard:
        if _loads.get(line) is load:
            del _loads[line]


def _deliver_list(load: _Load, outcome: Outcome) -> None:
    with _guard:
        load.outcome = outcome
        waiting, load.waiting = load.waiting, set()
    load.done.set()
    for notify in waiting:
        notify()


def _keep_list(line: Line, load: _Load, now: datetime) -> MarketCatalog:
    """Stores the list that arrived, unless another caller did. Raises ExchangeError."""
    assert load.outcome is not None
    specs = load.outcome.unwrap()
    with _locks[line]:
        known = _younger(line, load.asked_at, now)
        if known is None:
            try:
                _store_list(line, specs, load.asked_at)
            except ExchangeError as error:
                load.outcome = Outcome(load.outcome.call, error=error)
                raise
            known = _read_catalog(line, load.asked_at, now)
    _drop(line, load)
    return known


def reload_markets(exchange: str, market_type: MarketType, *, now: datetime) -> int:
    """Fetches the markets from the exchange, waits, and stores the markets. Returns their number.

    Raises ExchangeError.
    """
    line = Line(exchange, market_type)
    specs = gateway.call(Call(*line, "load_markets"))
    _store_list(line, specs, now)
    return len(specs)


def _store_list(line: Line, specs: Sequence[MarketSpec], loaded_at: datetime) -> None:
    """Stores the markets that the exchange listed. Raises ExchangeError.

    A list in which more than half of the open markets are closed is refused, because such a list tells of maintenance
    at the exchange and not of the markets.
    """
    if not specs:
        raise Unavailable("The exchange listed no markets.", code="no_markets")
    open_before = Market.objects.of(*line).active().symbols()
    open_now = {spec.symbol for spec in specs if spec.is_active}
    if 2 * len(open_before & open_now) < len(open_before):
        raise Unavailable("The exchange lists most of its markets as closed.", code="markets_closed")
    Market.objects.replace(line.exchange, specs, now=loaded_at)


def reload_soon(exchange: str, market_type: MarketType, *, now: datetime) -> None:
    """Asks the worker to reload a list that a refusal contradicts, unless the list is less than 5 minutes old."""
    lists = MarketList.objects.filter(exchange=exchange, market_type=market_type, is_doubted=False)
    lists.filter(loaded_at__lt=now - _JUST_NOW).update(is_doubted=True)


def reload_old(*, now: datetime) -> dict[str, str]:
    """Reloads every list of a registered exchange that is doubted or older than MARKETS_MAX_AGE_S.

    Returns the number of markets, or the code of the error, by list. A failure of one exchange stops no other exchange.
    """
    limit = now - timedelta(seconds=settings.MARKETS_MAX_AGE_S)
    outcome = {}
    for row in MarketList.objects.filter(Q(loaded_at__lt=limit) | Q(is_doubted=True)):
        if row.exchange not in EXCHANGES:
            continue
        try:
            outcome[str(row)] = str(reload_markets(row.exchange, MarketType(row.market_type), now=now))
        except ExchangeError as error:
            outcome[str(row)] = error.code
    return outcome


def forget_catalogs() -> None:
    """Drops all catalogs in memory, as if the process had just started."""
    _catalogs.clear()
    with _guard:
        _loads.clear()


def _stored_catalog(line: Line, now: datetime) -> MarketCatalog | None:
    """The catalog from memory, or from the database where memory is old; None where there is no list."""
    known = catalog_in_memory(line, now=now)
    if known is not None:
        return known
    with _locks[line]:
        if (faster := catalog_in_memory(line, now=now)) is not None:
            return faster  # of another thread
        known, loaded_at = _catalogs.get(line), _list_loaded_at(line)
        if loaded_at is None:
            return None
        if known is not None and known.loaded_at == loaded_at:
            known.checked_at = now
            return known
        return _read_catalog(line, loaded_at, now)


def _younger(line: Line, since: datetime, now: datetime) -> MarketCatalog | None:
    """The catalog that is not older than `since`, from memory or the database. The caller holds the line's lock."""
    known = _catalogs.get(line)
    if known is not None and known.loaded_at >= since:
        return known
    loaded_at = _list_loaded_at(line)
    return None if loaded_at is None or loaded_at < since else _read_catalog(line, loaded_at, now)


def _list_loaded_at(line: Line) -> datetime | None:
    stored = MarketList.objects.filter(exchange=line.exchange, market_type=line.market_type)
    return stored.values_list("loaded_at", flat=True).first()


def _read_catalog(line: Line, loaded_at: datetime, now: datetime) -> MarketCatalog:
    specs = {row.symbol: row.to_spec() for row in Market.objects.of(*line)}
    gateway.install_markets(*line, [spec.raw for spec in specs.values()])
    fresh = MarketCatalog(specs, SymbolIndex(specs.values()), loaded_at, now)
    _catalogs[line] = fresh
    return fresh
