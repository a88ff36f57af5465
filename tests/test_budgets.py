"""Budgets of orders: one token, one user and everybody together may only send so many entries in a minute."""

import pytest
from django.core.cache import cache

from orders.models import Order
from strategies.models import SystemRisk
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, open_desk
from tests.factories import issue_token

pytestmark = pytest.mark.django_db(transaction=True)


def limit(**budgets):
    SystemRisk.objects.update_or_create(pk=1, defaults=budgets)
    cache.clear()


def refused(response):
    return (response.status_code, response.json().get("code"))


def test_a_token_may_send_so_many_orders_whatever_their_number_of_accounts(deliver, test1, runs):
    limit(token_orders_per_minute=4)
    first, second = deliver(test1.alert(BTC_LIMIT)), deliver(test1.alert(BTC_LIMIT, price="89000"))

    third = deliver(test1.alert(BTC_LIMIT, price="88000"))

    assert (first.status_code, second.status_code, refused(third)) == (200, 200, (429, "throttled"))
    assert "4" in third.json()["error"]
    assert 0 < int(third.headers["Retry-After"]) <= 60
    assert Order.objects.count() == 4


def test_a_batch_above_the_budget_sends_nothing(deliver, test1):
    limit(token_orders_per_minute=5)
    legs = [BTC_LIMIT | {"price": str(90000 - number)} for number in range(3)]  # on two accounts

    assert refused(deliver(test1.alert(orders=legs))) == (429, "throttled")
    assert not Order.objects.exists()


def test_exits_and_cancels_pass_above_every_budget(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    limit(token_orders_per_minute=1, user_orders_per_minute=1, all_orders_per_minute=1)

    closed, canceled = deliver(test1.alert(BTC_CLOSE)), deliver(test1.alert(CANCEL_ALL))
    flat = deliver(test1.alert(symbol="BTCUSDT", market_position="flat"))

    assert (closed.status_code, canceled.status_code, flat.status_code) == (200, 200, 200)
    assert closed.json()["outcome"] == "all"


def test_the_tokens_of_a_user_share_a_budget_and_others_have_their_own(deliver, paper, test1, bob):
    limit(user_orders_per_minute=2)
    rotated = issue_token(test1.strategy.owner)
    other = open_desk(paper, "B1", group_name="other", owner=bob)
    deliver(test1.alert(BTC_LIMIT))

    assert refused(deliver(test1.alert(BTC_LIMIT, price="89000", token=rotated))) == (429, "throttled")
    assert deliver(other.alert(BTC_LIMIT)).status_code == 200


def test_everybody_together_has_a_budget(deliver, paper, test1, bob):
    limit(all_orders_per_minute=2)
    other = open_desk(paper, "B1", group_name="other", owner=bob)
    deliver(test1.alert(BTC_LIMIT))

    assert refused(deliver(other.alert(BTC_LIMIT))) == (429, "throttled")


def test_a_dry_run_costs_nothing(deliver, test1):
    limit(token_orders_per_minute=2)
    deliver(test1.alert(BTC_LIMIT, dry_run=True))

    assert deliver(test1.alert(BTC_LIMIT)).status_code == 200


def test_exits_above_the_budget_of_their_user_take_nothing_from_everybody(deliver, paper, test1, bob):
    limit(user_orders_per_minute=2, all_orders_per_minute=8)
    other = open_desk(paper, "B1", group_name="other", owner=bob)
    for _ in range(5):
        deliver(test1.alert(BTC_CLOSE))  # two orders each, all of them let through

    assert deliver(other.alert(BTC_LIMIT)).status_code == 200


def test_a_cancel_takes_no_entries_past_the_budget(deliver, test1):
    limit(token_orders_per_minute=2)
    entries = [BTC_LIMIT | {"price": str(90000 - number)} for number in range(3)]  # on two accounts

    answer = deliver(test1.alert(orders=[*entries, CANCEL_ALL | {"symbol": "BTCUSDT"}]))

    assert Order.objects.exclude(submitted_at=None).count() <= 2, answer.json()
