"""The answer of an entry with protective exits says what was asked, and where each exit is."""

import pytest

from exchanges.enums import MarketType
from orders.models import ExitGoal
from orders.protection.overview import protections_of
from tests.crash import track
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, open_desk
from tests.exits.test_protection import ALGO, BOTH, LTC_BUY, ONE, ORDER, STEPS, STOP
from tests.factories import AccountFactory, SubscriptionFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def solo(paper, alice):
    paper.set_prices({"BTCUSDT": "100000"})
    return open_desk(paper, "A1", group_name="solo", owner=alice)


@pytest.fixture
def spot(paper, alice):
    desk = open_desk(paper, "A1", group_name="spot", owner=alice, market_type=MarketType.SPOT)
    paper.set_prices({"LTCUSDT": "100"})
    return desk


@pytest.fixture
def twice(deliver, runs):
    """Delivers an alert, waits for its runs, and delivers the alert again: a duplicate shows the present state."""

    def deliver_twice(alert):
        first = deliver(alert).json()["results"]
        for run in runs:
            assert run.finished.wait(30)
        return first, deliver(alert).json()["results"]

    return deliver_twice


def test_stop_and_take_profits_are_listed_with_what_was_asked_and_where_they_are(twice, solo):
    (first,), (later,) = twice(solo.alert(BTC_MARKET, ONE, STEPS, id="1"))

    stop, (near, far) = later["protection"]["stop"], later["protection"]["take_profits"]
    goal = ExitGoal.objects.get(step=0)
    assert first["protection"]["stop"]["asked"] == stop["asked"] == {"stop_loss": {"percent": "5"}}
    assert first["protection"]["stop"]["state"] in ("pending", "working", "resting")
    assert later["protection"]["state"] == "active"
    assert (stop["state"], stop["price"], stop["quantity"]) == ("resting", str(goal.stop_price), "1")
    assert (near["asked"], near["state"]) == ({"price": "104000", "portion": "50"}, "resting")
    assert [(step["price"], step["quantity"]) for step in (near, far)] == [
        ("104000", "0.5"),
        ("110000", "0.5"),
    ]
    assert {part["error_code"] for part in (stop, near, far)} == {None}


def test_an_entry_that_is_not_filled_yet_has_a_pending_protection(twice, solo):
    (first,), (later,) = twice(solo.alert(BTC_LIMIT, ONE, BOTH, price="90000", id="1"))

    assert first["protection"] == later["protection"]
    assert later["protection"]["state"] == "waiting"
    assert later["protection"]["stop"] == {
        "asked": {"stop_loss": {"percent": "5"}},
        "state": "pending",
        "price": None,
        "quantity": None,
        "error": None,
        "error_code": None,
    }
    assert [step["state"] for step in later["protection"]["take_profits"]] == ["pending"]


def test_a_refused_stop_is_not_said_to_rest(twice, paper, solo):
    paper.fault(**ALGO, action="code", value=-2019, times=None)

    _, (later,) = twice(solo.alert(BTC_MARKET, ONE, STOP, id="1"))

    stop = later["protection"]["stop"]
    assert stop["state"] in ("working", "needs_person")
    assert stop["error_code"] == "insufficient_margin"
    assert stop["error"]
    assert later["protection"]["take_profits"] == []


def test_on_spot_the_take_profits_beside_a_stop_are_watched(twice, spot):
    _, (later,) = twice(spot.alert(LTC_BUY, BOTH, id="1"))

    assert later["protection"]["stop"]["state"] == "resting"
    assert [step["state"] for step in later["protection"]["take_profits"]] == ["watched"]


def test_take_profits_without_a_stop_have_no_stop(twice, spot):
    _, (later,) = twice(spot.alert(LTC_BUY, {"take_profit": {"percent": 10}}, id="1"))

    assert later["protection"]["stop"] is None
    assert [step["state"] for step in later["protection"]["take_profits"]] == ["resting"]


def test_a_protection_is_over_with_its_position(twice, deliver, solo):
    twice(solo.alert(BTC_MARKET, ONE, BOTH, id="1"))
    deliver(solo.alert(BTC_CLOSE))
    track(after_s=5)

    (row,) = deliver(solo.alert(BTC_MARKET, ONE, BOTH, id="1")).json()["results"]

    assert row["protection"]["state"] == "over"
    states = {row["protection"]["stop"]["state"]} | {
        step["state"] for step in row["protection"]["take_profits"]
    }
    assert not states & {"resting", "working", "pending"}


def test_no_protection_is_told_of_entries_without_one_of_refused_entries_and_of_exits(deliver, paper, solo):
    plain = deliver(solo.alert(BTC_MARKET, ONE)).json()["results"]
    denied = deliver(solo.alert(BTC_MARKET, ONE, {"stop_loss": {"price": "200000"}})).json()["results"]
    paper.fault(**ORDER, action="code", value=-2019, times=1)
    rejected = deliver(solo.alert(BTC_MARKET, ONE, STOP)).json()["results"]
    preview = deliver(solo.alert(BTC_MARKET, ONE, STOP, dry_run=True)).json()["results"]
    closed = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    rows = [*plain, *denied, *rejected, *preview, *closed]
    assert len(rows) == 5
    assert not any("protection" in row for row in rows)


def test_an_owner_learns_nothing_of_a_subscribers_protection(twice, solo, bob):
    solo.strategy.is_public = True
    solo.strategy.save()
    SubscriptionFactory(strategy=solo.strategy, user=bob)
    solo.add(AccountFactory(owner=bob, name="S1"), capital=20_000_000)

    first, later = twice(solo.alert(BTC_MARKET, ONE, STEPS, id="1"))

    for own, others in (first, later):
        assert "protection" in own
        assert set(others) == {"account_name", "status", "error_code"}
    assert ExitGoal.objects.filter(account__name="S1", step=0, state="resting").exists()


def test_protections_cost_two_statements_and_only_where_an_entry_asks(
    deliver, solo, django_assert_num_queries, runs
):
    deliver(solo.alert(BTC_MARKET, ONE, STEPS))
    deliver(solo.alert(BTC_MARKET, ONE))
    for run in runs:
        assert run.finished.wait(30)
    protected, ordinary = (run.orders for run in runs[:1] + runs[-1:])

    with django_assert_num_queries(2):
        assert len(protections_of(protected)) == 1
    with django_assert_num_queries(0):
        assert protections_of(ordinary) == {}
