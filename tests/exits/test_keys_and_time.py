"""Pauses, clocks and keys: what must not keep an exit in, or lose an order (issue cases 17, 18, 23)."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from exchanges.models import ExchangePause
from orders.models import ExitGoal, Order, Position
from tests.crash import track, track_at
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, open_desk
from tests.waiting import LONG_S

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = "/fapi/v1/order"
ONE = {"qty_per": None, "qty": "1"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


def test_a_pause_of_days_is_capped_and_a_person_can_lift_it(
    deliver, paper, solo, settings, admin_client, runs
):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fault(path=ORDER, method="POST", action="status", value=429, retry_after=999_999)
    settings.WEBHOOK_ANSWER_BUDGET_MS = 300
    deliver(solo.alert(BTC_LIMIT, ONE))
    pause = ExchangePause.objects.get()
    assert timedelta(0) < pause.until - timezone.now() <= timedelta(seconds=601)
    assert pause.asked_s >= 600
    deliver(solo.alert(BTC_CLOSE))
    assert Order.objects.latest("pk").status in ("queued", "initialized")

    page = reverse("admin:exchanges_exchangepause_changelist")
    admin_client.post(page, {"action": "lift", "_selected_action": [pause.pk]})
    assert all(run.finished.wait(LONG_S) for run in runs)

    assert solo.held("A1") == "0"


def test_a_clock_that_was_set_back_hides_no_fill(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT, ONE))
    track()
    paper.set_prices({"BTCUSDT": "89999"})

    track_at(timezone.now() - timedelta(minutes=5))

    assert Position.objects.get().quantity == 1


def test_a_clock_that_was_set_back_delays_no_exit(deliver, paper, solo, settings):
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.fault(path=ORDER, method="POST", action="code", value=-2015)
    settings.WEBHOOK_ANSWER_BUDGET_MS = 300
    deliver(solo.alert(BTC_CLOSE))
    goal = ExitGoal.objects.get()
    ExitGoal.objects.update(due_at=goal.due_at + timedelta(minutes=5))
    Order.objects.filter(goal=goal).update(closed_at=timezone.now() + timedelta(minutes=5))

    track()
    track(after_s=61)

    assert solo.held("A1") == "0"


def test_keys_of_another_account_are_refused_while_an_order_is_in_doubt(deliver, paper, solo, admin_client):
    paper.fault(path=ORDER, method="POST", action="drop", when="after")
    deliver(solo.alert(BTC_MARKET, ONE))
    paper.open_account("another-key", "another-secret")
    account = solo.accounts["A1"]
    form = {"name": account.name, "is_active": "on", "api_key": "another-key", "secret": "another-secret"}

    page = admin_client.post(reverse("admin:exchanges_account_change", args=[account.pk]), form)

    assert page.status_code == 200
    assert page.context["adminform"].form.errors
    before = account.sealed_credentials
    account.refresh_from_db()
    assert account.sealed_credentials == before
