"""Switching off asks what should become of what is held and worked."""

import pytest
from django.urls import reverse

from orders.admin import leaving
from orders.controls.leaving import LeaveChoice, leavers_of, left_behind
from orders.models import ExitGoal, Order, Position
from strategies.models import StrategyAccount, Subscription
from tests.crash import track
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, open_desk
from tests.factories import AccountFactory, SubscriptionFactory
from tests.forms import change_page, submitted

pytestmark = pytest.mark.django_db(transaction=True)

ONE = {"qty_per": None, "qty": "1"}
TAKE_PROFIT = {"order_type": "LIMIT", "price": "120000"}


@pytest.fixture
def follow1(deliver, paper, alice, bob):
    """alice and bob each hold 1, with a take profit, and an entry of 1 rests."""
    desk = open_desk(paper, "A1", group_name="follow1", is_public=True)
    SubscriptionFactory(user=bob, strategy=desk.strategy)
    desk.add(AccountFactory(owner=bob, name="S1"), capital=1_000_000)
    for leg in (BTC_MARKET | ONE, BTC_CLOSE | TAKE_PROFIT, BTC_LIMIT | ONE):
        deliver(desk.alert(leg))
    return desk


ROWS = {
    "subscription": lambda desk: Subscription.objects.get(),
    "strategy account": lambda desk: desk.strategy_account("S1"),
    "account": lambda desk: desk.accounts["S1"],
    "strategy": lambda desk: desk.strategy,
    "user": lambda desk: desk.accounts["S1"].owner,
}
# What is left at the exchange of an account: what it holds, and how many orders are open.
LEFT = {
    LeaveChoice.KEEP: ("1", 2),
    LeaveChoice.CANCEL_ENTRIES: ("1", 1),
    LeaveChoice.CANCEL_ALL: ("1", 0),
    LeaveChoice.CLOSE: ("0", 0),
}


def left_at_the_exchange(desk, name):
    resting = [order for order in desk.ledger_orders(name) if order["status"] == "NEW"]
    return desk.held(name), len(resting)


def switch_off_by_action(client, row, **more):
    page = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")
    sent = {"action": "switch_off", "_selected_action": [row.pk], **more}
    return client.post(page, sent, HTTP_ACCEPT_LANGUAGE="en")


@pytest.mark.parametrize("choice", LEFT)
@pytest.mark.parametrize("name", ROWS)
def test_the_admin_does_what_the_person_chooses(admin_client, follow1, name, choice):
    row = ROWS[name](follow1)

    asked = switch_off_by_action(admin_client, row)
    row.refresh_from_db()
    assert (asked.status_code, row.is_active) == (200, True)
    assert "follow1 / S1" in asked.content.decode()
    done = switch_off_by_action(admin_client, row, leave_choice=choice.value)

    row.refresh_from_db()
    assert (done.status_code, row.is_active) == (302, False)
    assert left_at_the_exchange(follow1, "S1") == LEFT[choice]
    untouched = LEFT[choice] if name == "strategy" else ("1", 2)
    assert left_at_the_exchange(follow1, "A1") == untouched


@pytest.mark.parametrize("name", ["subscription", "strategy account", "user"])
def test_saving_the_page_asks_first_and_cancels_entries_by_default(admin_client, follow1, name):
    row = ROWS[name](follow1)
    form = submitted(admin_client, row, is_active=False)

    asked = admin_client.post(change_page(row), form)
    row.refresh_from_db()
    assert (asked.status_code, row.is_active) == (200, True)
    first_choice = asked.content.decode().partition('name="leave_choice"')[2].partition(">")[0]
    assert "cancel_entries" in first_choice
    assert "checked" in first_choice
    saved = admin_client.post(change_page(row), form | {"leave_choice": "cancel_entries"})

    row.refresh_from_db()
    assert (saved.status_code, row.is_active) == (302, False)
    assert left_at_the_exchange(follow1, "S1") == ("1", 1)


def test_going_private_concerns_the_subscribers_only(admin_client, follow1):
    form = submitted(admin_client, follow1.strategy, is_public=False)

    asked = admin_client.post(change_page(follow1.strategy), form)
    saved = admin_client.post(change_page(follow1.strategy), form | {"leave_choice": "close"})

    assert saved.status_code == 302, saved.context["adminform"].form.errors
    assert "follow1 / A1" not in asked.content.decode()
    follow1.strategy.refresh_from_db()
    assert follow1.strategy.is_public is False
    assert left_at_the_exchange(follow1, "S1") == ("0", 0)
    assert left_at_the_exchange(follow1, "A1") == ("1", 2)


def test_nothing_is_asked_where_nothing_is_left(admin_client, follow1):
    row = follow1.strategy_account("S1")
    switch_off_by_action(admin_client, row, leave_choice="close")
    StrategyAccount.objects.update(is_active=True)

    again = switch_off_by_action(admin_client, row)

    assert again.status_code == 302
    assert left_behind(leavers_of(row)) == []


def test_a_subscription_is_not_deleted_while_something_is_left(admin_client, follow1):
    row = Subscription.objects.get()

    refused = admin_client.post(
        reverse("admin:strategies_subscription_delete", args=[row.pk]), {"post": "yes"}
    )

    assert refused.status_code == 403
    assert Subscription.objects.exists()


def test_an_entry_that_came_after_the_look_is_canceled_too(admin_client, follow1, monkeypatch):
    monkeypatch.setattr(leaving, "left_behind", lambda leavers: [])

    done = switch_off_by_action(admin_client, follow1.strategy_account("S1"))

    assert done.status_code == 302
    assert left_at_the_exchange(follow1, "S1") == ("1", 1)


def test_cancel_all_also_ends_an_exit_between_two_attempts(admin_client, deliver, follow1, paper):
    paper.fault(path="/fapi/v1/order", method="POST", action="code", value=-2015, times=None)
    deliver(follow1.alert(BTC_CLOSE))
    paper.clear_faults()

    switch_off_by_action(admin_client, follow1.strategy_account("S1"), leave_choice="cancel_all")
    track(after_s=120)

    assert {goal.state for goal in ExitGoal.objects.filter(account__name="S1")} <= {"ended", "superseded"}
    assert left_at_the_exchange(follow1, "S1") == ("1", 0)
    assert follow1.held("A1") == "0"


def test_close_also_closes_what_an_entry_in_doubt_turns_out_to_have_bought(
    admin_client, deliver, paper, alice, settings
):
    desk = open_desk(paper, "A1", group_name="solo")
    deliver(desk.alert(BTC_LIMIT, ONE))
    paper.set_prices({"BTCUSDT": "89000"})
    settings.EXCHANGE_TIMEOUT_S = 1
    for method in ("DELETE", "GET"):
        paper.fault(path="/fapi/v1/order", method=method, action="status", value=503, times=None)

    switch_off_by_action(admin_client, desk.strategy_account("A1"), leave_choice="close")
    assert desk.held("A1") == "1"
    paper.clear_faults()
    for _ in range(3):
        track(after_s=60)

    assert desk.held("A1") == "0"
    assert {order.status for order in Order.objects.exclude(reason="no_position")} == {"filled"}


def test_a_person_may_choose_again_for_what_is_off_already(admin_client, follow1):
    row = follow1.strategy_account("S1")
    switch_off_by_action(admin_client, row, leave_choice="keep")

    asked = switch_off_by_action(admin_client, row)
    switch_off_by_action(admin_client, row, leave_choice="close")

    assert asked.status_code == 200
    assert left_at_the_exchange(follow1, "S1") == ("0", 0)


def test_the_page_afterwards_says_what_is_left(admin_client, follow1):
    row = follow1.strategy_account("S1")

    switch_off_by_action(admin_client, row, leave_choice="cancel_entries")

    page = admin_client.get(reverse("admin:index")).content.decode()
    assert "Left at follow1 / S1: entries 0, resting exits 1, positions 1, exits under way 0." in page
    assert "follow1 / A1" not in page


def test_a_user_who_may_only_look_switches_nothing_off(client, follow1, django_user_model):
    viewer = django_user_model.objects.create_user("viewer", password="x", is_staff=True)
    client.force_login(viewer)

    switch_off_by_action(client, follow1.strategy_account("S1"), leave_choice="close")

    assert follow1.strategy_account("S1").is_active
    assert Position.objects.held().count() == 2
    assert Order.objects.open().count() == 4


def test_the_question_sends_no_secret_back(admin_client, follow1):
    row = follow1.accounts["S1"]
    form = submitted(admin_client, row, is_active=False, api_key="key-of-S1", secret="typed-just-now")

    asked = admin_client.post(change_page(row), form).content.decode()

    assert 'name="name"' in asked
    assert "typed-just-now" not in asked
    assert "key-of-S1" not in asked
