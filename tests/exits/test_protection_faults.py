"""Whatever happens between an entry and its protective exits: never unprotected without an alarm, never too much."""

from contextlib import contextmanager
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.db import connection

from exchanges import failpoints
from exchanges.amounts import floor_to_step
from exchanges.enums import MarketType
from orders.models import Order, Position, Protection, Trade
from tests.crash import Killed, abandon_all, track
from tests.desk import open_desk
from tests.failpoints import PLACES

pytestmark = pytest.mark.django_db(transaction=True)

ENTRY = {"side": "buy", "order_type": "LIMIT", "price": "100.5", "qty": "2"}
STEPS = [{"price": "110", "portion": 50}, {"price": "120", "portion": 50}]
PROTECTIONS = {
    "stop": {"stop_loss": {"percent": 10}},
    "take profit": {"take_profit": {"percent": 10}},
    "both": {"stop_loss": {"price": 90}, "take_profit": {"offset": 10}},
    "steps": {"stop_loss": {"offset": 10}, "take_profit": STEPS},
    "trailing": {"trailing_stop": {"percent": 10}, "take_profit": {"percent": 10}},
    "breakeven": {"stop_loss": {"percent": 10}, "breakeven_after": {"percent": 4}},
}
MARKETS = {
    MarketType.FUTURES: {"symbol": "LTC/USDT:USDT", "path": "/fapi/v1/algoOrder"},
    MarketType.SPOT: {"symbol": "LTC/USDT", "path": "/api/v3/order"},
}
KILLS = [
    "K30:1",
    "K31:1",
    "K32:1",
    "K6:2",
    "K6:3",
    "K9:2",
    "K9:3",
    "K10:2",
    "K10:4",
    "K20:1",
    "K21:1",
    "K22:1",
]


@pytest.fixture(params=MARKETS, ids=["futures", "spot"])
def desk(request, paper):
    paper.set_prices({"LTCUSDT": "100"})
    return open_desk(paper, "A1", group_name="solo", market_type=request.param)


@pytest.fixture(params=PROTECTIONS)
def alert(request, desk):
    entry = ENTRY | {"symbol": MARKETS[desk.strategy.market_type]["symbol"]}
    return desk.alert(entry, PROTECTIONS[request.param])


@pytest.fixture
def enter(deliver, runs):
    def deliver_and_wait(alert):
        deliver(alert)
        for run in runs:
            assert run.finished.wait(30)

    return deliver_and_wait


@contextmanager
def dying(point):
    """Whoever passes the failpoint dies there as if by SIGKILL, and with it everything that the process would do."""
    number, turn = point.split(":")

    def kill(*args):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failpoints, "os", SimpleNamespace(kill=kill, getpid=int))
        failpoints.arm(f"{PLACES[number]}:{turn}")
        try:
            yield
        except Killed:
            pass
        finally:
            failpoints.disarm()
    abandon_all()


def held():
    return sum(Position.objects.tradable().values_list("quantity", flat=True), Decimal(0))


def on_lot(quantity):
    return floor_to_step(quantity, Decimal("0.001"))


def resting(desk, *, stops):
    rows = [row for row in desk.ledger_orders("A1") if row["status"] == "NEW" and row["side"] == "SELL"]
    return sum(
        (Decimal(row["origQty"]) for row in rows if row["type"].startswith("STOP") is stops), Decimal(0)
    )


def look_again(desk, *seconds):
    for after_s in seconds:
        track(after_s=after_s)
        assert_within_the_position(desk)


def assert_within_the_position(desk):
    assert resting(desk, stops=True) <= held()
    assert resting(desk, stops=False) <= held()
    running = Decimal(0)
    for trade in Trade.objects.order_by("executed_at", "pk"):
        running += trade.quantity if trade.side == "buy" else -trade.quantity
        assert running >= 0, "an exit beyond the position"


def assert_protected_or_told(desk):
    row = Protection.objects.get()
    if not held():
        assert resting(desk, stops=True) == resting(desk, stops=False) == 0
        return
    assert row.state == "active"
    if "stop_loss" in row.terms or "trailing_stop" in row.terms:
        assert resting(desk, stops=True) == on_lot(held()) or row.told_at is not None
    if row.terms["take_profits"] and desk.strategy.market_type == MarketType.FUTURES:
        assert resting(desk, stops=False) == on_lot(held())


def test_a_filled_entry_is_protected(enter, desk, alert):
    enter(alert)
    assert_protected_or_told(desk)
    look_again(desk, 0, 6, 30)

    assert held() > 1
    assert_protected_or_told(desk)
    assert Protection.objects.get().told_at is None


def test_a_partly_filled_entry_is_protected(enter, paper, desk, alert):
    paper.set_liquidity({"LTCUSDT": "0.4"})
    enter(alert)
    assert 0 < held() < 1
    assert_protected_or_told(desk)
    paper.set_liquidity({"LTCUSDT": "100"})
    paper.set_prices({"LTCUSDT": "100.2"})
    look_again(desk, 6, 12, 18)

    assert held() > 1
    assert_protected_or_told(desk)
    assert Protection.objects.get().told_at is None


def test_a_gap_through_the_stop_before_it_rests_closes_the_position(enter, paper, desk, alert):
    with dying("K32:1"):
        enter(alert)
    paper.set_prices({"LTCUSDT": "80"})
    look_again(desk, 0, 5, 20)

    assert (held() == 0) == ("stop_loss" in alert or "trailing_stop" in alert)
    assert_protected_or_told(desk)


@pytest.mark.parametrize("code", [-2015, -1013])
def test_a_refused_leg_is_told_and_comes_later(enter, paper, desk, alert, code):
    after = 1 if desk.strategy.market_type == MarketType.SPOT else 0
    path = MARKETS[desk.strategy.market_type]["path"]
    with dying("K32:1"):
        enter(alert)
    paper.fault(path=path, method="POST", action="code", value=code, times=None)
    look_again(desk, 0, 1, 15)
    wants_stop = "stop_loss" in alert or "trailing_stop" in alert
    assert Protection.objects.filter(told_at__isnull=False).exists() == wants_stop
    paper.clear_faults()
    look_again(desk, 80 + after, 90, 150)

    assert_protected_or_told(desk)
    assert Protection.objects.get().told_at is None


@pytest.mark.skipif(connection.vendor != "sqlite", reason="takes minutes, and the rows are the same")
@pytest.mark.parametrize("point", KILLS)
def test_a_crash_leaves_nothing_unprotected(enter, desk, alert, point):
    with dying(point):
        enter(alert)
    look_again(desk, 0, 12, 24, 36, 90, 120, 180)

    assert held() > 1
    assert_protected_or_told(desk)
    assert Protection.objects.get().told_at is None
    assert not Order.objects.unreleased().exists()


@pytest.mark.parametrize("point", ["K9:1", "K20:1", "K21:1", "K22:1", "K30:1", "K31:1", "K12:1"])
def test_a_crash_after_a_take_profit_leaves_nothing_unprotected(enter, paper, desk, alert, point):
    enter(alert)
    paper.set_prices({"LTCUSDT": "112"})
    with dying(point):
        track()
    look_again(desk, 12, 24, 36, 90)

    assert_protected_or_told(desk)
    assert Protection.objects.get().told_at is None
    paper.set_prices({"LTCUSDT": "85"})
    look_again(desk, 120, 140)
    assert held() == 0 or "take_profit" in alert or "stop_loss" not in alert
    assert_protected_or_told(desk)
