"""What leaves for an exchange, and what stays here: request weight, pauses, clocks."""

import asyncio
import threading
import time
from datetime import timedelta
from decimal import Decimal
from itertools import count

import aiohttp
import pytest
from ccxt.base.exchange import BaseExchange
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from exchanges import gateway as module
from exchanges import pauses
from exchanges.adapters.binance import BinanceFutures, BinanceSpot
from exchanges.adapters.ccxt_adapter import CcxtAdapter
from exchanges.adapters.protocol import Credentials, OrderKey, OrderRequest
from exchanges.enums import MarketType, OrderType, Side
from exchanges.errors import ExchangeError, NotSent, OutcomeUnknown, Throttled, Unavailable
from exchanges.gateway import Call, Line, gateway
from exchanges.market_data import catalog, prices
from exchanges.models import ExchangePause
from exchanges.pause_record import Pause, PauseKey, key_digest
from exchanges.vault import credentials_of
from tests.desk import PERSON, order_posts
from tests.factories import AccountFactory
from tests.waiting import LONG_S, eventually

pytestmark = pytest.mark.django_db(transaction=True)

FUTURES, SPOT = MarketType.FUTURES, MarketType.SPOT
LINE = ("paper", FUTURES)
ALICE, BOB = Credentials("alice-key", "alice-secret"), Credentials("bob-key", "bob-secret")
BTC = "BTC/USDT:USDT"


def ask(verb="fetch_balance", *args, market_type=FUTURES, credentials=ALICE, **more):
    return Call("paper", market_type, verb, args, credentials, **more)


@pytest.fixture
def minute(exchange_minute):
    return exchange_minute


@pytest.fixture
def books(paper, minute):
    for kind in (FUTURES, SPOT):
        catalog.open_catalog("paper", kind, now=timezone.now())


def use(weight, minute=1000, line=LINE):
    gateway._weight_of(Line(*line)).note_used(minute, weight)


def used(line=LINE):
    """Minute and weight."""
    weights = gateway._weight_of(Line(*line))
    return weights.minute, weights.used


# Request weight


def test_every_answer_tells_how_much_weight_is_used(books):
    gateway.call(ask())
    first = used()

    gateway.call(ask())

    assert used() == (1000, first[1] + 5)


def test_a_refusal_tells_it_too(books, minute, paper):
    gateway.call(ask())
    minute[0] += 1
    paper.open_account(ALICE.api_key, "another secret")

    with pytest.raises(Exception, match="Signature"):
        gateway.call(ask())

    assert used()[0] == 1001


def test_spot_and_futures_are_counted_apart(books):
    gateway.call(ask())
    futures = used()
    gateway.call(ask(market_type=SPOT))

    assert used() == futures
    assert used(("paper", SPOT))[1] >= 20


@pytest.mark.parametrize(("kind", "per_minute"), [(FUTURES, 2400), (SPOT, 6000)])
def test_what_can_wait_leaves_half_of_the_weight_to_orders(books, paper, kind, per_minute):
    use(per_minute // 2 + 1, line=("paper", kind))
    before = len(paper.requests())

    patient, urgent = gateway.call_all([ask(market_type=kind, can_wait=True), ask(market_type=kind)])

    assert (type(patient.error), patient.error.code) == (Unavailable, "budget")
    assert urgent.error is None
    assert len(paper.requests()) == before + 1


@pytest.mark.parametrize(
    ("weight", "minute_of_it", "line"), [(1200, 1000, LINE), (2400, 999, LINE), (6000, 1000, ("paper", SPOT))]
)
def test_weight_below_half_of_an_earlier_minute_or_another_host_keeps_nothing_back(
    books, weight, minute_of_it, line
):
    use(weight, minute_of_it, line)

    assert gateway.call(ask(can_wait=True))


def test_a_late_answer_does_not_undo_what_is_known_of_this_minute(books, minute, edge):
    late, answered = edge.hold("fetch_balance", before=True), []
    gateway.start([ask()], answered.append)
    late.wait_for()
    minute[0] += 1
    gateway.call(ask("fetch_positions"))
    known = used()

    late.release()
    eventually(lambda: answered, what="the late answer")

    assert used() == known
    assert known[0] == 1001


def test_an_exchange_that_tells_no_limit_keeps_nothing_back(books, monkeypatch):
    monkeypatch.setattr(BinanceFutures, "capabilities", CcxtAdapter.capabilities)
    use(10**6)

    assert gateway.call(ask(can_wait=True))


def test_few_that_can_wait_run_at_a_time_and_waiting_costs_them_nothing(books, monkeypatch, settings):
    settings.EXCHANGE_TIMEOUT_S = 1  # less than the last of them wait and run
    running, most = 0, 0

    async def slow(self):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.3)
        running -= 1

    monkeypatch.setattr(BinanceFutures, "fetch_balance", slow)

    outcomes = gateway.call_all([ask(can_wait=True, owner=number % 2) for number in range(32)])

    assert most == 8
    assert [outcome.error for outcome in outcomes] == [None] * 32


def test_questions_of_one_owner_delay_no_other_owners(books, edge):
    slow, finished = edge.hold("fetch_balance"), []
    gateway.start([ask(can_wait=True, owner=1) for _ in range(40)], finished.append)
    slow.wait_for(6)

    gateway.call(ask("fetch_positions", can_wait=True, owner=2))

    assert finished == []
    slow.release()
    eventually(lambda: len(finished) == 40, what="those of the first owner")


def test_an_owner_leaves_the_others_their_part_of_the_weight_for_questions(books, minute):
    gateway.call(ask("fetch_positions", owner=2))
    for _ in range(9):
        gateway.call(ask("fetch_positions", owner=1))
    use(800)

    alice, bob = (gateway.call_all([ask(can_wait=True, owner=owner)])[0] for owner in (1, 2))

    assert (type(alice.error), alice.error.code) == (Unavailable, "budget")
    assert bob.error is None


def test_those_that_cannot_wait_do_not_queue_behind_those_that_can(books, edge):
    slow, finished = edge.hold("fetch_balance"), []
    gateway.start([ask(can_wait=True) for _ in range(16)], finished.append)
    slow.wait_for(6)

    gateway.call(ask("fetch_positions"))

    assert finished == []
    slow.release()
    eventually(lambda: len(finished) == 16, what="those that can wait")


def test_a_fan_out_that_can_wait_stops_at_half_of_the_limit(books, paper):
    calls = [ask("fetch_open_orders", can_wait=True) for _ in range(60)]  # 80 each

    outcomes = gateway.call_all(calls)

    assert {outcome.error and outcome.error.code for outcome in outcomes} == {None, "budget"}
    assert 1200 < used()[1] <= 1200 + 8 * 80


@pytest.mark.parametrize(
    ("kind", "symbol", "weight"),
    [(FUTURES, "", 80), (FUTURES, BTC, 2), (SPOT, "", 80), (SPOT, "BTC/USDT", 6)],
)
def test_open_orders_of_one_symbol_weigh_less(books, kind, symbol, weight):
    gateway.call(ask("fetch_prices", ["BTC/USDT" if kind is SPOT else BTC], market_type=kind))
    before = used(("paper", kind))[1]

    gateway.call(ask("fetch_open_orders", *filter(None, [symbol]), market_type=kind))

    assert used(("paper", kind))[1] - before == weight


def test_adapters_tell_the_weight_that_their_exchange_allows():
    assert (BinanceSpot.capabilities.weight_per_minute, BinanceFutures.capabilities.weight_per_minute) == (
        6000,
        2400,
    )


# Pauses


def order(name="mine-1", symbol=BTC, quantity="0.01", price="80000"):
    return OrderRequest(name, symbol, Side.BUY, OrderType.LIMIT, Decimal(quantity), Decimal(price))


KEY = OrderKey(BTC, "mine-1")


def throttle(paper, value, retry_after=30, **fault):
    paper.fault(action="code", value=value, retry_after=retry_after, **fault)


def test_an_account_that_ordered_too_much_pauses_alone(books, paper):
    throttle(paper, -1015, api_key=ALICE.api_key)
    with pytest.raises(Throttled) as caught:
        gateway.call(ask("place_order", order()))

    assert caught.value.per_account
    assert gateway.pause_left_s("paper") == pytest.approx(0)
    assert 25 < gateway.pause_left_s("paper", ALICE) <= 30
    assert gateway.pause_left_s("paper", BOB) == 0
    assert gateway.call(ask("place_order", order(), credentials=BOB)).order_id


@pytest.mark.parametrize(("value", "more"), [(-1003, {}), (-1015, {"status": 418})])
def test_an_address_that_asked_too_much_pauses_all_of_its_accounts(books, paper, value, more):
    throttle(paper, value, api_key=ALICE.api_key, **more)
    with pytest.raises(Throttled) as caught:
        gateway.call(ask("place_order", order()))

    assert not caught.value.per_account
    assert all(25 < gateway.pause_left_s("paper", one) <= 30 for one in (None, ALICE, BOB))


def test_the_longer_pause_holds(books):
    gateway.pause("paper", 50)
    gateway.pause("paper", 10)
    gateway.pause("paper", 80, api_key=ALICE.api_key)

    assert 45 < gateway.pause_left_s("paper", BOB) <= 50
    assert 75 < gateway.pause_left_s("paper", ALICE) <= 80


@pytest.mark.parametrize("api_key", ["", ALICE.api_key])
def test_nothing_leaves_during_a_pause(books, paper, api_key):
    gateway.pause("paper", 20.5, api_key=api_key)
    calls = [
        ask("fetch_order", KEY),
        ask("cancel_order", KEY),
        ask("set_leverage", BTC, 2),
        ask(market_type=SPOT),
        ask("place_order", order()),
    ]

    *others, placed = [outcome.error for outcome in gateway.call_all(calls)]

    assert {(type(error), error.code) for error in others} == {(Unavailable, "paused")}
    assert (type(placed), placed.code, placed.retry_after_s) == (Throttled, "throttled", 21)
    assert placed.per_account is bool(api_key)
    assert paper.requests() == []
    assert gateway.pause_left_s("paper", ALICE) == 20.5  # what we say to ourselves makes it no longer


def test_the_clock_is_not_asked_for_during_a_pause(books, paper, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "read_clock_offset", asked.append)
    gateway.pause("paper", 20)

    gateway.set_clock(*LINE)
    with pytest.raises(Unavailable):
        gateway.call(ask())  # comes behind it

    assert asked == []


@pytest.mark.parametrize("asked_s", [601, 86_400])
def test_no_exchange_silences_us_for_longer_than_ten_minutes(books, paper, asked_s):
    throttle(paper, -1003, retry_after=asked_s)
    with pytest.raises(Throttled):
        gateway.call(ask("place_order", order()))

    (pause,) = gateway.pause_record.running().values()

    # The pause ends by the monotonic clock, and the sum and the difference of two floats do not cancel out exactly.
    assert (pause.left_s, pause.asked_s) == (pytest.approx(600), asked_s)
    assert pause.reason.startswith("429 -1003 Too many requests")


def test_a_pause_of_a_question_is_told_also_where_the_rows_were_just_read(books, paper):
    pauses.synchronize(now=timezone.now())
    gateway.pause("paper", 60)

    pauses.synchronize(now=timezone.now(), within_s=60)

    assert ExchangePause.objects.get().length_s > 0


def test_rows_that_were_just_read_are_not_read_again(books, paper, django_assert_num_queries):
    pauses.synchronize(now=timezone.now())
    with django_assert_num_queries(0):
        pauses.synchronize(now=timezone.now(), within_s=60)
    asked_at = time.monotonic()
    pauses.synchronize(now=timezone.now())
    ExchangePause.objects.create(
        exchange="paper", until=timezone.now() + timedelta(minutes=1), length_s=60, told_at=timezone.now()
    )

    pauses.take_over(ExchangePause.objects.all(), asked_at=asked_at - 60, now=timezone.now())
    assert not gateway.pause_record.running()  # older than what is known
    pauses.take_over(ExchangePause.objects.all(), asked_at=time.monotonic(), now=timezone.now())
    assert gateway.pause_record.running()


# Probes


def pass_time(seconds):
    """The gateway's clock stands still otherwise."""
    started = module.time.monotonic()
    module.time.monotonic = lambda: started + seconds


@pytest.mark.parametrize("api_key", ["", ALICE.api_key])
def test_one_exit_a_minute_may_see_whether_the_pause_is_over(books, minute, api_key):
    gateway.pause("paper", 600, api_key=api_key)
    claims = [gateway.may_probe("paper", ALICE)]
    for _ in range(2):
        pass_time(60)
        claims += [gateway.may_probe("paper", ALICE), gateway.may_probe("paper", ALICE)]

    assert claims == [False, True, False, True, False]


def test_without_a_pause_there_is_nothing_to_probe(books, minute):
    pass_time(60)

    assert not gateway.may_probe("paper", ALICE)


def test_a_probe_that_is_heard_ends_the_pause_for_every_process(books, paper, minute, new_process):
    gateway.pause("paper", 600)
    gateway.pause("paper", 600, api_key=ALICE.api_key)
    pauses.synchronize(now=timezone.now())

    gateway.call(ask("place_order", order(), is_probe=True))

    assert gateway.pause_left_s("paper", ALICE) == 0
    pauses.synchronize(now=timezone.now())
    new_process()
    pauses.synchronize(now=timezone.now())
    assert gateway.pause_left_s("paper", ALICE) == 0


def test_a_probe_that_is_refused_for_another_reason_was_heard(books, paper):
    gateway.pause("paper", 600)
    paper.fault(action="code", value=-2019)

    with pytest.raises(ExchangeError):
        gateway.call(ask("place_order", order(), is_probe=True))

    assert gateway.pause_left_s("paper") == pytest.approx(0)


@pytest.mark.parametrize(
    "fault", [{"action": "code", "value": -1003}, {"action": "drop"}, {"action": "status", "value": 500}]
)
def test_a_probe_that_is_not_heard_leaves_the_pause(books, paper, minute, fault):
    gateway.pause("paper", 600)
    pass_time(60)
    assert gateway.may_probe("paper", ALICE)
    paper.fault(**fault)

    with pytest.raises(ExchangeError):
        gateway.call(ask("place_order", order(), is_probe=True))

    assert gateway.pause_left_s("paper") == pytest.approx(540)
    assert not gateway.may_probe("paper", ALICE)


# Pauses of other processes


def tell(until, length_s=600, exchange="paper"):
    """Another process tells of a pause of the whole address."""
    row, _ = ExchangePause.objects.update_or_create(
        exchange=exchange, key_digest="", defaults={"until": until, "length_s": length_s}
    )
    return row


@pytest.mark.parametrize("api_key", ["", ALICE.api_key])
def test_a_pause_is_kept_by_every_process(books, new_process, api_key):
    gateway.pause("paper", 300, api_key=api_key)
    pauses.synchronize(now=timezone.now())
    new_process()

    pauses.synchronize(now=timezone.now())

    assert 295 < gateway.pause_left_s("paper", ALICE) <= 300
    assert bool(gateway.pause_left_s("paper", BOB)) is not bool(api_key)


def test_a_stored_pause_does_not_tell_the_key(books):
    gateway.pause("paper", 300, api_key=ALICE.api_key)

    pauses.synchronize(now=timezone.now())

    assert ALICE.api_key not in str(ExchangePause.objects.values().get())


def test_a_shorter_pause_takes_nothing_from_a_longer_one(paper):
    now = timezone.now()
    tell(now + timedelta(seconds=300))
    gateway.pause("paper", 100)

    pauses.synchronize(now=now)

    assert ExchangePause.objects.get().until == now + timedelta(seconds=300)
    assert gateway.pause_left_s("paper") > 295


def test_a_longer_pause_is_told_to_the_others(paper):
    now = timezone.now()
    tell(now + timedelta(seconds=100))
    gateway.pause("paper", 300, asked_s=4000, reason="429 -1003")

    pauses.synchronize(now=now)

    told = ExchangePause.objects.get()
    assert told.until > now + timedelta(seconds=295)
    assert (told.length_s, told.asked_s, told.reason) == (300, 4000, "429 -1003")


def test_a_pause_is_not_told_over_a_change_that_was_not_seen(paper):
    now = timezone.now()
    known = tell(now + timedelta(seconds=100))
    tell(now + timedelta(seconds=500))

    ExchangePause.objects.tell(known.key, Pause(left_s=300), known, now=now)

    assert ExchangePause.objects.get().until == now + timedelta(seconds=500)


# Lifts


@pytest.mark.parametrize("api_key", ["", ALICE.api_key])
def test_a_lifted_pause_ends_also_in_a_process_that_has_the_pause_in_memory(books, api_key):
    gateway.pause("paper", 300, api_key=api_key)
    pauses.synchronize(now=timezone.now())
    key = PauseKey("paper", key_digest(api_key))

    ExchangePause.objects.lift(key, now=timezone.now())  # by another process
    pauses.synchronize(now=timezone.now())

    assert gateway.pause_left_s("paper", ALICE) == 0
    pauses.synchronize(now=timezone.now())
    assert ExchangePause.objects.get().left_s(now=timezone.now()) == 0


@pytest.mark.parametrize("api_key", ["", ALICE.api_key])
def test_a_pause_without_a_row_is_lifted_too(books, api_key):
    pauses.synchronize(now=timezone.now())
    gateway.pause("paper", 300, api_key=api_key)

    pauses.lift_pause("paper", api_key, actor=PERSON, now=timezone.now())

    assert gateway.pause_left_s("paper", ALICE) == 0
    assert ExchangePause.objects.get().lifted_at


def test_a_pause_after_a_lift_holds(books, new_process):
    gateway.pause("paper", 300)
    pauses.synchronize(now=timezone.now())
    pauses.lift_pause("paper", actor=PERSON, now=timezone.now())
    gateway.pause("paper", 200)

    pauses.synchronize(now=timezone.now())
    new_process()
    pauses.synchronize(now=timezone.now())

    assert 195 < gateway.pause_left_s("paper") <= 201


# Wrong clocks


@pytest.mark.parametrize("back_s", [300, 86_400])
def test_a_clock_that_was_set_back_prolongs_no_pause(books, minute, new_process, back_s):
    now = timezone.now()
    gateway.pause("paper", 60)
    pauses.synchronize(now=now)
    earlier = now - timedelta(seconds=back_s)

    pauses.synchronize(now=earlier)
    assert gateway.pause_left_s("paper") == pytest.approx(60)
    pass_time(61)
    pauses.synchronize(now=earlier + timedelta(seconds=61))
    assert gateway.pause_left_s("paper") == pytest.approx(0)

    new_process()  # another process learns of the pause from the table only
    pauses.synchronize(now=earlier + timedelta(seconds=61))
    assert gateway.pause_left_s("paper") <= 60


def test_a_pause_after_a_clock_was_set_back_is_told(books, minute, new_process):
    now = timezone.now()
    gateway.pause("paper", 60)
    pauses.synchronize(now=now)
    gateway.pause("paper", 200)
    pauses.synchronize(now=now - timedelta(days=1))

    new_process()
    pauses.synchronize(now=now - timedelta(days=1))

    assert gateway.pause_left_s("paper") == pytest.approx(200)


def test_no_stored_pause_is_longer_than_ten_minutes(books, minute):
    tell(timezone.now() + timedelta(days=3), length_s=3 * 86_400)

    pauses.synchronize(now=timezone.now())

    assert gateway.pause_left_s("paper") == pytest.approx(600)


@pytest.mark.parametrize(("ahead_s", "is_young"), [(0.5, True), (2, False), (300, False)])
def test_a_price_from_the_future_is_not_young(ahead_s, is_young):
    now = timezone.now()

    assert prices.is_young(now + timedelta(seconds=ahead_s), now=now) is is_young


# The table


@pytest.fixture
def desk(client):
    def open_pauses(*permissions):
        user = User.objects.create_user("desk", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
        return client

    return open_pauses


PAUSES = "/admin/exchanges/exchangepause/"


def test_a_person_sees_and_lifts_the_pause_of_one_account(desk, paper, alice):
    account = AccountFactory(owner=alice, name="A7")
    key = credentials_of(account).api_key
    gateway.pause("paper", 600, api_key=key, asked_s=7000, reason="429 -1015 Too many new orders.")
    pauses.synchronize(now=timezone.now())
    admin = desk("view_exchangepause", "change_exchangepause")

    page = admin.get(PAUSES, HTTP_ACCEPT_LANGUAGE="en").content.decode()
    row = ExchangePause.objects.get()
    admin.post(PAUSES, {"action": "lift", "_selected_action": [row.pk]})

    assert all(text in page for text in ("A7", "7000", "Too many new orders."))
    assert key not in page
    assert gateway.pause_left_s("paper", credentials_of(account)) == 0
    assert LogEntry.objects.filter(object_id=row.pk).exists()


def test_a_person_who_may_only_look_lifts_nothing(desk, paper):
    gateway.pause("paper", 600)
    pauses.synchronize(now=timezone.now())
    admin = desk("view_exchangepause")

    admin.post(PAUSES, {"action": "lift", "_selected_action": [ExchangePause.objects.get().pk]})

    assert gateway.pause_left_s("paper") > 590


def test_pauses_that_are_over_or_shared_already_cost_one_statement(paper, django_assert_num_queries):
    now = timezone.now()
    tell(now - timedelta(seconds=5), exchange="binance")
    gateway.pause("paper", 300)
    pauses.synchronize(now=now)

    with django_assert_num_queries(1):
        pauses.synchronize(now=timezone.now())

    assert gateway.pause_left_s("binance") == 0


# Clocks


HOUR_MS = 3_600_000
TIME = "/fapi/v1/time"


@pytest.fixture
def ahead(books, monkeypatch):
    """Our clock is an hour ahead of the exchange's."""
    clock = staticmethod(lambda: time.time_ns() // 1_000_000 + HOUR_MS)
    monkeypatch.setattr(BaseExchange, "milliseconds", clock)


@pytest.fixture
def set_clock(caplog):
    """As in the background, but waited for: what the log says of it."""
    caplog.set_level("INFO", "exchanges.gateway")

    def told():
        return [record for record in caplog.records if record.message.startswith("clock")]

    def set_and_wait():
        gateway.set_clock(*LINE)
        (record,) = eventually(told, what="the clock is set, or is not")
        return record

    return set_and_wait


def assert_no_clock_was_set(record, code):
    assert record.message == f"clock not set exchange=paper code={code}"
    with pytest.raises(ExchangeError) as caught:
        gateway.call(ask())
    assert caught.value.code == "clock_skew"


def test_the_clock_is_set_in_the_background(ahead, set_clock):
    _, offset_ms = set_clock().args

    assert abs(offset_ms - HOUR_MS) < 1000
    assert gateway.call(ask())


def test_history_is_asked_for_by_the_exchange_s_clock(ahead, set_clock):
    set_clock()
    gateway.call(ask("place_order", order()))
    a_minute_ago = timezone.now() + timedelta(milliseconds=HOUR_MS, minutes=-1)

    (report,) = gateway.call(ask("fetch_orders", BTC, a_minute_ago))

    assert report.client_order_id == "mine-1"


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "garbage", "value": {}},
        {"action": "garbage", "value": []},
        {"action": "garbage", "value": {"serverTime": "noon"}},
        {"action": "garbage", "value": {"serverTime": [1]}},
        {"action": "drop"},
        {"action": "status", "value": 503},
        {"action": "code", "value": -1121},
    ],
    ids=str,
)
def test_a_time_that_cannot_be_read_sets_no_clock(ahead, paper, set_clock, fault):
    paper.fault(path=TIME, times=None, **fault)

    assert_no_clock_was_set(set_clock(), "no_time")


def test_a_time_that_took_more_than_two_seconds_sets_no_clock(ahead, monkeypatch, set_clock):
    later_ms = count(HOUR_MS, 2001)
    clock = staticmethod(lambda: time.time_ns() // 1_000_000 + next(later_ms))
    monkeypatch.setattr(BaseExchange, "milliseconds", clock)

    assert_no_clock_was_set(set_clock(), "no_time")


def test_an_exchange_that_never_tells_its_time_is_given_up(ahead, paper, settings, set_clock):
    settings.EXCHANGE_TIMEOUT_S = 0.1
    paper.fault(path=TIME, action="delay", value=1)

    record = set_clock()

    settings.EXCHANGE_TIMEOUT_S = 10
    assert_no_clock_was_set(record, "timeout")


def test_asking_for_the_time_can_be_too_much_as_well(ahead, paper, set_clock):
    throttle(paper, -1003, path=TIME)

    set_clock()

    assert gateway.pause_left_s("paper") > 25


# Shares


@pytest.fixture
def leaving(monkeypatch, paper):
    """Starts groups of calls in one turn of the loop; returns the tags in the order in which the calls leave."""

    def start(*groups):
        left, all_left = [], threading.Event()

        async def leave(self, call, deliver):
            left.append(call.tag)
            if len(left) == sum(map(len, groups)):
                all_left.set()

        def spawn():
            for group in groups:
                gateway._spawn(group, print)

        monkeypatch.setattr(module.Gateway, "_run", leave)
        gateway.set_clock("paper", FUTURES)  # the loop runs by then
        gateway._loop.call_soon_threadsafe(spawn)
        assert all_left.wait(LONG_S)
        return left

    return start


def test_a_fan_out_of_one_owner_leaves_around_the_call_of_another(leaving):
    fan_out = [ask("fetch_balance", owner=1, tag="many") for _ in range(300)]

    left = leaving(fan_out, [ask("fetch_balance", owner=2, tag="single")])

    assert left.index("single") <= 9  # eight had left, and one more has its turn


def test_an_exit_leaves_before_the_entries_of_its_owner(leaving):
    entries = [ask("place_order", owner=1, tag="entry") for _ in range(20)]

    assert leaving([*entries, ask("place_order", owner=1, tag="exit", is_urgent=True)])[0] == "exit"


# Doors


@pytest.fixture
def cannot_connect(monkeypatch, paper):
    """Calls with the tag `stuck` get no connection until the end of the test; others are answered at once."""
    over = threading.Event()

    async def outcome(self, call, passage):
        while call.tag == "stuck" and not over.is_set():
            await asyncio.sleep(0.01)
        passage.connect()
        return module.Outcome(call)

    monkeypatch.setattr(module.Gateway, "_outcome", outcome)
    monkeypatch.setattr(module, "_HANDSHAKES_AT_A_TIME", 3)
    gateway.set_clock("paper", FUTURES)  # the loop runs by then
    gateway._doors.clear()
    yield
    over.set()
    gateway._doors.clear()


def answered_in_time(call):
    answered = threading.Event()
    gateway.start([call], lambda outcome: answered.set())
    return answered.wait(2)


def stuck(**more):
    return [ask("place_order", tag="stuck", owner=1, **more) for _ in range(6)]


def test_an_exit_waits_behind_no_entry_that_gets_no_connection(cannot_connect):
    gateway.start(stuck(), lambda outcome: None)

    assert answered_in_time(ask("place_order", owner=1, is_urgent=True))


def test_an_exchange_that_gives_no_connection_holds_up_no_other_exchange_of_the_owner(cannot_connect):
    gateway.start(stuck(), lambda outcome: None)

    assert answered_in_time(ask("place_order", owner=1, market_type=SPOT))


def test_a_look_up_at_a_door_keeps_no_other_owner_from_looking_up(cannot_connect):
    gateway.start(stuck(), lambda outcome: None)
    patient = [ask("fetch_order", owner=1, market_type=SPOT, can_wait=True) for _ in range(8)]
    gateway.start(patient, lambda outcome: None)

    assert answered_in_time(ask("fetch_order", owner=2, market_type=SPOT, can_wait=True))


def test_a_forked_child_keeps_no_calls_of_its_parent(cannot_connect):
    child = module.Gateway()  # not running, as in a child
    child._leaving.put((ask(tag="of the parent"), print), owner=1, is_urgent=False)  # copied by the fork
    answered = threading.Event()

    child.start([ask("place_order", owner=1)], lambda outcome: answered.set())

    assert answered.wait(2)


# Commands that found no connection


@pytest.fixture
def refuse_connections(monkeypatch):
    """Lets so many connections fail before they begin. Returns the list of the tries."""

    def refuse(number):
        tries, connect = [], aiohttp.TCPConnector.connect

        async def maybe(self, req, *args, **more):
            tries.append(req.url.path)
            if len(tries) <= number:
                raise aiohttp.ClientConnectorError(req.connection_key, OSError(111, "refused"))
            return await connect(self, req, *args, **more)

        monkeypatch.setattr(aiohttp.TCPConnector, "connect", maybe)
        return tries

    return refuse


def test_an_order_that_found_no_connection_goes_again_as_the_same_order(books, paper, refuse_connections):
    tries = refuse_connections(1)

    report = gateway.call(ask("place_order", order()))

    assert report.client_order_id == "mine-1"
    assert len(tries) == 2
    assert [row["clientOrderId"] for row in order_posts(paper)] == ["mine-1"]


@pytest.mark.parametrize(("verb", "argument"), [("place_order", order()), ("cancel_order", KEY)])
def test_a_command_goes_again_once(books, paper, refuse_connections, verb, argument):
    tries = refuse_connections(9)

    with pytest.raises(NotSent):
        gateway.call(ask(verb, argument))

    assert len(tries) == 2
    assert order_posts(paper) == []


def test_a_question_that_found_no_connection_is_left_to_its_caller(books, refuse_connections):
    tries = refuse_connections(9)

    with pytest.raises(ExchangeError):
        gateway.call(ask())

    assert len(tries) == 1


def test_nothing_goes_again_into_a_pause(books, refuse_connections, monkeypatch):
    tries = refuse_connections(9)
    told = iter([0.0, 30.0])
    monkeypatch.setattr(module.Gateway, "pause_left_s", lambda *key: next(told))

    with pytest.raises(NotSent):
        gateway.call(ask("place_order", order()))

    assert len(tries) == 1


@pytest.mark.parametrize("fault", [{"action": "drop"}, {"action": "reset_mid_body"}])
def test_an_order_that_may_have_left_is_never_repeated(books, paper, fault):
    paper.fault(when="after", times=None, **fault)

    with pytest.raises(OutcomeUnknown):
        gateway.call(ask("place_order", order()))

    assert [row["clientOrderId"] for row in order_posts(paper)] == ["mine-1"]
