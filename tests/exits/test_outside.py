"""What happens at the exchange without us, from an exit's view (SPEC 6a and 7a)."""

from decimal import Decimal

import pytest

from exchanges.enums import MarketType
from orders.models import Adjustment, ExitGoal, OutsideEvent, Position, PositionDifference
from orders.reconciliation.position_differences import declare_external
from tests.crash import track
from tests.desk import BTC, BTC_CLOSE, BTC_MARKET, PERSON, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ONE, TWO = {"qty_per": None, "qty": "1"}, {"qty_per": None, "qty": "2"}
LTC = {"symbol": "LTC/USDT", "side": "buy", "order_type": "MARKET", "qty": "0.5"}
LTC_CLOSE = {"symbol": "LTC/USDT", "side": "sell", "order_type": "MARKET", "qty_per": -100}
SOL = {"symbol": "SOL/USDT", "side": "buy", "order_type": "MARKET", "qty": "10"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def other(paper, solo):
    return open_desk(paper, "A1", owner=solo.strategy.owner, group_name="other")


def held(desk, symbol=BTC):
    rows = Position.objects.filter(strategy_account=desk.strategy_account("A1"), symbol=symbol)
    return sum((row.quantity for row in rows), Decimal(0))


def test_a_position_sold_by_hand_is_booked_when_the_exit_is_refused(deliver, paper, solo):
    deliver(solo.alert(LTC))
    paper.hand(solo.key("A1"), "futures", "LTCUSDT", "SELL", "0.5")

    (close,) = deliver(solo.alert(LTC_CLOSE)).json()["results"]
    track(after_s=15)

    (adjustment,) = Adjustment.objects.all()
    assert (adjustment.kind, adjustment.quantity) == ("hand_trade", Decimal("-0.5"))
    assert close["status"] in ("success", "pending")
    assert (held(solo, "LTC/USDT:USDT"), ExitGoal.objects.get().state) == (0, "reached")
    deliver(solo.alert(LTC, side="sell"))
    assert (held(solo, "LTC/USDT:USDT"), solo.held("A1", "LTCUSDT")) == (Decimal("-0.5"), "-0.5")
    (cover,) = deliver(solo.alert(LTC_CLOSE, side="buy")).json()["results"]
    assert (cover["status"], cover["filled"]) == ("success", "0.5")
    assert solo.held("A1", "LTCUSDT") == "0"


def test_a_part_sold_by_hand_leaves_the_exit_the_rest(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, TWO))
    paper.hand(solo.key("A1"), "futures", "BTCUSDT", "SELL", "0.5")

    deliver(solo.alert(BTC_CLOSE))
    track(after_s=15)

    assert (held(solo), solo.held("A1"), ExitGoal.objects.get().state) == (0, "0", "reached")


def test_the_owners_own_short_hides_no_position(deliver, paper, solo):
    paper.hand(solo.key("A1"), "futures", "BTCUSDT", "SELL", "1")
    deliver(solo.alert(BTC_MARKET, ONE))
    track(after_s=15)
    for row in PositionDifference.objects.unresolved():
        declare_external(row, actor=PERSON, now=row.last_seen_at)

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    track(after_s=30)

    assert (close["status"], close["filled"]) == ("success", "1")
    assert (held(solo), solo.held("A1")) == (0, "-1")
    assert not PositionDifference.objects.unresolved().exists()


@pytest.mark.parametrize("event", ["liquidate", "adl"])
def test_a_forced_close_is_booked_and_the_exit_is_over(deliver, paper, solo, event):
    deliver(solo.alert(BTC_MARKET, ONE))
    getattr(paper, event)(solo.key("A1"), "BTCUSDT")

    deliver(solo.alert(BTC_CLOSE))
    track(after_s=15)

    assert (held(solo), solo.held("A1"), ExitGoal.objects.get().state) == (0, "0", "reached")
    assert Adjustment.objects.get(quantity=-1).kind in ("liquidation", "adl")


def test_a_delivered_contract_closes_the_books_of_all_strategies(deliver, paper, solo, other):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(other.alert(BTC_MARKET, TWO))
    paper.deliver_contract("BTCUSDT")

    track(after_s=15)

    assert (held(solo), held(other), solo.held("A1")) == (0, 0, "0")
    assert set(Adjustment.objects.values_list("kind", flat=True)) == {"delivery"}


def test_a_hand_trade_of_a_shared_holding_waits_for_a_person_and_stops_entries(deliver, paper, solo, other):
    deliver(solo.alert(BTC_MARKET, ONE))
    deliver(other.alert(BTC_MARKET, ONE))
    paper.hand(solo.key("A1"), "futures", "BTCUSDT", "SELL", "0.5")
    track(after_s=15)

    (entry,) = deliver(solo.alert(BTC_MARKET, ONE)).json()["results"]

    assert OutsideEvent.objects.waiting().count() == 1
    assert (entry["status"], entry["error_code"]) in [
        ("failed", "outside_event_waits"), ("failed", "position_differs"),
    ]  # fmt: skip
    assert (held(solo), held(other)) == (1, 1)


def test_an_unknown_order_blinds_its_own_symbol_only(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fault(path="/fapi/v1/order", method="POST", action="drop", when="after")
    paper.fault(path="/fapi/v1/order", method="GET", action="status", value=503, times=None)
    deliver(solo.alert(SOL))
    paper.hand(solo.key("A1"), "futures", "BTCUSDT", "SELL", "1")

    track(after_s=15)

    assert held(solo) == 0
    assert Adjustment.objects.get().symbol == BTC


def test_coins_that_left_the_wallet_are_not_sold_and_a_person_is_told(deliver, paper):
    spot = open_desk(paper, "A1", group_name="spot", market_type=MarketType.SPOT)
    deliver(spot.alert(LTC, qty="2"))
    paper.transfer(spot.key("A1"), "spot", "LTC", "-1")

    deliver(spot.alert(LTC_CLOSE))
    track(after_s=15)
    track(after_s=45)

    wallet = spot.ledger("A1")["balances"]
    assert ExitGoal.objects.get().state in ("working", "needs_person")
    assert Position.objects.get().quantity == Decimal("1") or wallet
    assert PositionDifference.objects.unresolved().exists()
