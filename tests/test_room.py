"""Our own questions leave the exchange's room to orders."""

from collections import Counter

import pytest

from exchanges.enums import MarketType
from exchanges.gateway import Line, gateway
from exchanges.paper.testing import running_paper_exchange
from exchanges.shares import WeightShares
from orders.models import Order
from orders.reconciliation.tracker import Tracker
from tests.crash import later
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, open_desk
from tests.waiting import LONG_S

pytestmark = pytest.mark.django_db(transaction=True)

FUTURES_LIMIT = 2400  # request weight a minute, as at Binance
ACCOUNTS = 60


@pytest.fixture(scope="module")
def paper_server():
    with running_paper_exchange(weight_limit=FUTURES_LIMIT) as paper:
        yield paper


def test_many_accounts_with_a_tracker_never_meet_the_limit(deliver, paper, alice, exchange_minute):
    names = [f"A{number:02}" for number in range(ACCOUNTS)]
    desk = open_desk(paper, *names, owner=alice, group_name="many", capital=1_000_000)
    deliver(desk.alert(BTC_MARKET, qty_per=None, qty="1"))
    deliver(desk.alert(BTC_LIMIT, qty_per=None, qty="1"))

    for seconds in range(60, 600, 60):  # as much as the tracker asks in ten minutes, in one
        Tracker(clock=later(seconds)).pass_once(everything=False)
    results = deliver(desk.alert(BTC_LIMIT, qty_per=None, qty="1", price="89000")).json()["results"]

    assert Counter(row["order_status"] for row in results) == {"accepted": ACCOUNTS}
    assert gateway.pauses() == {}


def test_an_owner_who_used_up_the_weight_waits_and_others_and_exits_do_not(
    deliver, paper, alice, bob, settings, monkeypatch, runs, exchange_minute
):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 300
    desks = {
        owner: open_desk(paper, name, owner=user, group_name=name)
        for owner, name, user in (("alice", "A1", alice), ("bob", "B1", bob))
    }
    for owner, alerts in (("alice", 5), ("bob", 1)):
        for number in range(alerts):
            deliver(desks[owner].alert(BTC_MARKET, id=f"before-{number}"))
    for run in runs:
        run.finished.wait(LONG_S)
    gateway._weight_of(Line("paper", MarketType.FUTURES)).note_used(exchange_minute[0], 1700)
    monkeypatch.setattr(WeightShares, "note_used", lambda *told: None)

    def status_of(owner, *parts):
        (row,) = deliver(desks[owner].alert(*parts)).json()["results"]
        return row["order_status"]

    found = [
        status_of("alice", BTC_LIMIT),
        status_of("bob", BTC_LIMIT),
        status_of("alice", BTC_CLOSE),
    ]

    assert found == ["queued", "accepted", "filled"]
    exchange_minute[0] += 1
    for run in runs:
        run.finished.wait(LONG_S)
    assert Order.objects.get(account__name="A1", order_type="LIMIT").status != "queued"
