"""Rows for tests. The cast: alice owns, bob subscribes, charlie must see nothing."""

from typing import Any

import factory
from django.contrib.auth.models import User
from django.utils import timezone
from factory.django import DjangoModelFactory

from exchanges.adapters.protocol import Credentials
from exchanges.enums import MarketType
from exchanges.models import Account
from strategies.models import ApiToken, Strategy, StrategyAccount, Subscription, WebhookToken


class UserFactory(DjangoModelFactory):
    class Meta:
        model = User
        django_get_or_create = ("username",)

    username = "alice"


class AccountFactory(DjangoModelFactory):
    """With credentials of its own, as a person would enter them."""

    class Meta:
        model = Account

    owner = factory.SubFactory(UserFactory)
    name = factory.Sequence(lambda n: f"account-{n}")
    exchange = "paper"

    @classmethod
    def _create(cls, model_class: type[Account], *args: Any, **fields: Any) -> Account:
        account = model_class(*args, **fields)
        account.compared_at = account.compared_at or timezone.now()  # as where a person enters the account
        account.set_credentials(Credentials(f"key-of-{account.name}", f"secret-of-{account.name}"))
        account.save()
        return account


class StrategyFactory(DjangoModelFactory):
    class Meta:
        model = Strategy

    owner = factory.SubFactory(UserFactory)
    group_name = factory.Sequence(lambda n: f"strategy-{n}")
    name = factory.SelfAttribute("group_name")
    market_type = MarketType.FUTURES


class StrategyAccountFactory(DjangoModelFactory):
    class Meta:
        model = StrategyAccount

    strategy = factory.SubFactory(StrategyFactory)
    account = factory.SubFactory(AccountFactory)
    capital = 20_000_000


class SubscriptionFactory(DjangoModelFactory):
    class Meta:
        model = Subscription

    user = factory.SubFactory(UserFactory, username="bob")
    strategy = factory.SubFactory(StrategyFactory, is_public=True)


def issue_token(user: User, **fields: Any) -> str:
    """The clear text, as its owner sees it once."""
    return WebhookToken.objects.issue(user=user, **fields)[1]


def issue_api_token(user: User, **fields: Any) -> str:
    return ApiToken.objects.issue(user=user, **fields)[1]
