"""Late, missed, repeated and absent alerts, and reversals that a crash interrupts."""

from contextlib import suppress
from datetime import timedelta

import pytest
from django.utils import timezone

from orders.controls.heartbeat import note_silence
from orders.execution import batches
from orders.exits import pursuit
from orders.models import ExitGoal, MissedAlert, Order
from strategies.models import WebhookToken
from tests.crash import Killed, abandon_all, dying_at, later, track
from tests.desk import BTC_CLOSE, BTC_MARKET, open_desk
from tests.factories import issue_token
from webhooks.models import WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)

NOON = "2026-11-25T12:00:0{}Z"


def position(now, size, before, size_before, second=None, **fields):
    alert = {
        "symbol": "BTCUSDT.P",
        "market_position": now,
        "market_position_size": size,
        "prev_market_position": before,
        "prev_market_position_size": size_before,
        "qty": str(abs(size - size_before) if now == before else size + size_before),
    }
    return alert | ({} if second is None else {"timestamp": NOON.format(second)}) | fields


@pytest.fixture
def desk(paper, alice):
    return open_desk(paper, "A1", "A2", owner=alice)


def codes(answer):
    return {row["error_code"] for row in answer.json()["results"]}


def test_a_late_entry_is_superseded_and_a_close_that_overtook_its_open_leaves_flat(deliver, desk):
    deliver(desk.alert(position("flat", 0, "long", 1, 2)))

    late = deliver(desk.alert(position("long", 1, "flat", 0, 1)))

    assert codes(late) == {"superseded"}
    assert desk.held("A1") == "0"
    assert MissedAlert.objects.get().arrived_at is not None


def test_a_late_exit_does_not_close_what_a_newer_alert_opened(deliver, desk):
    deliver(desk.alert(position("long", 1, "flat", 0, 1)))
    deliver(desk.alert(position("long", 2, "flat", 0, 3, qty="2")))

    late = deliver(desk.alert(position("flat", 0, "long", 1, 2)))

    assert codes(late) == {"superseded"}
    assert desk.held("A1") == "2"


def test_a_late_plain_exit_goes_out_and_a_late_plain_entry_does_not(deliver, desk):
    deliver(desk.alert(BTC_MARKET, timestamp=NOON.format(5)))

    entry = deliver(desk.alert(BTC_MARKET, timestamp=NOON.format(1)))
    deliver(desk.alert(BTC_CLOSE, timestamp=NOON.format(2)))

    assert codes(entry) == {"superseded"}
    assert desk.held("A1") == "0"


@pytest.mark.parametrize(
    ("on_gap", "entered", "after_reversal"),
    [("follow", "1", "-1"), ("exits_only", "0", "0"), ("refuse", "0", "1")],
)
def test_a_missed_alert_is_told_and_followed_as_the_strategy_says(
    deliver, desk, on_gap, entered, after_reversal
):
    desk.strategy.on_gap = on_gap
    desk.strategy.save()

    first = deliver(desk.alert(position("long", 1, "long", 2))).json()
    assert desk.held("A1") == entered, first
    desk.strategy.on_gap = "follow"
    desk.strategy.save()
    deliver(desk.alert(position("flat", 0, "long", 1)))
    deliver(desk.alert(position("long", 1, "flat", 0)))
    desk.strategy.on_gap = on_gap
    desk.strategy.save()
    second = deliver(desk.alert(position("short", 1, "flat", 0, qty="1"))).json()

    assert desk.held("A1") == after_reversal
    assert [row.on_gap for row in MissedAlert.objects.all()] == [on_gap, on_gap]
    for answer in (first, second):
        assert "BTC/USDT:USDT" in answer["warnings"][0]
        assert WebhookLog.objects.get(public_id=answer["webhook_id"]).warnings == answer["warnings"]


def test_flat_with_nothing_held_is_a_success(deliver, desk):
    answer = deliver(desk.alert(position("flat", 0, "flat", 0, qty="1"))).json()

    assert {row["status"] for row in answer["results"]} == {"success"}


def test_a_short_position_on_spot_closes_and_opens_nothing(deliver, paper, alice):
    desk = open_desk(paper, "A1", owner=alice, market_type="SPOT")
    spot = {"symbol": "BTCUSDT"}
    deliver(desk.alert(position("long", 1, "flat", 0), spot))

    answer = deliver(desk.alert(position("short", 1, "long", 1), spot)).json()
    again = deliver(desk.alert(position("short", 1, "flat", 0), spot)).json()

    assert [row["side"] for row in answer["results"]] == ["sell"]
    assert [row["error_code"] for row in again["results"]] == ["no_shorts_on_spot"]


# Reversals


def test_a_reversal_enters_when_its_exit_has_reached_the_goal_and_not_before(deliver, desk, paper):
    deliver(desk.alert(position("long", 1, "flat", 0)))
    paper.fault(path="/fapi/v1/order", method="POST", action="code", value=-2019, times=3)

    answer = deliver(desk.alert(position("short", 2, "long", 1))).json()

    for turn in range(1, 5):
        track(after_s=60 * turn)
    assert answer["results"]
    assert desk.held("A1") == desk.held("A2") == "-2"
    assert not Order.objects.filter(part=1).exclude(status="filled").exists()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "place",
    [
        (batches, "start_run"),
        (pursuit, "entry_after"),
        (pursuit, "_store"),
    ],
    ids=["stored, not run", "exit over, entry not made", "entry made, not stored"],
)
def test_a_reversal_survives_a_crash_as_one_unit(deliver, desk, place, after):
    deliver(desk.alert(position("long", 1, "flat", 0)))
    with dying_at(*place, after=after):
        with suppress(Killed):
            deliver(desk.alert(position("short", 2, "long", 1)))
        batches.shut_down()

    abandon_all()
    track(after_s=30)
    track(after_s=60)

    assert desk.held("A1") == desk.held("A2") == "-2"
    assert {order.part for order in Order.objects.filter(part=1)} == {1}
    assert Order.objects.filter(part=1).count() == 2


def test_a_newer_alert_takes_the_place_of_a_reversal_that_waits(deliver, desk, paper, settings):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 500
    deliver(desk.alert(position("long", 1, "flat", 0)))
    paper.fault(path="/fapi/v1/order", method="POST", action="code", value=-2019, times=None)
    deliver(desk.alert(position("short", 1, "long", 1)))

    deliver(desk.alert(position("flat", 0, "short", 1)))
    paper.clear_faults()
    for turn in range(1, 4):
        track(after_s=90 * turn)

    assert desk.held("A1") == desk.held("A2") == "0"
    assert not Order.objects.filter(part=1).exists()
    assert {goal.state for goal in ExitGoal.objects.all()} <= {"reached", "superseded"}


def test_an_entry_after_an_exit_that_is_not_over_follows_the_exit(deliver, desk, paper, settings):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 500
    deliver(desk.alert(position("long", 1, "flat", 0)))
    paper.fault(path="/fapi/v1/order", method="POST", action="code", value=-2019, times=4)
    deliver(desk.alert(position("flat", 0, "long", 1)))

    deliver(desk.alert(position("long", 3, "flat", 0)))
    for turn in range(1, 5):
        track(after_s=40 * turn)

    assert desk.held("A1") == desk.held("A2") == "3"


# Repetitions and silence


def test_a_rotated_token_is_the_same_sender(deliver, desk, alice):
    first = deliver(desk.alert(BTC_MARKET, id="7")).json()

    second = deliver(desk.alert(BTC_MARKET, id="7", token=issue_token(alice))).json()

    assert (second["duplicate"], second["webhook_id"]) == (True, first["webhook_id"])
    assert WebhookToken.objects.count() == 2


def test_a_duplicate_without_an_id_and_an_id_that_never_changes_warn(deliver, desk, caplog):
    for _ in range(2):
        without = deliver(desk.alert(BTC_MARKET, timestamp=NOON.format(1))).json()
    deliver(desk.alert(BTC_CLOSE, id="constant"))
    at_once = deliver(desk.alert(BTC_CLOSE, id="constant")).json()
    WebhookLog.objects.update(received_at=timezone.now() - timedelta(hours=2))

    hours_later = deliver(desk.alert(BTC_CLOSE, id="constant")).json()

    assert [len(answer["warnings"]) for answer in (without, at_once, hours_later)] == [1, 0, 1]
    assert "id repeated" in caplog.text


def test_silence_is_told_once_until_the_strategy_is_heard_again(deliver, desk, caplog):
    desk.strategy.heartbeat_s = 60
    desk.strategy.save()
    deliver(desk.alert(BTC_MARKET))

    assert note_silence(now=later(59)()) == []
    assert note_silence(now=later(61)()) == [desk.strategy]
    assert note_silence(now=later(62)()) == []
    deliver(desk.alert(BTC_CLOSE))
    desk.strategy.refresh_from_db()

    assert desk.strategy.silent_since is None
    assert caplog.text.count("strategy silent") == 1


def test_a_strategy_that_was_never_heard_is_silent_too(desk):
    desk.strategy.heartbeat_s = 60
    desk.strategy.save()

    assert note_silence(now=later(61)()) == [desk.strategy]


# Several legs


@pytest.mark.parametrize("first", [{"target_qty": "-1"}, {"market_position": "long", "qty": 1}])
def test_a_flat_leg_behind_another_leg_ends_flat_for_every_account(deliver, desk, first):
    deliver(desk.alert(position("long", 1, "flat", 0)))
    legs = [{"symbol": "BTCUSDT.P"} | leg for leg in (first, {"market_position": "flat"})]

    deliver(desk.alert(orders=legs))
    for turn in range(1, 4):
        track(after_s=40 * turn)

    assert desk.held("A1") == desk.held("A2") == "0"
    assert not Order.objects.filter(status="initialized").exists()


def test_a_flat_leg_wins_over_an_earlier_reversal_that_is_refused(deliver, desk, paper, settings):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 500
    deliver(desk.alert(position("long", 1, "flat", 0)))
    paper.fault(path="/fapi/v1/order", method="POST", action="code", value=-2019, times=6)
    legs = [position("short", 1, "long", 1), position("flat", 0, "short", 1)]

    deliver(desk.alert(orders=legs))
    for turn in range(1, 6):
        track(after_s=60 * turn)

    assert desk.held("A1") == desk.held("A2") == "0"


def test_a_partial_exit_without_sizes_never_buys(deliver, desk):
    deliver(desk.alert(position("long", 2, "flat", 0)))
    sell = {"symbol": "BTCUSDT.P", "side": "sell", "market_position": "long", "prev_market_position": "long"}

    deliver(desk.alert(sell, qty="0.5"))
    unclear = deliver(desk.alert(sell, qty_per=10))

    assert desk.held("A1") == "1.5"
    assert codes(unclear) == {"sizes_missing"}


def test_a_timestamp_of_the_future_makes_no_later_alert_late(deliver, desk):
    deliver(desk.alert(position("long", 1, "flat", 0, timestamp="2036-01-01T00:00:00Z")))

    deliver(desk.alert(position("flat", 0, "long", 1, timestamp=later(60)().isoformat())))

    assert desk.held("A1") == "0"


# Tags


def test_a_tag_names_orders_for_a_cancel(deliver, desk):
    limit = {"symbol": "BTC/USDT", "side": "buy", "order_type": "LIMIT", "qty": "1"}
    deliver(desk.alert(limit, price="80000", tag="grid 1"))
    deliver(desk.alert(limit, price="81000", tag="grid 2"))

    named = deliver(desk.alert({"order_type": "CANCEL", "tag": "grid 1"})).json()
    all_of_a_tag = deliver(desk.alert({"order_type": "CANCEL_ALL_ORDER", "tag": "grid 1"})).json()
    missing = deliver(desk.alert({"order_type": "CANCEL", "tag": "grid 7"})).json()

    assert [row["order_status"] for row in named["results"]] == ["canceled"] * 2
    assert all_of_a_tag["results"] == []
    assert [row["error_code"] for row in missing["results"]] == ["order_not_found"]
    assert {order.tag for order in Order.objects.filter(status="accepted")} == {"grid 2"}
