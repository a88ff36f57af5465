"""New keys of an account: they must lead to the same account while something there needs an exit."""

import pytest
from django.contrib.auth.models import User

from exchanges.account_checks.key_change import KeyChange, read_key_change, refusal_of_change
from exchanges.adapters.protocol import Credentials
from exchanges.models import Account
from exchanges.vault import credentials_of
from tests.desk import BTC_LIMIT, BTC_MARKET

pytestmark = pytest.mark.django_db(transaction=True)

NEW = Credentials("new-key-of-somebody", "new-secret-of-somebody")
ID = "/api/v3/account"
OTHER, UNTOLD = "This key belongs to another account", "does not tell whether this key"


@pytest.fixture
def desk(client, paper):
    client.force_login(User.objects.create_superuser("desk"))
    return client


@pytest.fixture
def account(test1):
    return test1.accounts["A1"]


def enter(desk, account, **fields):
    form = {"name": account.name, "is_active": "on", "api_key": NEW.api_key, "secret": NEW.secret} | fields
    return desk.post(f"/admin/exchanges/account/{account.pk}/change/", form, HTTP_ACCEPT_LANGUAGE="en")


def assert_refused(response, account, text):
    content = response.content.decode()
    assert response.status_code == 200
    assert text in content
    assert NEW.api_key not in content
    assert credentials_of(Account.objects.get(pk=account.pk)) != NEW


def assert_kept(response, account):
    assert response.status_code == 302
    stored = Account.objects.get(pk=account.pk)
    assert credentials_of(stored) == NEW
    return stored


@pytest.mark.parametrize("alert", [BTC_LIMIT, BTC_MARKET], ids=["order", "position"])
def test_a_key_of_another_account_is_refused_while_something_is_open(
    desk, paper, deliver, test1, account, alert
):
    deliver(test1.alert(alert))
    paper.open_account(NEW.api_key, NEW.secret)

    assert_refused(enter(desk, account), account, OTHER)
    assert_refused(enter(desk, account, is_same_account="on"), account, OTHER)


def test_a_key_of_another_account_is_taken_where_nothing_is_open(desk, paper, account):
    paper.open_account(NEW.api_key, NEW.secret)

    response = enter(desk, account)

    stored = assert_kept(response, account)
    assert stored.exchange_account_id == str(paper.account(NEW.api_key)["uid"])
    page = desk.get(response.url, HTTP_ACCEPT_LANGUAGE="en").content.decode()
    assert "belongs to another account at the exchange than the key before" in page


def test_another_key_of_the_same_account_is_taken_at_any_time(desk, paper, deliver, test1, account):
    deliver(test1.alert(BTC_LIMIT))
    Account.objects.filter(pk=account.pk).update(exchange_account_id="4711")
    paper.open_account(NEW.api_key, NEW.secret)
    paper.fault(action="garbage", value={"uid": 4711, "balances": []}, path=ID, times=None)

    stored = assert_kept(enter(desk, account), account)

    assert stored.exchange_account_id == "4711"


def test_an_account_that_the_exchange_does_not_name_needs_a_persons_word(
    desk, paper, deliver, test1, account
):
    deliver(test1.alert(BTC_LIMIT))
    paper.open_account(NEW.api_key, NEW.secret)
    paper.fault(action="garbage", value={"balances": []}, path=ID, times=None)

    assert_refused(enter(desk, account), account, UNTOLD)
    assert_kept(enter(desk, account, is_same_account="on"), account)


def test_a_lost_old_key_is_known_by_the_stored_id(paper, account):
    account.exchange_account_id = "4711"
    paper.open_account(NEW.api_key, NEW.secret)

    change = read_key_change(account, "paper", NEW)

    assert (change.old_id, change.is_of_other_account) == ("4711", True)


def test_a_key_that_cannot_be_decrypted_any_more_has_no_account(paper, account):
    account.sealed_credentials = "nonsense"

    assert read_key_change(account, "paper", NEW).old_id == ""


def test_a_new_account_learns_its_id(desk, paper, alice):
    paper.open_account(NEW.api_key, NEW.secret)
    form = {"owner": alice.pk, "name": "B1", "exchange": "paper", "is_active": "on"}

    desk.post("/admin/exchanges/account/add/", form | {"api_key": NEW.api_key, "secret": NEW.secret})

    assert Account.objects.get(name="B1").exchange_account_id == str(paper.account(NEW.api_key)["uid"])


@pytest.mark.parametrize(
    ("old_id", "new_id", "works_something", "is_confirmed", "is_refused"),
    [
        ("1", "1", True, False, False),
        ("1", "2", True, False, True),
        ("1", "2", True, True, True),
        ("1", "2", False, False, False),
        ("", "2", True, False, True),
        ("1", "", True, False, True),
        ("", "", True, False, True),
        ("", "", True, True, False),
        ("", "", False, False, False),
    ],
)
def test_what_is_open_decides(old_id, new_id, works_something, is_confirmed, is_refused):
    change = KeyChange(NEW, old_id, new_id)

    refusal = refusal_of_change(change, works_something=works_something, is_confirmed=is_confirmed)

    assert bool(refusal) is is_refused
