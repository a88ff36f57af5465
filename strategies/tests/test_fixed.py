"""What money hangs on is chosen once: no form, and no other code that validates, points a row elsewhere."""

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.urls import reverse

from exchanges.enums import MarketType
from strategies.models import StrategyAccount, Subscription, WebhookToken
from tests.desk import BTC_MARKET
from tests.factories import (
    AccountFactory,
    StrategyAccountFactory,
    StrategyFactory,
    SubscriptionFactory,
    issue_token,
)

FORMSET = {
    "strategy_accounts-TOTAL_FORMS": 1,
    "strategy_accounts-INITIAL_FORMS": 1,
    "strategy_accounts-MIN_NUM_FORMS": 0,
    "strategy_accounts-MAX_NUM_FORMS": 1000,
}


@pytest.fixture
def desk(client, db):
    client.force_login(User.objects.create_superuser("desk"))
    return client


@pytest.fixture
def strategy_account(alice):
    return StrategyAccountFactory()


def save(desk, row, **fields):
    name = row._meta.model_name
    return desk.post(
        reverse(f"admin:strategies_{name}_change", args=[row.pk]), fields, HTTP_ACCEPT_LANGUAGE="en"
    )


def strategy_form(strategy_account, **fields):
    strategy = strategy_account.strategy
    form = {"owner": strategy.owner_id, "market_type": strategy.market_type, "is_active": "on"}
    form |= {"passed_stop": "ask", "unprotected": "alarm", "on_gap": "follow"}
    row = {
        "id": strategy_account.pk,
        "strategy": strategy.pk,
        "account": strategy_account.account_id,
        "capital": "5",
        "capital_currency": "USDT",
        "leverage": "1",
        "weight": "1",
        "is_active": "on",
    }
    form |= {"name": "renamed", "group_name": strategy.group_name} | FORMSET
    return form | {f"strategy_accounts-0-{name}": value for name, value in row.items()} | fields


def test_a_strategy_in_use_keeps_its_owner_its_market_and_its_accounts(desk, strategy_account, bob):
    other = AccountFactory(owner=strategy_account.account.owner)
    changed = {
        "owner": bob.pk,
        "market_type": MarketType.SPOT,
        "strategy_accounts-0-account": other.pk,
    }

    response = save(desk, strategy_account.strategy, **strategy_form(strategy_account, **changed))

    after = StrategyAccount.objects.select_related("strategy").get()
    assert response.status_code == 302, response.content.decode()
    assert (after.strategy.name, after.capital) == ("renamed", 5)
    assert (after.strategy.owner_id, after.strategy.market_type) == (
        strategy_account.account.owner_id,
        "FUTURES",
    )
    assert after.account_id == strategy_account.account_id


def test_a_strategy_that_nobody_uses_may_still_change(desk, alice, bob):
    strategy = StrategyFactory()
    form = {"owner": bob.pk, "market_type": MarketType.SPOT, "name": "x", "group_name": "x"}
    form |= FORMSET | {"passed_stop": "ask", "unprotected": "alarm", "on_gap": "follow"}
    form["strategy_accounts-TOTAL_FORMS"] = form["strategy_accounts-INITIAL_FORMS"] = 0

    response = save(desk, strategy, **form)

    strategy.refresh_from_db()
    assert response.status_code == 302, response.content.decode()
    assert (strategy.owner, strategy.market_type) == (bob, "SPOT")


def test_a_strategy_account_keeps_its_strategy_and_account(desk, strategy_account):
    form = {"strategy": StrategyFactory().pk, "account": AccountFactory().pk, "capital": "7"}
    form |= {"capital_currency": "USDT", "leverage": "1", "weight": "1", "is_active": "on"}

    response = save(desk, strategy_account, **form)

    after = StrategyAccount.objects.get()
    assert response.status_code == 302, response.content.decode()
    assert (after.strategy_id, after.account_id, after.capital) == (
        strategy_account.strategy_id,
        strategy_account.account_id,
        7,
    )


def test_a_token_keeps_its_user_and_strategy(desk, alice, bob):
    issue_token(alice)
    token = WebhookToken.objects.get()

    response = save(desk, token, user=bob.pk, strategy=StrategyFactory().pk, name="renamed")

    token.refresh_from_db()
    assert response.status_code == 302
    assert (token.user, token.strategy, token.name) == (alice, None, "renamed")


def test_a_subscription_keeps_its_user_and_strategy(desk, alice, bob):
    subscription = SubscriptionFactory(user=bob)
    other = StrategyFactory(is_public=True)

    response = save(desk, subscription, user=alice.pk, strategy=other.pk, is_active="on")

    after = Subscription.objects.get()
    assert response.status_code == 302
    assert (after.user, after.strategy, after.is_active) == (bob, subscription.strategy, True)
    with pytest.raises(ValidationError):
        Subscription(pk=after.pk, user=alice, strategy=after.strategy).clean()


@pytest.mark.parametrize("name", ["strategy", "account"])
def test_no_code_that_validates_points_a_strategy_account_elsewhere(strategy_account, name):
    setattr(strategy_account, name, {"strategy": StrategyFactory, "account": AccountFactory}[name]())

    with pytest.raises(ValidationError) as caught:
        strategy_account.full_clean()

    assert "fixed" in [error.code for error in caught.value.error_dict["__all__"]]


def test_no_code_that_validates_points_a_strategy_or_a_token_elsewhere(strategy_account, bob):
    issue_token(strategy_account.account.owner)
    token = WebhookToken.objects.get()
    token.user, strategy_account.strategy.owner = bob, bob

    for row in (token, strategy_account.strategy):
        with pytest.raises(ValidationError):
            row.clean()


@pytest.mark.django_db(transaction=True)
def test_a_strategy_account_with_orders_is_not_deleted_and_the_page_says_why(deliver, desk, test1):
    deliver(test1.alert(BTC_MARKET))
    strategy_account = test1.strategy_account("A1")
    url = reverse("admin:strategies_strategyaccount_delete", args=[strategy_account.pk])

    pages = [desk.get(url, HTTP_ACCEPT_LANGUAGE="en"), desk.post(url, {"post": "yes"})]
    form = strategy_form(strategy_account) | {"strategy_accounts-0-DELETE": "on"}
    inline = save(desk, test1.strategy, **form)

    assert [page.status_code for page in (*pages, inline)] == [200, 200, 200]
    assert "Cannot delete" in pages[0].content.decode()
    assert "protected" in inline.content.decode()
    assert StrategyAccount.objects.filter(pk=strategy_account.pk).exists()


@pytest.mark.parametrize("field", ["owner", "exchange"])
def test_an_account_keeps_its_owner_and_exchange(strategy_account, bob, field):
    account = strategy_account.account
    setattr(account, field, {"owner": bob, "exchange": "binance"}[field])

    with pytest.raises(ValidationError):
        account.full_clean()
