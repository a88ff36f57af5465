from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User

from exchanges.models import Account
from strategies.models import ApiToken, Strategy, StrategyAccount, Subscription, WebhookToken
from tradehub.demo.access import Access
from tradehub.demo.seed import demo_credentials, seed_demo

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 22, tzinfo=UTC)
URL = "https://localhost:5001"


def strategy_accounts(group_name):
    rows = StrategyAccount.objects.taking_part_in(Strategy.objects.get(group_name=group_name))
    return [(row.account.name, row.capital, row.capital_currency) for row in rows]


def count_rows():
    models = [User, Account, Strategy, StrategyAccount, Subscription, WebhookToken, ApiToken]
    return [model.objects.count() for model in models]


def test_the_private_strategy_trades_on_both_accounts_of_the_owner():
    seed_demo(before=Access(), url=URL, now=NOW)

    assert strategy_accounts("test1") == [("A1", 20_000_000, "USDT"), ("A2", 20_000_000, "USDT")]
    assert not Strategy.objects.get(group_name="test1").is_public


def test_the_public_strategy_trades_for_owner_and_subscriber():
    seed_demo(before=Access(), url=URL, now=NOW)

    assert strategy_accounts("follow1") == [("A1", 1_000_000, "USDT"), ("S1", 1_000_000, "USDT")]


def test_every_way_in_works():
    access = seed_demo(before=Access(), url=URL, now=NOW)

    assert WebhookToken.objects.find(access.token, now=NOW).user.username == "alice"
    assert WebhookToken.objects.find(access.subscriber_token, now=NOW).user.username == "bob"
    assert User.objects.get(username=access.admin_user, is_superuser=True).check_password(
        access.admin_password
    )
    assert ApiToken.objects.find(access.api_token, now=NOW).user.username == "alice"
    assert ApiToken.objects.find(access.subscriber_api_token, now=NOW).user.username == "bob"
    assert sorted(access.accounts) == ["A1", "A2", "S1"]
    assert {row.api_key for row in demo_credentials()} == set(access.accounts.values())


def test_a_second_run_changes_nothing():
    first = seed_demo(before=Access(), url=URL, now=NOW)
    before = count_rows()

    assert seed_demo(before=first, url=URL, now=NOW) == first
    assert count_rows() == before


def test_a_lost_file_brings_new_secrets_and_ends_the_old_ones():
    first = seed_demo(before=Access(), url=URL, now=NOW)

    second = seed_demo(before=Access(), url=URL, now=NOW)

    assert WebhookToken.objects.find(first.token, now=NOW) is None
    assert WebhookToken.objects.find(second.token, now=NOW)
    assert ApiToken.objects.find(first.api_token, now=NOW) is None
    assert ApiToken.objects.find(second.api_token, now=NOW)
    assert not User.objects.get(username="admin").check_password(first.admin_password)
    assert second.accounts == first.accounts


def test_another_users_token_in_the_file_is_not_taken_for_the_owners():
    first = seed_demo(before=Access(), url=URL, now=NOW)

    mixed_up = replace(first, token=first.subscriber_token, api_token=first.subscriber_api_token)
    second = seed_demo(before=mixed_up, url=URL, now=NOW)

    assert WebhookToken.objects.find(second.token, now=NOW).user.username == "alice"
    assert ApiToken.objects.find(second.api_token, now=NOW).user.username == "alice"


def test_accounts_sealed_with_a_lost_key_get_new_paper_keys(settings):
    first = seed_demo(before=Access(), url=URL, now=NOW)
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode()]

    second = seed_demo(before=first, url=URL, now=NOW)

    assert second.accounts.keys() == first.accounts.keys()
    assert not set(second.accounts.values()) & set(first.accounts.values())


def test_what_a_person_changed_stays_changed():
    first = seed_demo(before=Access(), url=URL, now=NOW)
    StrategyAccount.objects.filter(strategy__group_name="test1").update(capital=5)

    seed_demo(before=first, url=URL, now=NOW)

    assert {capital for _, capital, _ in strategy_accounts("test1")} == {5}
