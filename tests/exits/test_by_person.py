"""A person's decisions about exits in the admin: close, try again, end."""

import pytest
from django.urls import reverse

from orders.models import ExitGoal, Order, Position
from tests.crash import track
from tests.desk import BTC_CLOSE, BTC_MARKET, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = "/fapi/v1/order"
ONE = {"qty_per": None, "qty": "1"}
STOP = BTC_CLOSE | {"order_type": "STOP_MARKET", "stop_price": "99000"}
TAKE_PROFIT = BTC_CLOSE | {"order_type": "LIMIT", "price": "110000"}


@pytest.fixture
def solo(deliver, paper):
    desk = open_desk(paper, "A1", group_name="solo")
    deliver(desk.alert(BTC_MARKET, ONE))
    return desk


def act(client, name, row):
    page = reverse(f"admin:orders_{row._meta.model_name}_changelist")
    assert client.post(page, {"action": name, "_selected_action": [row.pk]}).status_code == 302
    return client.get(page)


def test_a_position_is_closed_in_the_admin(admin_client, paper, solo):
    paper.set_liquidity({"BTCUSDT": "0.4"})

    act(admin_client, "close", Position.objects.get())

    assert solo.held("A1") == "0"
    goal = ExitGoal.objects.get()
    assert (goal.state, goal.actor.partition(":")[0]) == ("reached", "user")


def test_an_exit_is_tried_again_at_once(deliver, admin_client, paper, solo):
    paper.fault(path=ORDER, method="POST", action="code", value=-2015)
    deliver(solo.alert(BTC_CLOSE))
    assert ExitGoal.objects.get().state == "needs_person"

    page = act(admin_client, "try_again", ExitGoal.objects.get())
    track()

    assert page.status_code == 200
    assert (solo.held("A1"), ExitGoal.objects.get().state) == ("0", "reached")


def test_a_stop_beyond_its_trigger_is_closed_at_the_market_on_a_persons_word(deliver, admin_client, solo):
    deliver(solo.alert(STOP))
    assert ExitGoal.objects.get().reason == "stop_would_trigger"

    act(admin_client, "close_at_market", ExitGoal.objects.get())
    track()

    assert (solo.held("A1"), ExitGoal.objects.get().state) == ("0", "reached")


def test_an_ended_exit_is_sent_no_more_and_its_order_canceled(deliver, admin_client, solo):
    deliver(solo.alert(TAKE_PROFIT))

    act(admin_client, "end", ExitGoal.objects.get())
    track(after_s=90)

    goal = ExitGoal.objects.get()
    assert (goal.state, goal.ended_by.partition(":")[0]) == ("ended", "user")
    assert Order.objects.get(goal=goal).status == "canceled"
    assert solo.held("A1") == "1"


def test_an_exit_with_an_attempt_under_way_is_not_tried_twice(deliver, admin_client, solo):
    deliver(solo.alert(TAKE_PROFIT))

    act(admin_client, "try_again", ExitGoal.objects.get())

    assert Order.objects.filter(goal__isnull=False).count() == 1


def test_the_page_of_an_exit_shows_its_attempts_and_why(deliver, admin_client, paper, solo):
    paper.fault(path=ORDER, method="POST", action="code", value=-2015)
    deliver(solo.alert(BTC_CLOSE))
    goal = ExitGoal.objects.get()

    page = admin_client.get(reverse("admin:orders_exitgoal_change", args=[goal.pk])).content.decode()

    assert str(Order.objects.get(goal=goal).exchange_code) in page
    assert goal.reason_text in page


def test_a_user_who_may_only_look_changes_nothing(client, deliver, solo, django_user_model):
    deliver(solo.alert(TAKE_PROFIT))
    viewer = django_user_model.objects.create_user("viewer", password="x", is_staff=True)
    client.force_login(viewer)

    client.post(
        reverse("admin:orders_exitgoal_changelist"),
        {"action": "end", "_selected_action": [ExitGoal.objects.get().pk]},
    )

    assert ExitGoal.objects.get().state == "resting"
