"""Credentials at rest."""

import json
from dataclasses import astuple
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.utils import timezone

from audit.actor import Actor
from exchanges import vault
from exchanges.adapters.protocol import Credentials
from exchanges.models import Account
from exchanges.vault import CredentialsUnreadable, credentials_of
from strategies.models import WebhookToken
from tests.factories import AccountFactory, StrategyFactory

SECRETS = Credentials("key", "secret", "phrase")
HERE = vault.Place("account:1", "exchanges_account.sealed_credentials", 1, "paper")


def sealed_to_the_row_alone(*fields):
    """As the first version sealed."""
    return vault._current_cipher().encrypt(json.dumps(fields).encode()).decode()


def test_what_was_sealed_opens_for_the_same_row():
    sealed = vault.seal(SECRETS, place=HERE)

    assert vault.unseal(sealed, place=HERE) == SECRETS
    assert "secret" not in sealed


@pytest.mark.parametrize(
    "change", [lambda text: text, lambda text: text[:-4] + "AAA=", lambda text: "", lambda text: "é"]
)
def test_a_moved_or_forged_text_does_not_open(change):
    sealed = vault.seal(SECRETS, place=HERE)

    with pytest.raises(CredentialsUnreadable):
        vault.unseal(change(sealed), place=HERE._replace(row="account:2"))


@pytest.mark.parametrize(
    "change", [{"row": "account:2"}, {"column": "another.column"}, {"owner": 2}, {"purpose": "binance"}]
)
def test_a_text_opens_in_its_whole_place_only(change):
    sealed = vault.seal(SECRETS, place=HERE)

    with pytest.raises(CredentialsUnreadable):
        vault.unseal(sealed, place=HERE._replace(**change))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [2],
        [2, []],
        [2, list(HERE)],
        [None, "key"],
        [2, [*HERE, "more"], "k", "s", "p"],
        ["account:2", "k"],
    ],
)
def test_a_text_of_another_shape_opens_nowhere(fields):
    with pytest.raises(CredentialsUnreadable):
        vault.unseal(sealed_to_the_row_alone(*fields), place=HERE)


@pytest.mark.django_db
def test_a_text_of_the_first_version_opens_and_rotation_binds_it_to_more(bob):
    account = AccountFactory(name="A1")
    account.sealed_credentials = sealed_to_the_row_alone(f"account:{account.uid}", *astuple(SECRETS))
    account.save()
    assert credentials_of(account) == SECRETS

    call_command("rotate_credentials")

    account.refresh_from_db()
    assert credentials_of(account) == SECRETS
    account.owner = bob
    with pytest.raises(CredentialsUnreadable):
        credentials_of(account)


def swap(one, other, *names):
    """As who can write the database: the values of two rows change places."""
    rows = [type(one).objects.filter(pk=row.pk).values_list(*names)[0] for row in (one, other)]
    unique = [name for name in names if name in ("uid", "digest")]
    for name in unique:  # room for the other row's value
        type(one).objects.filter(pk=other.pk).update(**{name: uuid4() if name == "uid" else "0"})
    type(one).objects.filter(pk=one.pk).update(**dict(zip(names, rows[1], strict=True)))
    type(one).objects.filter(pk=other.pk).update(**dict(zip(names, rows[0], strict=True)))


@pytest.mark.django_db
@pytest.mark.parametrize("names", [["sealed_credentials"], ["sealed_credentials", "uid"]])
def test_credentials_swapped_with_another_owner_open_for_neither(alice, bob, names):
    ours, theirs = AccountFactory(owner=alice), AccountFactory(owner=bob)

    swap(ours, theirs, *names)

    for account in Account.objects.all():
        with pytest.raises(CredentialsUnreadable):
            credentials_of(account)


@pytest.mark.django_db
@pytest.mark.parametrize("change", [{"exchange": "binance"}, {"owner": "bob"}])
def test_credentials_serve_no_other_exchange_and_no_other_owner(alice, bob, change):
    account = AccountFactory(owner=alice)
    Account.objects.update(**change | ({"owner": bob} if "owner" in change else {}))
    account.refresh_from_db()

    with pytest.raises(CredentialsUnreadable):
        credentials_of(account)


@pytest.mark.django_db
@pytest.mark.parametrize("names", [["sealed_signing_secret"], ["digest"], ["user_id"], ["strategy_id"]])
def test_a_signing_secret_serves_no_other_token(alice, bob, names):
    one = WebhookToken.objects.issue(user=alice, strategy=StrategyFactory(owner=alice))[0]
    other = WebhookToken.objects.issue(user=bob, strategy=StrategyFactory(owner=bob))[0]
    one.renew_signing_secret(actor=Actor.of_service("test"), now=timezone.now())
    other.renew_signing_secret(actor=Actor.of_service("test"), now=timezone.now())

    swap(one, other, *names)

    for token in WebhookToken.objects.all():
        with pytest.raises(CredentialsUnreadable):
            _ = token.signing_secret


def test_secrets_are_not_shown():
    assert "secret" not in repr(SECRETS)
    assert "secret" not in str([SECRETS])


@pytest.mark.django_db
def test_a_new_key_encrypts_and_the_old_one_still_opens(settings):
    account = AccountFactory(name="A1")
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode(), *settings.CREDENTIAL_KEYS]

    account.refresh_seal()

    settings.CREDENTIAL_KEYS = settings.CREDENTIAL_KEYS[:1]
    assert credentials_of(Account.objects.get()).api_key == "key-of-A1"


@pytest.mark.django_db
def test_without_the_old_key_nothing_opens_and_nothing_is_lost(settings):
    account = AccountFactory(name="A1")
    sealed = account.sealed_credentials
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode()]

    with pytest.raises(CredentialsUnreadable):
        account.refresh_seal()

    assert Account.objects.get().sealed_credentials == sealed


@pytest.mark.django_db
def test_rotation_does_not_overwrite_credentials_that_were_entered_meanwhile(settings):
    account = AccountFactory(name="A1")
    entered = Account.objects.get()
    entered.set_credentials(Credentials("new", "new"))
    entered.save()

    account.refresh_seal()

    assert credentials_of(Account.objects.get()).api_key == "new"
