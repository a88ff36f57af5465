"""Follows the working orders of accounts by the exchanges' lists of open orders.

One list answers for all orders of an account and symbol. A listed order with the filled quantity of our books is alive,
and gets `checked_at`. An order that moved, or that is not listed, is looked up on its own: a list proves nothing but
life.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, Min, Q
from django.db.models.functions import Coalesce

from exchanges.enums import MarketType, OrderType
from exchanges.errors import ExchangeError
from exchanges.gateway import Call, Line, Outcome, gateway
from exchanges.market_data import catalog
from exchanges.models import Account
from exchanges.shares import FairQueue
from orders.domain.lifecycle import IN_FLIGHT, WORKING
from orders.execution.answers import AnswerQueue
from orders.models import Order
from orders.outside.subjects import Subject, only_ready
from orders.reconciliation.open_order_lists import (
    Known,
    Listing,
    OpenOrders,
    Questions,
    cheapest_questions,
    one_by_one,
)
from orders.reconciliation.request_weight import Rooms

logger = logging.getLogger(__name__)

FOLLOW_EVERY = timedelta(seconds=5)
FOLLOWED = WORKING - IN_FLIGHT
# Questions that can wait may use half of an exchange's request weight: lists use so much, see also
# orders.reconciliation.request_weight.
PART_OF_WEIGHT = 0.25
_KEEP_WEIGHT = timedelta(seconds=10)
_NOT_NOW = frozenset({"budget", "paused"})  # the list was not asked for


class Place(NamedTuple):
    """An account and a market type, whose orders are followed together."""

    account_id: int
    market_type: str


@dataclass(slots=True)
class Followed:
    """The working orders of a place: their number by symbol and order type, and the time of the oldest answer."""

    line: Line
    owner: int
    checked_at: datetime
    counts: dict[tuple[str, OrderType], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListCall:
    """A list that was asked for at `asked_at`."""

    place: Place
    listing: Listing
    asked_at: datetime


class Answered(NamedTuple):
    asked: ListCall
    listed: OpenOrders


class Following:
    """Asks for lists and reads the answers; the caller looks up the orders that are returned.

    Not thread-safe: one thread starts the questions and takes the answers.
    """

    def __init__(self, clock: Callable[[], datetime], *, trackers: Callable[[], int] = lambda: 1) -> None:
        self._clock = clock
        self._answers: AnswerQueue[Outcome] = AnswerQueue()
        self._asked: dict[Place, datetime] = {}
        self._waiting: dict[Place, int] = defaultdict(int)  # lists under way
        self._failed: set[Place] = set()  # places whose last list was no answer
        self._rooms = Rooms(PART_OF_WEIGHT, keep=_KEEP_WEIGHT, trackers=trackers)

    @property
    def under_way(self) -> int:
        return sum(self._waiting.values())

    def start(self, *, is_ours: Callable[[int], bool], everything: bool = False) -> list[Order]:
        """Asks for the due lists. Returns the due orders about which no list tells.

        `is_ours` tells by account what falls to this tracker. With `everything`, all working orders are due, and the
        weight is not shared out over time.
        """
        now = self._clock()
        limit = now if everything else now - FOLLOW_EVERY
        followed = _read_followed(is_ours)
        self._asked = {place: at for place, at in self._asked.items() if place in followed}
        due = [place for place in followed if self._is_due(place, followed[place], limit)]
        due.sort(key=lambda place: followed[place].checked_at)
        known = _known_lines({followed[place].line for place in due}, now)
        plans = {
            place: self._questions(place, followed[place]) for place in due if followed[place].line in known
        }
        chosen = plans if everything else self._within_weight(plans, followed, now)
        self._asked |= dict.fromkeys(chosen, now)
        self._ask({place: plans[place] for place in chosen}, now)
        return _orders_alone({place: plans[place].alone for place in chosen}, limit)

    def take(self) -> list[Order]:
        """Reads the lists that have come. Returns the orders to look up at once: they moved, or are not listed."""
        return self._conclude(self._answers.take())

    def wait(self, timeout_s: float) -> list[Order]:
        return self._conclude(self._answers.wait(timeout_s))

    # Asking

    def _is_due(self, place: Place, followed: Followed, limit: datetime) -> bool:
        asked = self._asked.get(place)
        return (
            not self._waiting.get(place) and followed.checked_at < limit and (asked is None or asked < limit)
        )

    def _questions(self, place: Place, followed: Followed) -> Questions:
        choose = one_by_one if place in self._failed else cheapest_questions
        return choose(followed.counts, gateway.capabilities(*followed.line))

    def _within_weight(
        self, plans: Mapping[Place, Questions], followed: Mapping[Place, Followed], now: datetime
    ) -> list[Place]:
        """The places for whose questions there is room: by turns of owners, the oldest answer first."""
        queue: FairQueue[Place] = FairQueue()
        for place in plans:
            queue.put(place, owner=followed[place].owner, is_urgent=False)
        chosen = []
        for place in (queue.pop() for _ in range(len(queue))):
            if self._rooms.spend(followed[place].line, plans[place].weight, now=now):
                chosen.append(place)
        return chosen

    def _ask(self, plans: Mapping[Place, Questions], now: datetime) -> None:
        accounts = Account.objects.in_bulk({place.account_id for place in plans})
        by_subject = {Subject(accounts[p.account_id], MarketType(p.market_type)): p for p in plans}
        calls: list[Call] = []
        for subject in only_ready(by_subject, now=now):
            place = by_subject[subject]
            self._failed.discard(place)
            for listing in plans[place].listings:
                call = subject.call("fetch_open_orders", listing.symbol, listing.order_types)
                calls.append(replace(call, tag=ListCall(place, listing, now)))
                self._waiting[place] += 1
        self._answers.expect(len(calls))
        if calls:
            gateway.start(calls, self._answers.put)

    # Reading

    def _conclude(self, outcomes: Sequence[Outcome]) -> list[Order]:
        answered: list[Answered] = []
        for outcome in outcomes:
            asked: ListCall = outcome.call.tag
            self._waiting[asked.place] -= 1
            if not self._waiting[asked.place]:
                del self._waiting[asked.place]
            if outcome.error is None:
                answered.append(Answered(asked, OpenOrders(outcome.value)))
            else:
                self._note_failure(outcome.call, outcome.error)
        return _read_answers(answered) if answered else []

    def _note_failure(self, call: Call, error: ExchangeError) -> None:
        if error.code not in _NOT_NOW:
            self._failed.add(call.tag.place)
        else:
            self._rooms.empty(call.line)


def _read_followed(is_ours: Callable[[int], bool]) -> dict[Place, Followed]:
    """What is followed, in one statement: a place has a few lines, however many orders."""
    rows = Order.objects.filter(status__in=FOLLOWED).order_by()
    columns = ("account_id", "market_type", "account__exchange", "account__owner_id", "symbol", "order_type")
    lines = rows.values_list(*columns).annotate(
        number=Count("pk"), oldest=Min(Coalesce("checked_at", "created_at"))
    )
    found: dict[Place, Followed] = {}
    for account, kind, exchange, owner, symbol, order_type, number, oldest in lines:
        if not is_ours(account):
            continue
        line = Line(exchange, MarketType(kind))
        followed = found.setdefault(Place(account, kind), Followed(line, owner, oldest))
        followed.checked_at = min(followed.checked_at, oldest)
        followed.counts[symbol, OrderType(order_type)] = number
    return found


def _known_lines(lines: Iterable[Line], now: datetime) -> set[Line]:
    """The lines whose markets are known: the adapter reads an answer with the exchange's markets."""
    known = set()
    for line in lines:
        opened = catalog.catalog_or_error(line, now=now)
        if isinstance(opened, ExchangeError):
            logger.warning("markets unavailable exchange=%s code=%s", line.exchange, opened.code)
        else:
            known.add(line)
    return known


def _orders_alone(alone: Mapping[Place, Collection[tuple[str, OrderType]]], limit: datetime) -> list[Order]:
    """The due orders of the symbols and order types that no list covers, in turn of their last answers."""
    places = {place: keys for place, keys in alone.items() if keys}
    if not places:
        return []
    rows = Order.objects.filter(status__in=FOLLOWED, account__in={place.account_id for place in places})
    rows = rows.filter(Q(checked_at__lt=limit) | Q(checked_at__isnull=True, created_at__lt=limit))
    return [
        order
        for order in rows.select_related("account").order_by(Coalesce("checked_at", "created_at"))
        if (order.symbol, order.order_type) in places.get(Place(order.account_id, order.market_type), ())
    ]


def _read_answers(answered: Sequence[Answered]) -> list[Order]:
    """Stamps the orders that are alive as before. Returns the others, which moved or are not listed."""
    by_place: dict[Place, list[Answered]] = defaultdict(list)
    for answer in answered:
        by_place[answer.asked.place].append(answer)
    rows = Order.objects.filter(status__in=FOLLOWED, account__in={place.account_id for place in by_place})
    columns = ("account_id", "market_type", "symbol", "order_type", "submitted_at", "unknown_since")
    alive: list[int] = []
    changed: list[int] = []
    for pk, reads, account, kind, symbol, order_type, sent_at, unknown_since, *known in rows.values_list(
        "pk", "absent_reads", *columns, "client_order_id", "exchange_order_id", "filled"
    ):
        for asked, listed in by_place.get(Place(account, kind), ()):
            if not asked.listing.covers(symbol, order_type) or sent_at >= asked.asked_at:
                continue
            is_sure = unknown_since is None and not reads
            (alive if is_sure and listed.has_alive(Known(*known)) else changed).append(pk)
    _stamp_alive(alive, min(answer.asked.asked_at for answer in answered))
    return list(Order.objects.filter(pk__in=changed).select_related("account").order_by("pk"))


def _stamp_alive(alive: Collection[int], asked_at: datetime) -> None:
    """Writes when the orders were seen. All get the earliest time, as look-ups that are written together do."""
    if alive:
        older = Q(answered_at__isnull=True) | Q(answered_at__lt=asked_at)
        Order.objects.filter(older, pk__in=alive).update(checked_at=asked_at, answered_at=asked_at)
