"""Markets outlive a restart; one price serves all who wait for it."""

import queue
import threading
import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.cache import cache
from django.utils import timezone

from exchanges.adapters.binance import BinanceFutures
from exchanges.enums import MarketType
from exchanges.errors import ExchangeError, Unavailable
from exchanges.gateway import Gateway, Line, gateway
from exchanges.market_data import catalog, prices
from exchanges.models import Market
from exchanges.paper.engine.catalog import MARKETS
from exchanges.shares import NOBODY
from orders.models import Order
from orders.protection.upkeep import watched_prices
from tests.crash import track
from tests.desk import BTC, BTC_CLOSE, BTC_LIMIT, BTC_MARKET, open_desk
from tests.waiting import LONG_S

pytestmark = pytest.mark.django_db(transaction=True)

KEY = ("paper", MarketType.FUTURES, BTC)
LINE = Line("paper", MarketType.FUTURES)
NOWHERE = "http://127.0.0.1:9"


def test_a_new_process_sizes_limit_orders_while_the_exchange_is_down(deliver, paper, settings, new_process):
    desk = open_desk(paper, "A1")
    deliver(desk.alert(BTC_LIMIT, dry_run=True))
    settings.PAPER_EXCHANGE_URL = NOWHERE
    new_process()

    (row,) = deliver(desk.alert(BTC_LIMIT)).json()["results"]

    assert (row["status"], row["quantity"], row["error_code"]) == ("failed", "11.111", "not_sent")


def test_without_markets_anywhere_each_order_is_denied(deliver, paper, settings, new_process):
    desk = open_desk(paper, "A1")
    settings.PAPER_EXCHANGE_URL = NOWHERE
    new_process()

    (row,) = deliver(desk.alert(BTC_LIMIT)).json()["results"]

    assert (row["status"], row["error_code"]) == ("failed", "markets_unavailable")


def test_a_first_list_that_hangs_is_waited_for_once(deliver, paper, edge, monkeypatch):
    desk = open_desk(paper, "A1")
    market_list = edge.hold("load_markets", times=1)
    monkeypatch.setattr(catalog, "FIRST_LIST_WITHIN_S", 0)

    hanging = [deliver(desk.alert(BTC_LIMIT)).json()["results"][0]["error_code"] for _ in range(3)]
    arrived = catalog.fresh_catalog(
        LINE, timezone.now(), now=timezone.now(), owner=1, notify=(done := threading.Event()).set
    )
    market_list.release()
    assert done.wait(LONG_S)
    (row,) = deliver(desk.alert(BTC_LIMIT)).json()["results"]

    assert (hanging, arrived) == (["markets_unavailable"] * 3, None)
    assert row["status"] == "success"
    assert market_list.waiting == 1


def test_a_list_is_asked_for_again_where_the_one_on_its_way_is_older_than_the_refusal(paper, edge):
    market_list, arrivals = edge.hold("load_markets", times=1), threading.Semaphore(0)
    began = timezone.now()

    def look(refused_at):
        return catalog.fresh_catalog(LINE, refused_at, now=began, owner=1, notify=arrivals.release)

    assert look(began) is None
    market_list.release()
    assert arrivals.acquire(timeout=LONG_S)
    refused_at = began + timedelta(hours=1)  # the clock was set back since
    if look(refused_at) is None:  # else the answer was faster
        assert arrivals.acquire(timeout=LONG_S)

    assert look(refused_at).loaded_at == refused_at
    assert look(began).loaded_at == refused_at


def test_an_exit_goes_on_without_a_list_that_waits_behind_the_calls_of_another_owner(
    paper, edge, settings, monkeypatch
):
    market_list, since = edge.hold("load_markets", times=1), timezone.now()

    def look(owner):
        return catalog.fresh_catalog(LINE, since, now=since, owner=owner, notify=lambda: None)

    assert [look(1), look(2)] == [None, None]
    later = time.monotonic() + settings.EXCHANGE_TIMEOUT_S + 1
    with monkeypatch.context() as patch:
        patch.setattr(catalog.time, "monotonic", lambda: later)
        assert look(2).code == "markets_on_their_way"
    market_list.release()


def test_a_question_that_cannot_be_asked_is_not_waited_for(paper, monkeypatch):
    since = timezone.now()

    def look():
        return catalog.fresh_catalog(
            LINE, since, now=since, owner=1, notify=(done := threading.Event()).set
        ), done

    with monkeypatch.context() as patch:
        patch.setattr(gateway, "start", closed_loop)
        with pytest.raises(RuntimeError):
            look()
    found, done = look()
    assert found is not None or done.wait(LONG_S)  # else the answer was faster


def closed_loop(*_):
    raise RuntimeError("Event loop is closed")


def test_a_list_that_is_not_taken_is_an_error_until_somebody_asks_again(paper, monkeypatch):
    now, arrived = timezone.now(), threading.Event()
    specs = list(catalog.open_catalog("paper", MarketType.FUTURES, now=now).specs.values())
    with monkeypatch.context() as patch:
        listing(patch, closed(specs))
        since = now + timedelta(seconds=1)

        def look():
            return catalog.fresh_catalog(LINE, since, now=since, owner=1, notify=arrived.set)

        if look() is None:  # else the answer was faster
            assert arrived.wait(LONG_S)
        assert [look().code, look().code] == ["markets_closed"] * 2

    assert catalog.reload_markets("paper", MarketType.FUTURES, now=since) == len(specs)
    assert look().loaded_at == since


def test_markets_are_kept_with_every_digit(paper):
    catalog.open_catalog("paper", MarketType.FUTURES, now=timezone.now())

    row = Market.objects.get(symbol=BTC, market_type=MarketType.FUTURES)
    assert (row.tick_size, row.lot_size, row.min_notional) == (Decimal("0.1"), Decimal("0.001"), 100)


def test_markets_that_are_no_longer_listed_stay_as_inactive(paper):
    now = timezone.now()
    specs = catalog.open_catalog("paper", MarketType.FUTURES, now=now).specs
    Market.objects.replace("paper", [spec for symbol, spec in specs.items() if symbol != BTC], now=now)

    assert not Market.objects.get(symbol=BTC, market_type=MarketType.FUTURES).is_active


def test_one_fetch_serves_fifty_who_wait(paper, edge):
    catalog.open_catalog("paper", MarketType.FUTURES, now=timezone.now())
    fetch = edge.hold("fetch_prices", times=1)
    arrived, done = [], threading.Event()

    def arrive(key, price):
        arrived.append(price)
        if len(arrived) == 50:
            done.set()

    threads = [
        threading.Thread(target=prices.request_price, args=(KEY, arrive), kwargs={"owner": 1})
        for _ in range(50)
    ]
    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join()
    fetch.wait_for()
    paper.set_prices({"BTCUSDT": "96000"})  # what any further fetch would bring
    fetch.release()
    assert done.wait(LONG_S)
    assert arrived == [Decimal(95000)] * 50


@pytest.fixture
def asked(monkeypatch):
    """The calls of price questions, in the order in which they leave."""
    seen, run = [], Gateway._run

    async def note(self, call, deliver):
        if call.verb == "fetch_prices":
            seen.append(call)
        await run(self, call, deliver)

    monkeypatch.setattr(Gateway, "_run", note)
    return seen


def test_a_flood_of_price_questions_delays_no_other_owner(paper, asked):
    catalog.open_catalog("paper", MarketType.FUTURES, now=timezone.now())
    loop_waits, arrived = threading.Event(), threading.Semaphore(0)
    gateway._loop.call_soon_threadsafe(loop_waits.wait, LONG_S)
    for number in range(300):
        key = ("paper", MarketType.FUTURES, f"N{number}/USDT:USDT")
        prices.request_price(key, lambda key, price: arrived.release(), owner=1)
    prices.request_price(KEY, lambda key, price: arrived.release(), owner=2)
    loop_waits.set()

    assert all(arrived.acquire(timeout=LONG_S) for _ in range(301))
    assert [call.owner for call in asked].index(2) <= 1


def test_a_price_that_a_busy_owner_has_asked_for_delays_no_other_owner(paper, asked):
    catalog.open_catalog("paper", MarketType.FUTURES, now=timezone.now())
    loop_waits, arrived = threading.Event(), queue.SimpleQueue()
    gateway._loop.call_soon_threadsafe(loop_waits.wait, LONG_S)
    for number in range(300):
        key = ("paper", MarketType.FUTURES, f"N{number}/USDT:USDT")
        prices.request_price(key, lambda key, price: arrived.put((0, price)), owner=1)
    for owner in (1, 2):
        prices.request_price(KEY, lambda key, price, owner=owner: arrived.put((owner, price)), owner=owner)
    loop_waits.set()

    assert {arrived.get(timeout=LONG_S) for _ in range(302)} == {
        (0, None), (1, Decimal(95000)), (2, Decimal(95000))
    }  # fmt: skip
    assert [call.owner for call in asked].index(2) <= 1


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_price_is_asked_for_in_the_share_of_who_needs_it(deliver, paper, bob, asked, dry_run):
    desk = open_desk(paper, "B1", owner=bob)

    deliver(desk.alert(BTC_MARKET, dry_run=dry_run))

    assert [call.owner for call in asked] == [bob.pk]


def test_prices_of_protections_are_asked_for_in_the_share_of_nobody(deliver, paper, bob, asked):
    desk = open_desk(paper, "B1", owner=bob)
    deliver(desk.alert(BTC_MARKET, qty_per=None, qty="1", stop_loss={"price": 90000}))
    asked.clear()

    track(after_s=60)

    assert asked
    assert {call.owner for call in asked} == {NOBODY}
    assert watched_prices() == {KEY: NOBODY}


@pytest.mark.parametrize(("age_s", "is_young"), [(0, True), (9, True), (11, False)])
def test_a_price_is_used_for_ten_seconds(paper, age_s, is_young):
    now = timezone.now()
    prices.remember_prices({KEY: Decimal("95000.1")}, now=now)

    found = prices.cached_price(KEY, now=now + timedelta(seconds=age_s))

    assert found == ((Decimal("95000.1"), now) if is_young else None)


def test_an_exchange_without_an_answer_raises(paper, settings, new_process):
    settings.PAPER_EXCHANGE_URL = NOWHERE
    new_process()
    cache.clear()

    with pytest.raises(ExchangeError):
        catalog.open_catalog("paper", MarketType.FUTURES, now=timezone.now())


def test_a_price_is_as_old_as_its_arrival_however_late_it_is_used(deliver, paper, settings, runs, edge):
    desk = open_desk(paper, "A1", capital=20_000_000)
    deliver(desk.alert(BTC_LIMIT, dry_run=True))  # markets are known
    settings.WEBHOOK_ANSWER_BUDGET_MS, settings.PRICE_MAX_AGE_S = 100, 2
    price = edge.hold("fetch_prices", times=1)
    deliver(desk.alert(BTC_MARKET))
    price.wait_for()
    edge.pause()
    price.release()
    paper.set_prices({"BTCUSDT": "80000"})
    time.sleep(settings.PRICE_MAX_AGE_S + 0.5)  # the price is here, and the order has to wait

    edge.end_pauses()
    assert runs[-1].finished.wait(LONG_S)

    assert Order.objects.get().quantity == Decimal("12.5")


def closed(specs):
    return [replace(spec, is_active=False) for spec in specs]


def listing(monkeypatch, specs):
    """From now on the exchange lists these."""

    async def load_markets(self):
        return specs

    monkeypatch.setattr(BinanceFutures, "load_markets", load_markets)


def close_btc(new_process):
    Market.objects.filter(symbol=BTC).update(is_active=False)
    new_process()


def test_a_market_that_is_closed_takes_no_entries(deliver, paper, new_process):
    desk = open_desk(paper, "A1")
    deliver(desk.alert(BTC_LIMIT, dry_run=True))
    close_btc(new_process)

    (row,) = deliver(desk.alert(BTC_LIMIT), HTTP_ACCEPT_LANGUAGE="en").json()["results"]

    assert (row["status"], row["error_code"]) == ("failed", "market_closed")
    assert row["error"] == f"{BTC} is not open for trading at the exchange now. Exits are still sent."
    assert desk.posts("A1") == []


def test_a_market_that_is_closed_is_left_if_the_exchange_lets_us(deliver, paper, new_process):
    desk = open_desk(paper, "A1")
    deliver(desk.alert(BTC_MARKET))
    close_btc(new_process)

    (row,) = deliver(desk.alert(BTC_CLOSE)).json()["results"]

    assert row["status"] == "success"
    assert desk.held("A1") == "0"


@pytest.mark.parametrize(("closing", "is_taken"), [(0, True), (0.4, True), (0.6, False), (1, False)])
def test_a_list_that_closes_most_markets_is_not_taken(paper, monkeypatch, closing, is_taken):
    now = timezone.now()
    specs = list(catalog.open_catalog("paper", MarketType.FUTURES, now=now).specs.values())
    some = int(len(specs) * closing)
    listing(monkeypatch, closed(specs[:some]) + specs[some:])

    if is_taken:
        catalog.reload_markets("paper", MarketType.FUTURES, now=now)
    else:
        with pytest.raises(Unavailable) as caught:
            catalog.reload_markets("paper", MarketType.FUTURES, now=now)
        assert caught.value.code == "markets_closed"

    assert Market.objects.filter(is_active=False).count() == (some if is_taken else 0)


def test_a_list_without_most_markets_is_not_taken(paper, monkeypatch):
    now = timezone.now()
    specs = list(catalog.open_catalog("paper", MarketType.FUTURES, now=now).specs.values())
    listing(monkeypatch, specs[:1])

    with pytest.raises(Unavailable):
        catalog.reload_markets("paper", MarketType.FUTURES, now=now)


@pytest.mark.parametrize(("age", "outcome"), [(timedelta(minutes=10), 1), (timedelta(minutes=1), 0)])
def test_a_list_that_a_refusal_contradicts_is_reloaded_once(paper, age, outcome):
    now = timezone.now()
    catalog.reload_markets("paper", MarketType.FUTURES, now=now - age)

    catalog.reload_soon("paper", MarketType.FUTURES, now=now)

    assert len(catalog.reload_old(now=now)) == outcome
    assert catalog.reload_old(now=now) == {}


def test_spot_markets_need_no_futures_hosts(paper):
    for path in ("/fapi/", "/dapi/"):
        paper.fault(path=path, action="status", value=451, times=None)

    assert "BTC/USDT" in catalog.open_catalog("paper", MarketType.SPOT, now=timezone.now()).specs


def test_orders_at_the_market_have_a_maximum_of_their_own(paper):
    for kind, symbol in ((MarketType.FUTURES, BTC), (MarketType.SPOT, "BTC/USDT")):
        catalog.open_catalog("paper", kind, now=timezone.now())
        row = Market.objects.get(symbol=symbol, market_type=kind)
        rules = MARKETS[str(kind).lower()]["BTCUSDT"]

        assert (row.max_quantity, row.market_max_quantity) == (rules.max_qty, rules.market_max_qty)


def test_a_close_of_more_than_a_market_order_may_be_is_sent_in_parts(deliver, paper):
    desk = open_desk(paper, "A1")
    deliver(desk.alert(BTC_LIMIT, price="95000", qty_per=70))
    held, most = Decimal(desk.held("A1")), MARKETS["futures"]["BTCUSDT"].market_max_qty

    (result,) = deliver(desk.alert(BTC_CLOSE)).json()["results"]

    assert held > most
    assert (Decimal(result["quantity"]), Decimal(result["filled"]), result["remaining"]) == (held, held, "0")
    parts = Order.objects.filter(qty_per__lt=0).order_by("attempt").values_list("quantity", flat=True)
    assert list(parts) == [most, held - most]
    assert desk.held("A1") == "0"
