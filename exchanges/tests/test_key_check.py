"""A permission that somebody gives to a stored key later is noticed within a day, and stops no order."""

import logging
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from exchanges.account_checks.key_check import check_keys
from exchanges.adapters.protocol import Credentials
from exchanges.enums import KeyFinding, TradingState
from exchanges.gateway import gateway
from exchanges.models import Account
from exchanges.vault import credentials_of
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db(transaction=True)

PERMISSIONS = "/sapi/v1/account/apiRestrictions"
NOW = timezone.now()
DAY = timedelta(days=1, seconds=1)


@pytest.fixture
def account(paper, alice):
    return open_account(paper, alice, "A1")


def open_account(paper, owner, name, **switches):
    row = AccountFactory(owner=owner, name=name)
    grant(paper, row, **switches)
    return row


def grant(paper, account, **switches):
    key = credentials_of(account)
    paper.open_account(key.api_key, key.secret, **switches)


def finding(account):
    account.refresh_from_db()
    return account.key_finding


def lines(caplog, level):
    return [
        record.getMessage() for record in caplog.records if record.levelno == level and "key" in record.msg
    ]


def test_the_right_to_withdraw_given_later_is_told_and_shown_and_stops_nothing(
    client, paper, account, caplog
):
    assert check_keys(now=NOW) == 1
    assert finding(account) == KeyFinding.ANY_ADDRESS
    grant(paper, account, can_withdraw=True)
    caplog.clear()

    assert check_keys(now=NOW + timedelta(hours=23)) == 0
    assert check_keys(now=NOW + DAY) == 1

    assert finding(account) == KeyFinding.MAY_WITHDRAW
    assert account.trading_state == TradingState.ACTIVE
    assert lines(caplog, logging.ERROR) == [
        f"key finding account={account.pk} exchange=paper finding=may_withdraw"
    ]
    client.force_login(User.objects.create_superuser("desk"))
    page = client.get(reverse("admin:exchanges_account_changelist"), HTTP_ACCEPT_LANGUAGE="en")
    assert "may withdraw: needs a person" in page.content.decode()


def test_a_key_of_every_address_is_warned_about(account, caplog):
    check_keys(now=NOW)

    assert lines(caplog, logging.ERROR) == []
    assert lines(caplog, logging.WARNING) == [
        f"key finding account={account.pk} exchange=paper finding=any_address"
    ]


def test_a_key_that_the_exchange_accepts_no_more_needs_a_person(paper, account, caplog):
    paper.fault(action="code", path=PERMISSIONS, value=-2015, times=None)

    check_keys(now=NOW)

    assert finding(account) == KeyFinding.NOT_ACCEPTED
    assert lines(caplog, logging.ERROR)


def test_an_account_without_an_answer_stops_no_other_and_is_asked_again_later(paper, account, alice, caplog):
    other = open_account(paper, alice, "A2", can_withdraw=True)
    sealed_elsewhere = open_account(paper, alice, "A3")
    Account.objects.filter(pk=sealed_elsewhere.pk).update(sealed_credentials="unreadable")
    gone = AccountFactory(owner=alice, name="A4", exchange="gone")
    paper.fault(
        action="status", value=500, path=PERMISSIONS, api_key=credentials_of(account).api_key, times=None
    )

    assert check_keys(now=NOW) == 1
    assert [finding(row) for row in (account, other, sealed_elsewhere, gone)] == ["", "may_withdraw", "", ""]
    paper.clear_faults()
    assert check_keys(now=NOW + timedelta(minutes=59)) == 0
    assert check_keys(now=NOW + timedelta(minutes=61)) == 1

    assert finding(account) == KeyFinding.ANY_ADDRESS
    assert not any("key not checked" in line for line in lines(caplog, logging.WARNING))


def test_a_long_silence_is_told(paper, account, caplog):
    paper.fault(action="status", value=500, path=PERMISSIONS, times=None)

    check_keys(now=NOW + timedelta(days=3))

    assert "key not checked" in lines(caplog, logging.WARNING)[0]


def test_a_half_answer_tells_only_what_is_grave(paper, account):
    """The mode of positions is asked of the futures only; without it the key is not good."""
    paper.fault(action="status", value=500, path="/fapi/v1/positionSide/dual", times=None)

    assert check_keys(now=NOW) == 0
    grant(paper, account, can_withdraw=True)
    check_keys(now=NOW + timedelta(hours=2))

    assert finding(account) == KeyFinding.MAY_WITHDRAW


def test_a_key_that_was_replaced_meanwhile_is_not_marked(paper, account, monkeypatch):
    grant(paper, account, can_withdraw=True)
    ask, inside = gateway.call_all, []

    def replace_meanwhile(calls):
        inside.append(connection.in_atomic_block)
        account.set_credentials(Credentials("new", "new"))
        account.save()
        return ask(calls)

    monkeypatch.setattr(gateway, "call_all", replace_meanwhile)
    check_keys(now=NOW)

    assert finding(account) == ""
    assert inside == [False]


def test_a_portion_is_asked_at_a_time_the_longest_unasked_first(paper, alice, monkeypatch):
    monkeypatch.setattr("exchanges.account_checks.key_check._AT_A_TIME", 2)
    rows = [open_account(paper, alice, f"A{number}") for number in range(3)]

    assert [check_keys(now=NOW + timedelta(minutes=10 * run)) for run in range(3)] == [2, 1, 0]

    assert all(finding(row) for row in rows)
