"""What the exchange refuses is rejected at once, with the reason, and harms nobody else."""

import pytest

from orders.models import Order
from tests.crash import track
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, order_posts
from tests.waiting import LONG_S, eventually
from webhooks.answering.results import order_results

pytestmark = pytest.mark.django_db(transaction=True)

POST = {"path": "/fapi/v1/order", "method": "POST"}
REFUSALS = [
    ({"action": "code", "value": -2010}, "insufficient_balance", "-2010"),
    ({"action": "code", "value": -2019}, "insufficient_margin", "-2019"),
    ({"action": "code", "value": -1013}, "filter_failure", "-1013"),
    ({"action": "code", "value": -4164}, "below_min_notional", "-4164"),
    ({"action": "code", "value": -2022}, "reduce_only_rejected", "-2022"),
    ({"action": "code", "value": -4061}, "hedge_mode", "-4061"),
    ({"action": "code", "value": -1021}, "clock_skew", "-1021"),
    ({"action": "code", "value": -2015}, "authentication_failed", "-2015"),
    ({"action": "code", "value": -1003, "retry_after": 1}, "throttled", "-1003"),
    ({"action": "status", "value": 429, "retry_after": 1}, "throttled", ""),
    ({"action": "status", "value": 418, "retry_after": 1}, "throttled", ""),
]


@pytest.mark.parametrize("alert", [BTC_LIMIT, BTC_MARKET], ids=["LIMIT", "MARKET"])
@pytest.mark.parametrize(("fault", "reason", "exchange_code"), REFUSALS)
def test_a_refusal_is_final_and_says_why(deliver, paper, test1, alert, fault, reason, exchange_code):
    paper.fault(**POST, api_key=test1.key("A1"), **fault)

    results = deliver(test1.alert(alert)).json()["results"]

    mine, other = sorted(results, key=lambda row: row["account_name"])
    assert (mine["status"], mine["error_code"], mine["order_status"]) == ("failed", reason, "rejected")
    assert mine["error"]
    assert other["status"] == "success"
    row = Order.objects.get(account=test1.accounts["A1"])
    assert (row.reason, row.exchange_code) == (reason, exchange_code)
    track(after_s=100)
    assert Order.objects.get(pk=row.pk).status == "rejected"
    assert len(test1.posts("A1")) == 1


def test_a_real_lack_of_margin_is_told(deliver, paper, test1):
    paper.set_balances(test1.key("A1"), "futures", {"USDT": "1"})

    results = deliver(test1.alert(BTC_LIMIT)).json()["results"]

    assert [(row["account_name"], row["error_code"]) for row in results] == [
        ("A1", "insufficient_margin"),
        ("A2", None),
    ]


def test_a_wrong_secret_is_told(deliver, paper, test1):
    paper.open_account(test1.key("A1"), "another secret")

    results = deliver(test1.alert(BTC_LIMIT)).json()["results"]

    assert results[0]["error_code"] == "authentication_failed"
    assert test1.ledger_orders("A1") == []


def test_a_paused_exchange_is_waited_for_and_then_gets_the_order_once(
    deliver, paper, test1, settings, runs, edge
):
    paper.fault(**POST, api_key=test1.key("A1"), action="status", value=429, retry_after=600)
    deliver(test1.alert(BTC_LIMIT))
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100
    alert = test1.alert(BTC_LIMIT, price="89000", id="a")
    deliver(alert)
    eventually(lambda: Order.objects.filter(status="queued").count() == 2, what="both orders wait")

    answer = deliver(alert).json()

    assert {(row["status"], row["order_status"]) for row in answer["results"]} == {("pending", "queued")}
    assert answer["summary"]["pending_trades"] == 2
    edge.end_pauses()
    assert runs[-1].finished.wait(LONG_S)
    assert [row.status for row in Order.objects.filter(price=89000)] == ["accepted", "accepted"]


def test_an_order_that_waits_too_long_for_a_paused_exchange_expires(deliver, paper, test1, settings, runs):
    paper.fault(**POST, api_key=test1.key("A1"), action="status", value=429, retry_after=60)
    deliver(test1.alert(BTC_LIMIT))
    settings.ORDER_MAX_WAIT_S = 1

    results = deliver(test1.alert(BTC_LIMIT, price="89000")).json()["results"]

    assert {(row["status"], row["error_code"]) for row in results} == {("failed", "expired")}
    assert len(order_posts(paper)) == 2


def test_a_close_waits_for_a_paused_exchange_however_long(deliver, paper, test1, settings, runs):
    deliver(test1.alert(BTC_MARKET))
    paper.fault(**POST, api_key=test1.key("A1"), action="status", value=429, retry_after=2)
    deliver(test1.alert(BTC_LIMIT))
    settings.ORDER_MAX_WAIT_S, settings.WEBHOOK_ANSWER_BUDGET_MS = 1, 300

    deliver(test1.alert(BTC_CLOSE))

    assert runs[-1].finished.wait(LONG_S)
    assert [test1.held(name) for name in ("A1", "A2")] == ["0", "0"]


def test_an_exchange_that_cannot_be_reached_gets_no_order_and_the_answer_says_so(
    deliver, paper, test1, settings, new_process
):
    deliver(test1.alert(BTC_LIMIT, dry_run=True))
    settings.PAPER_EXCHANGE_URL = "http://127.0.0.1:9"
    new_process()

    results = deliver(test1.alert(BTC_LIMIT)).json()["results"]

    assert {(row["status"], row["error_code"]) for row in results} == {("failed", "not_sent")}
    settings.PAPER_EXCHANGE_URL = paper.url
    new_process()
    track()
    assert {(order.status, order.reason) for order in Order.objects.all()} == {("rejected", "not_sent")}
    assert order_posts(paper) == []


def test_an_answer_that_is_built_while_a_refusal_is_written_down_says_why(deliver, paper, test1, monkeypatch):
    """The answer reads the orders on a thread of its own, while the run brings them up to date."""
    plain, seen = Order.__setattr__, []

    def set_and_answer(order, name, value):
        plain(order, name, value)
        if (name, value) == ("status", "rejected"):
            seen.extend(order_results([order]))

    monkeypatch.setattr(Order, "__setattr__", set_and_answer)
    paper.fault(**POST, action="code", value=-2019)

    deliver(test1.alert(BTC_LIMIT))

    assert [(row["status"], row["error_code"]) for row in seen] == [("failed", "insufficient_margin")]
