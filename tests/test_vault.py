"""Credentials at rest."""

import pytest
from cryptography.fernet import Fernet

from exchanges import vault
from exchanges.adapters.protocol import Credentials
from exchanges.models import Account
from exchanges.vault import CredentialsUnreadable, credentials_of
from tests.factories import AccountFactory

SECRETS = Credentials("key", "secret", "phrase")


def test_what_was_sealed_opens_for_the_same_row():
    sealed = vault.seal(SECRETS, identity="account:1")

    assert vault.unseal(sealed, identity="account:1") == SECRETS
    assert "secret" not in sealed


@pytest.mark.parametrize(
    "change", [lambda text: text, lambda text: text[:-4] + "AAA=", lambda text: "", lambda text: "é"]
)
def test_a_moved_or_forged_text_does_not_open(change):
    sealed = vault.seal(SECRETS, identity="account:1")

    with pytest.raises(CredentialsUnreadable):
        vault.unseal(change(sealed), identity="account:2")


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
