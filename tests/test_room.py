"""Our own questions leave the exchange's room to orders."""

from collections import Counter

import pytest

from exchanges.gateway import gateway
from exchanges.paper.testing import running_paper_exchange
from orders.reconciliation.tracker import Tracker
from tests.crash import later
from tests.desk import BTC_LIMIT, BTC_MARKET, open_desk

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
