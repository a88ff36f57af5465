"""The same alert again: answered again, and nothing more is sent (SPEC section 4, Duplicates)."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.test import Client
from django.utils import timezone

from orders.execution import batches
from orders.models import Order
from tests.crash import abandon_all, never_run, track
from tests.desk import BTC_LIMIT, BTC_MARKET, CANCEL_ALL, order_posts
from webhooks import services
from webhooks.answering import answer
from webhooks.models import WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)

AT = "2026-11-22T08:00:00Z"


def result_names(answer):
    return [row["client_order_id"] for row in answer["results"]]


@pytest.mark.parametrize(
    "name", [{"id": "a1"}, {"alert_id": "a1"}, {"timestamp": AT}, {"timenow": AT}, {"id": 7}]
)
def test_the_same_alert_again_gets_the_first_answer_and_places_nothing(deliver, paper, test1, name):
    first = deliver(test1.alert(BTC_LIMIT, name)).json()

    second = deliver(test1.alert(BTC_LIMIT, name)).json()

    assert (first["duplicate"], second["duplicate"]) == (False, True)
    same = {"webhook_id", "results", "summary", "action", "strategy"}
    assert {key: first[key] for key in same} == {key: second[key] for key in same}
    assert len(second["warnings"]) == (0 if {"id", "alert_id"} & name.keys() else 1)
    assert len(order_posts(paper)) == 2
    repeat = WebhookLog.objects.latest("pk")
    assert (repeat.status, repeat.first.public_id) == ("duplicate", first["webhook_id"])


def test_a_repeated_cancel_gets_the_first_answer(deliver, test1):
    deliver(test1.alert(BTC_LIMIT))
    first = deliver(test1.alert(CANCEL_ALL, id="c")).json()

    second = deliver(test1.alert(CANCEL_ALL, id="c")).json()

    assert second["results"] == first["results"]
    assert second["summary"] == first["summary"]


def test_the_same_id_with_another_body_is_a_conflict(deliver, paper, test1):
    deliver(test1.alert(BTC_LIMIT, id="a1"))

    response = deliver(test1.alert(BTC_LIMIT, id="a1", qty_per=6))

    assert (response.status_code, response.json()["code"]) == (409, "id_conflict")
    assert len(order_posts(paper)) == 2


def test_the_same_body_spelled_differently_is_the_same(deliver, paper, test1):
    deliver(test1.alert(BTC_LIMIT, id="a1", price=90000))
    alert = test1.alert(BTC_LIMIT, id="a1", price=90000.0)

    answer = deliver({key.upper(): alert[key] for key in reversed(alert)}).json()

    assert answer["duplicate"] is True


@pytest.mark.parametrize("other", [{"id": "a2"}, {"timestamp": "2026-11-22T08:00:01Z"}])
def test_another_name_is_another_alert(deliver, paper, test1, other):
    deliver(test1.alert(BTC_LIMIT, {"id": "a1"} if "id" in other else {"timestamp": AT}))

    answer = deliver(test1.alert(BTC_LIMIT, other)).json()

    assert answer["duplicate"] is False
    assert len(order_posts(paper)) == 4


def test_two_equal_alerts_without_a_name_that_were_both_answered_are_two_orders(deliver, paper, test1):
    answers = [deliver(test1.alert(BTC_LIMIT)).json() for _ in range(2)]

    assert [answer["duplicate"] for answer in answers] == [False, False]
    assert len(order_posts(paper)) == 4


def test_an_equal_alert_soon_after_an_unanswered_one_is_its_repetition(deliver, paper, test1):
    first = deliver(test1.alert(BTC_LIMIT)).json()
    WebhookLog.objects.update(answered_at=None)

    second = deliver(test1.alert(BTC_LIMIT)).json()

    assert (second["duplicate"], second["webhook_id"]) == (True, first["webhook_id"])
    assert len(order_posts(paper)) == 2


def test_an_equal_alert_long_after_an_unanswered_one_is_a_new_one(deliver, paper, test1):
    deliver(test1.alert(BTC_LIMIT))
    WebhookLog.objects.update(answered_at=None, received_at=timezone.now() - timedelta(seconds=31))

    second = deliver(test1.alert(BTC_LIMIT)).json()

    assert second["duplicate"] is False


@pytest.mark.parametrize(("days", "is_duplicate"), [(6.99, True), (7.01, False)])
def test_an_id_is_free_again_after_seven_days(deliver, test1, days, is_duplicate):
    deliver(test1.alert(BTC_LIMIT, id="a1"))
    WebhookLog.objects.update(received_at=timezone.now() - timedelta(days=days))

    assert deliver(test1.alert(BTC_LIMIT, id="a1")).json()["duplicate"] is is_duplicate


def test_a_refused_delivery_does_not_claim_its_id(deliver, test1):
    deliver(test1.alert(BTC_LIMIT, id="a1", symbol="NO/SUCH"))

    answer = deliver(test1.alert(BTC_LIMIT, id="a1")).json()

    assert (answer["success"], answer["duplicate"]) == (True, False)


def test_a_dry_run_sends_nothing_and_does_not_claim_its_id(deliver, paper, test1):
    dry = deliver(test1.alert(BTC_MARKET, id="a1", dry_run=True)).json()
    live = deliver(test1.alert(BTC_MARKET, id="a1")).json()

    assert (dry["action"], dry["results"][0]["quantity"]) == ("dry_run", "10.526")
    assert WebhookLog.objects.get(public_id=dry["webhook_id"]).status == "dry_run"
    assert live["duplicate"] is False
    assert len(order_posts(paper)) == Order.objects.count() == 2


@pytest.mark.parametrize("name", [{"id": "storm"}, {"timestamp": AT}])
def test_fifty_copies_at_once_make_one_set_of_orders(paper, test1, name):
    alert, gate = test1.alert(BTC_LIMIT, name), threading.Barrier(50)

    def send(_):
        gate.wait()
        try:
            return Client().post("/api/webhook", alert, content_type="application/json")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(50) as pool:
        responses = list(pool.map(send, range(50)))

    answers = [response.json() for response in responses]
    assert {response.status_code for response in responses} == {200}
    assert len({answer["webhook_id"] for answer in answers}) == 1
    assert [answer["duplicate"] for answer in answers].count(False) == 1
    assert len(order_posts(paper)) == Order.objects.count() == 2


def test_a_copy_of_a_delivery_that_a_crash_left_waits_and_sends_nothing(
    deliver, paper, test1, monkeypatch, settings
):
    with monkeypatch.context() as patch:
        patch.setattr(batches, "start_run", never_run)
        deliver(test1.alert(BTC_LIMIT, id="a1"))
    settings.WEBHOOK_ANSWER_BUDGET_MS = 300

    answer = deliver(test1.alert(BTC_LIMIT, id="a1")).json()

    assert answer["duplicate"] is True
    assert {row["status"] for row in answer["results"]} == {"pending"}
    assert order_posts(paper) == []
    abandon_all()
    track()
    assert len(order_posts(paper)) == 2


@pytest.mark.parametrize("error", [DatabaseError, InterfaceError])
def test_nothing_after_storing_turns_the_answer_into_an_error(deliver, paper, test1, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(services.WebhookLog.objects, "filter", fail)

    response = deliver(test1.alert(BTC_LIMIT))

    assert response.status_code == 200
    assert len(order_posts(paper)) == 2


@pytest.mark.parametrize("error", [DatabaseError, RuntimeError])
def test_nothing_after_noting_a_duplicate_turns_the_answer_into_an_error(
    deliver, paper, test1, monkeypatch, error
):
    first = deliver(test1.alert(BTC_LIMIT, id="a1")).json()

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(answer.Answer, "_build", fail)

    response = deliver(test1.alert(BTC_LIMIT, id="a1"))

    assert response.status_code == 200
    assert (response.json()["duplicate"], response.json()["results"]) == (True, [])
    assert response.json()["webhook_id"] == first["webhook_id"]
    assert len(order_posts(paper)) == 2


def test_a_repetition_is_answered_although_the_database_breaks_during_its_wait(deliver, test1, monkeypatch):
    first = deliver(test1.alert(BTC_LIMIT, id="a1")).json()
    monkeypatch.setattr(answer.Answer, "_is_settled", break_off)

    response = deliver(test1.alert(BTC_LIMIT, id="a1"))

    assert (response.status_code, response.json()["duplicate"]) == (200, True)
    assert response.json()["webhook_id"] == first["webhook_id"]


def test_an_answer_that_cannot_ask_for_the_end_of_its_batch_does_not_break(monkeypatch):
    monkeypatch.setattr(answer.Answer, "_is_settled", break_off)
    accepted = SimpleNamespace(budget_left_s=lambda: 0.2)

    async def in_thread(act):
        return act()

    asyncio.run(
        answer.Answer(WebhookLog(), None, accepted).settle(in_thread)
    )  # the server has no answer for an exception


def break_off(waiting):
    raise OperationalError("server closed the connection unexpectedly")


def test_an_answer_after_its_sender_gave_up_counts_as_none(deliver, paper, test1, settings):
    """TradingView gives up after 3 s and sends the same body again 5 s later."""
    settings.WEBHOOK_ANSWER_BUDGET_MS = 2500
    body = json.dumps(test1.alert(BTC_MARKET))
    waited_s = 6  # for a thread, in a burst of alerts
    late = services.receive_delivery(
        body.encode(),
        bearer=None,
        address="127.0.0.1",
        now=timezone.now() - timedelta(seconds=waited_s),
        started=time.monotonic() - waited_s,
    )
    late.run.finished.wait(5)
    late.build()

    again = deliver(body).json()

    assert len(order_posts(paper)) == 2  # one for each account
    assert again["duplicate"] is True
