"""The demo's rows: an administrator, an owner with two strategies and two accounts, a subscriber with an account."""

import secrets
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from exchanges.adapters.protocol import Credentials
from exchanges.enums import MarketType
from exchanges.models import Account
from exchanges.vault import CredentialsUnreadable, credentials_of
from strategies.models import (
    ApiToken,
    Strategy,
    StrategyAccount,
    Subscription,
    Token,
    WebhookToken,
)
from tradehub.demo.access import Access

ADMIN, OWNER, SUBSCRIBER = "admin", "alice", "bob"
TOKEN_NAME = "demo"
PRIVATE_CAPITAL = Decimal(20_000_000)
PUBLIC_CAPITAL = Decimal(1_000_000)


@transaction.atomic
def seed_demo(*, before: Access, url: str, now: datetime) -> Access:
    """Makes the missing rows and returns the access to all rows. `before` is the access of an earlier run."""
    admin_password = ensure_admin(before.admin_password)
    owner = ensure_user(OWNER)
    subscriber = ensure_user(SUBSCRIBER)
    a1, a2 = ensure_account(owner, "A1", now=now), ensure_account(owner, "A2", now=now)
    s1 = ensure_account(subscriber, "S1", now=now)
    test1 = ensure_strategy(owner, "test1", is_public=False)
    follow1 = ensure_strategy(owner, "follow1", is_public=True)
    Subscription.objects.get_or_create(user=subscriber, strategy=follow1)
    for strategy, account, capital in [
        (test1, a1, PRIVATE_CAPITAL),
        (test1, a2, PRIVATE_CAPITAL),
        (follow1, a1, PUBLIC_CAPITAL),
        (follow1, s1, PUBLIC_CAPITAL),
    ]:
        StrategyAccount.objects.get_or_create(
            strategy=strategy, account=account, defaults={"capital": capital}
        )
    return Access(
        url=url,
        token=ensure_token(WebhookToken, owner, before.token, now=now),
        subscriber_token=ensure_token(WebhookToken, subscriber, before.subscriber_token, now=now),
        admin_user=ADMIN,
        admin_password=admin_password,
        api_token=ensure_token(ApiToken, owner, before.api_token, now=now),
        subscriber_api_token=ensure_token(ApiToken, subscriber, before.subscriber_api_token, now=now),
        accounts={account.name: credentials_of(account).api_key for account in (a1, a2, s1)},
    )


def demo_credentials() -> list[Credentials]:
    accounts = Account.objects.filter(owner__username__in=[OWNER, SUBSCRIBER], exchange="paper")
    return [credentials_of(account) for account in accounts]


def ensure_admin(password: str) -> str:
    """Returns the administrator's password: the given password if still right, else a new password."""
    admin, _ = User.objects.get_or_create(username=ADMIN, defaults={"is_staff": True, "is_superuser": True})
    if not password or not admin.check_password(password):
        password = secrets.token_urlsafe(15)
        admin.set_password(password)
        admin.save(update_fields=["password"])
    return password


def ensure_user(name: str) -> User:
    user, made = User.objects.get_or_create(username=name)
    if made:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def ensure_account(owner: User, name: str, *, now: datetime) -> Account:
    """Returns the account, with new paper credentials if none are stored, or if a new .env cannot decrypt them."""
    account = Account.objects.filter(owner=owner, name=name).first()
    account = account or Account(owner=owner, name=name, exchange="paper", compared_at=now)
    try:
        known = bool(account.sealed_credentials and credentials_of(account))
    except CredentialsUnreadable:
        known = False
    if not known:
        account.set_credentials(Credentials(f"paper-{name}-{secrets.token_hex(8)}", secrets.token_hex(32)))
        account.save()
    return account


def ensure_strategy(owner: User, group_name: str, *, is_public: bool) -> Strategy:
    strategy, _ = Strategy.objects.get_or_create(
        group_name=group_name,
        defaults={
            "owner": owner,
            "name": group_name,
            "market_type": MarketType.FUTURES,
            "is_public": is_public,
        },
    )
    return strategy


def ensure_token(kind: type[Token], user: User, clear: str, *, now: datetime) -> str:
    """Returns the given token if valid for the user; else revokes the user's demo tokens and issues a new token."""
    rows: Any = kind._default_manager
    found = rows.find(clear, now=now) if clear else None
    if found is not None and found.user_id == user.pk:
        return clear
    rows.valid(now=now).filter(user=user, name=TOKEN_NAME).update(revoked_at=now)
    issued: str = rows.issue(user=user, name=TOKEN_NAME)[1]
    return issued
