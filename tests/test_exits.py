"""Exits that must not be lost, undersized or refused."""

import pytest
from django.utils import timezone

from exchanges.adapters.binance import BinanceFutures
from exchanges.gateway import gateway
from orders.models import Order, Position
from orders.tracking import Tracker
from tests.crash import track
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = {"path": "/fapi/v1/order"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


def test_an_exit_closes_what_a_resting_entry_filled_a_moment_ago(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    paper.set_prices({"BTCUSDT": "89999"})

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert (close["order_status"], close["filled"]) == ("filled", "11.111")
    assert solo.held("A1") == "0"


def test_an_exit_waits_for_trades_that_the_exchange_lists_late(deliver, paper, solo, monkeypatch):
    real, asked = BinanceFutures._fills, []

    async def late(self, *args):
        asked.append(args)
        return [] if len(asked) == 1 else await real(self, *args)

    monkeypatch.setattr(BinanceFutures, "_fills", late)
    deliver(solo.alert(BTC_MARKET))

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert close["order_status"] == "filled"
    assert (solo.held("A1"), Position.objects.get().quantity) == ("0", 0)


def test_an_exit_that_was_told_to_come_later_is_sent_again_as_a_new_attempt(deliver, paper, solo):
    deliver(solo.alert(BTC_MARKET))
    paper.fault(**ORDER, method="POST", action="status", value=429, retry_after=1)

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert close["order_status"] == "filled"
    assert solo.held("A1") == "0"
    closes = Order.objects.filter(qty_per__lt=0).order_by("attempt")
    assert [(order.attempt, order.status) for order in closes] == [(1, "rejected"), (2, "filled")]


def test_strategies_that_hold_against_each_other_on_one_account_can_both_leave(deliver, paper, solo):
    other = open_desk(paper, "A1", owner=solo.strategy.owner, group_name="other")
    deliver(solo.alert(BTC_MARKET))
    deliver(other.alert(BTC_MARKET, side="sell"))

    first = deliver(solo.alert(BTC_CLOSE)).json()["results"]
    second = deliver(other.alert(BTC_CLOSE, side="buy")).json()["results"]

    assert [row["order_status"] for row in (*first, *second)] == ["filled", "filled"]
    assert not Position.objects.held().exists()
    assert solo.held("A1") == "0"


def test_a_cancel_that_the_exchange_keeps_refusing_is_sent_in_measure(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    paper.fault(**ORDER, method="DELETE", action="code", value=-2011, times=None)
    deliver(solo.alert(CANCEL_ALL))
    before = len(paper.requests())

    track()

    assert len(paper.requests()) - before < 12
    paper.clear_faults()
    Tracker(clock=timezone.now).pass_once()
    assert Order.objects.get().status == "canceled"


def test_questions_wait_while_the_exchange_wants_a_pause(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    paper.fault(**ORDER, method="POST", action="status", value=429, retry_after=30)
    deliver(solo.alert(BTC_LIMIT))
    before = len(paper.requests())

    track()

    assert len(paper.requests()) == before
    gateway._paused_until.clear()
