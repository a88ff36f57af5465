"""Whatever goes wrong between us and an exchange: one POST per row, and in the end our rows say what is true there."""

from datetime import timedelta

import pytest

from orders.models import Order, OrderEvent, Position
from orders.reconciliation.absence import HORIZON, READS
from tests.crash import track, track_at
from tests.desk import BTC, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, order_posts
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

FAULTS = {
    "drop": {"action": "drop"},
    "reset": {"action": "reset_mid_body"},
    "500": {"action": "status", "value": 500},
    "502": {"action": "status", "value": 502},
    "503": {"action": "status", "value": 503},
    "504": {"action": "status", "value": 504},
    "html": {"action": "garbage"},
    "truncated": {"action": "garbage", "value": "truncated"},
    "no body": {"action": "garbage", "value": "empty"},
    "{}": {"action": "garbage", "value": {}},
    "a list": {"action": "garbage", "value": [1, 2, 3]},
    "302": {"action": "redirect", "value": 302},
    "307": {"action": "redirect", "value": 307},
    "308": {"action": "redirect", "value": 308},
    "-1006": {"action": "code", "value": -1006},
    "-1007": {"action": "code", "value": -1007},
    "-1000": {"action": "code", "value": -1000},
    "wrong id": {"action": "wrong_id"},
}
PLACED = {"LIMIT": BTC_LIMIT, "MARKET": BTC_MARKET}
ENDS = {"LIMIT": "accepted", "MARKET": "filled"}
PATH = "/fapi/v1/order"


def results_by_name(response):
    return {row["account_name"]: row for row in response.json()["results"]}


def conclude_absence():
    """Looks often enough and late enough for a proof."""
    for after_s in (12, 24, 36, 90):
        track(after_s=after_s)


def assert_as_at_exchange(desk, name, kind):
    row = Order.objects.get(account=desk.accounts[name])
    found = [order for order in desk.ledger_orders(name) if order["clientOrderId"] == row.client_order_id]
    if not found:
        assert (row.status, row.reason, row.filled) == ("rejected", "not_found_at_exchange", 0)
        assert row.events.latest("pk").evidence == "absence"
        return
    assert (row.status, row.exchange_order_id) == (ENDS[kind], str(found[0]["orderId"]))
    assert str(row.filled) == found[0]["executedQty"]
    if row.filled:
        position = Position.objects.get(strategy_account=desk.strategy_account(name), symbol=BTC)
        assert str(position.quantity) == desk.held(name)
        assert row.trades.count() == len(desk.ledger(name)["trades"])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", PLACED)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_doubtful_answer_is_looked_up_and_never_sent_again(deliver, paper, test1, fault, kind, when):
    paper.fault(path=PATH, method="POST", api_key=test1.key("A1"), when=when, **FAULTS[fault])

    results = results_by_name(deliver(test1.alert(PLACED[kind])))

    assert (results["A1"]["status"], results["A1"]["error_code"]) == ("pending", "outcome_unknown")
    assert results["A2"]["status"] == "success"
    assert len(order_posts(paper)) == 2
    conclude_absence()
    assert len(test1.posts("A1")) == 1
    assert_as_at_exchange(test1, "A1", kind)
    assert_as_at_exchange(test1, "A2", kind)
    assert len(test1.ledger_orders("A1")) == (1 if when == "after" else 0)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", PLACED)
def test_an_answer_that_comes_too_late_is_looked_up(deliver, paper, test1, settings, kind, when):
    settings.EXCHANGE_TIMEOUT_S = 2
    paper.fault(path=PATH, method="POST", api_key=test1.key("A1"), when=when, action="delay", value=3)

    results = results_by_name(deliver(test1.alert(PLACED[kind])))

    assert (results["A1"]["status"], results["A1"]["error_code"]) == ("pending", "outcome_unknown")
    assert results["A2"]["status"] == "success"
    eventually(lambda: test1.posts("A1")[0]["outcome"] == "accepted", what="the exchange is done")
    track()
    assert_as_at_exchange(test1, "A1", kind)
    assert len(test1.ledger_orders("A1")) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_doubtful_cancel_ends_in_what_is_true(deliver, paper, test1, fault, when):
    deliver(test1.alert(BTC_LIMIT))
    paper.fault(path=PATH, method="DELETE", api_key=test1.key("A1"), when=when, **FAULTS[fault])

    results = results_by_name(deliver(test1.alert(CANCEL_ALL)))

    assert results["A1"]["status"] in ("pending", "success")
    assert (results["A2"]["status"], results["A2"]["order_status"]) == ("success", "canceled")
    track()
    track()
    row = Order.objects.get(account=test1.accounts["A1"])
    (order,) = test1.ledger_orders("A1")
    assert (row.status, order["status"]) == ("canceled", "CANCELED")
    assert len(order_posts(paper)) == 2


@pytest.mark.parametrize("kind", PLACED)
def test_absence_is_concluded_neither_too_early_nor_from_too_few_looks(deliver, paper, test1, kind):
    paper.fault(path=PATH, method="POST", api_key=test1.key("A1"), action="drop")
    deliver(test1.alert(PLACED[kind]))
    mine = Order.objects.filter(account=test1.accounts["A1"])

    sent_at = mine.get().submitted_at
    for after_s in (1, 11, 21, 31, 41, HORIZON.total_seconds() - 1):
        track_at(sent_at + timedelta(seconds=after_s))
        assert mine.get().status == "submitted"
    assert mine.get().absent_reads >= READS
    track_at(sent_at + HORIZON + timedelta(seconds=6))

    assert (mine.get().status, mine.get().reason) == ("rejected", "not_found_at_exchange")


def test_one_late_look_is_no_proof_of_absence(deliver, paper, test1):
    paper.fault(path=PATH, method="POST", api_key=test1.key("A1"), action="drop")
    deliver(test1.alert(BTC_LIMIT))

    track(after_s=3600)
    track(after_s=3601)

    assert Order.objects.get(account=test1.accounts["A1"]).status == "submitted"


def test_no_answer_is_no_proof_of_absence(deliver, paper, test1):
    paper.fault(path=PATH, method="POST", api_key=test1.key("A1"), action="drop")
    deliver(test1.alert(BTC_LIMIT))
    paper.fault(path="/fapi/v1/allOrders", action="status", value=503, times=None)

    conclude_absence()

    assert Order.objects.get(account=test1.accounts["A1"]).status == "submitted"


def test_an_order_that_shows_up_late_is_not_taken_for_absent(deliver, paper, test1):
    paper.fault(path=PATH, method="POST", api_key=test1.key("A1"), action="drop", when="after")
    paper.fault(path=PATH, api_key=test1.key("A1"), action="lookup_lag", value=600)
    deliver(test1.alert(BTC_LIMIT))
    mine = Order.objects.filter(account=test1.accounts["A1"])

    for after_s in (11, 21, 31):
        track(after_s=after_s)
    assert (mine.get().status, mine.get().absent_reads) == ("submitted", READS)
    paper.clear_faults()  # now it shows
    track(after_s=90)

    assert mine.get().status == "accepted"
    assert not OrderEvent.objects.filter(evidence="absence").exists()
