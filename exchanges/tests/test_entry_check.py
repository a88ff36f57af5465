"""Keys that may withdraw do not get in, and neither does a key that nobody could ask about."""

import socket
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from exchanges import registry
from exchanges.account_checks import entry_check
from exchanges.adapters.protocol import Credentials, KeyPermissions
from exchanges.enums import MarketType
from exchanges.errors import AuthenticationFailed, Unavailable
from exchanges.gateway import Call, Outcome, gateway
from exchanges.models import Account
from exchanges.vault import credentials_of

PERMISSIONS = "/sapi/v1/account/apiRestrictions"
POSITION_MODE = "/fapi/v1/positionSide/dual"
KEY = Credentials("a-new-key", "a-new-secret")
ADD = reverse("admin:exchanges_account_add")


def ask(exchange="paper", market_type=MarketType.SPOT, credentials=KEY):
    return gateway.call(Call(exchange, market_type, "fetch_permissions", credentials=credentials))


# The verb


@pytest.mark.parametrize("market_type", [MarketType.SPOT, MarketType.FUTURES])
@pytest.mark.parametrize("can_withdraw", [True, False])
def test_the_exchange_says_what_a_key_may_do(paper, market_type, can_withdraw):
    paper.open_account(KEY.api_key, KEY.secret, can_withdraw=can_withdraw)

    assert ask(market_type=market_type) == KeyPermissions(
        can_trade=True,
        can_withdraw=can_withdraw,
        is_ip_restricted=False,
        is_hedge_mode=False if market_type is MarketType.FUTURES else None,
    )


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"enableWithdrawals": "false"},
        {"enableWithdrawals": None},
        [],
        {"enableWithdrawals": False},
        "empty",
    ],
)
def test_an_answer_that_does_not_say_it_is_no_answer(paper, answer):
    paper.fault(action="garbage", path=PERMISSIONS, value=answer)

    with pytest.raises(Unavailable):
        ask()


def test_a_wrong_key_is_told_apart_from_silence(paper):
    paper.fault(action="code", path=PERMISSIONS, value=-2015)

    with pytest.raises(AuthenticationFailed):
        ask()


def test_an_exchange_without_a_way_to_ask_says_nothing(paper, monkeypatch):
    plain = registry.Exchange("plain", "Plain", {MarketType.SPOT: "kraken"})
    monkeypatch.setitem(registry.EXCHANGES, "plain", plain)

    assert ask("plain") == KeyPermissions()
    verdict = entry_check.examine_key("plain", KEY)
    assert verdict.refusal is None
    with override("en"):
        assert [str(text)[:35] for text in verdict.warnings] == ["This exchange does not tell whether"]


# The verdict


def said(**permissions):
    good = {"can_trade": True, "can_withdraw": False, "is_ip_restricted": True}
    return KeyPermissions(**good | permissions)


@pytest.mark.parametrize(
    ("answers", "refused", "warnings"),
    [
        ([said()], False, 0),
        ([said(is_ip_restricted=False)], False, 1),
        ([said(can_withdraw=None)], False, 1),
        ([said(can_withdraw=True)], True, 0),
        ([said(), said(can_withdraw=True)], True, 0),
        ([said(can_trade=False)], True, 0),
        ([said(can_trade=False), said()], False, 0),
        ([said(is_hedge_mode=False)], False, 0),
        ([said(), said(is_hedge_mode=True)], True, 0),
        ([KeyPermissions()], False, 1),
    ],
)
def test_a_key_is_judged_by_everything_that_was_said_of_it(monkeypatch, answers, refused, warnings):
    monkeypatch.setattr(gateway, "call_all", lambda calls: [Outcome(calls[0], answer) for answer in answers])

    verdict = entry_check.examine_key("paper", KEY)

    assert (bool(verdict.refusal), len(verdict.warnings)) == (refused, warnings)


# The desk


@pytest.fixture
def desk(client, paper):
    client.force_login(User.objects.create_superuser("desk"))
    return client


def enter(desk, alice, path=ADD, **fields):
    form = {"owner": alice.pk, "name": "A1", "exchange": "paper", "is_active": "on"}
    form |= {"api_key": KEY.api_key, "secret": KEY.secret} | fields
    return desk.post(path, form, HTTP_ACCEPT_LANGUAGE="en")


def refused(response, text):
    content = response.content.decode()
    assert response.status_code == 200
    assert text in content
    assert KEY.api_key not in content
    assert KEY.secret not in content
    return not Account.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_key_that_may_not_withdraw_is_kept(desk, paper, alice):
    paper.open_account(KEY.api_key, KEY.secret)

    response = enter(desk, alice)

    assert response.status_code == 302
    account = Account.objects.get()
    assert credentials_of(account) == KEY
    assert (account.key_finding, account.key_checked_at is None) == ("any_address", False)
    assert "works from every address" in desk.get(response.url, HTTP_ACCEPT_LANGUAGE="en").content.decode()


@pytest.mark.django_db(transaction=True)
def test_entering_an_account_is_its_first_comparison_and_a_change_is_none(desk, paper, alice):
    paper.open_account(KEY.api_key, KEY.secret)
    enter(desk, alice)
    entered = Account.objects.get()

    enter(desk, alice, reverse("admin:exchanges_account_change", args=[entered.pk]), name="B1")

    changed = Account.objects.get()
    assert timezone.now() - entered.compared_at < timedelta(minutes=1)
    assert (changed.name, changed.compared_at) == ("B1", entered.compared_at)


@pytest.mark.django_db(transaction=True)
def test_a_key_that_may_withdraw_is_refused(desk, paper, alice):
    paper.open_account(KEY.api_key, KEY.secret, can_withdraw=True)

    assert refused(enter(desk, alice), "This key may withdraw.")


@pytest.mark.django_db(transaction=True)
def test_an_account_in_hedge_mode_is_refused(desk, paper, alice):
    paper.fault(action="garbage", path=POSITION_MODE, value={"dualSidePosition": True})

    assert refused(enter(desk, alice), "Switch it to one-way mode at the exchange.")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("answer", [{}, {"dualSidePosition": "true"}, []])
def test_an_account_whose_position_mode_is_not_told_is_to_be_asked_again(desk, paper, alice, answer):
    paper.fault(action="garbage", path=POSITION_MODE, value=answer)

    assert refused(enter(desk, alice), "please try again")


def test_a_key_without_futures_is_not_asked_for_its_position_mode(paper):
    paper.fault(
        action="garbage",
        path=PERMISSIONS,
        value={"enableFutures": False, "enableWithdrawals": False, "ipRestrict": True},
    )

    assert ask(market_type=MarketType.FUTURES).is_hedge_mode is None
    assert POSITION_MODE not in {row["path"] for row in paper.requests()}


@pytest.mark.django_db(transaction=True)
def test_a_key_that_the_exchange_does_not_accept_is_refused(desk, paper, alice):
    paper.open_account(KEY.api_key, "another secret")

    assert refused(enter(desk, alice), "The exchange does not accept this key")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "drop"},
        {"action": "garbage"},
        {"action": "garbage", "value": {}},
        {"action": "status", "value": 503},
        {"action": "status", "value": 429},
        {"action": "redirect"},
    ],
)
def test_an_exchange_that_does_not_answer_is_to_be_asked_again(desk, paper, alice, fault):
    paper.fault(path=PERMISSIONS, times=None, **fault)

    assert refused(enter(desk, alice), "please try again")


@pytest.mark.django_db(transaction=True)
def test_an_exchange_that_is_not_there_is_to_be_asked_again(desk, alice, settings, unused_port):
    settings.PAPER_EXCHANGE_URL = f"http://127.0.0.1:{unused_port}"
    gateway.forget_exchanges()

    assert refused(enter(desk, alice), "please try again")


@pytest.fixture
def unused_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.django_db(transaction=True)
def test_the_exchange_is_asked_once_and_in_no_transaction(desk, paper, alice, monkeypatch):
    asked = []
    real = gateway.call_all
    monkeypatch.setattr(
        gateway, "call_all", lambda calls: asked.append(connection.in_atomic_block) or real(calls)
    )

    enter(desk, alice)

    assert asked == [False, False]  # for the permissions, and for the account


@pytest.mark.django_db(transaction=True)
def test_an_account_stays_its_owners_and_its_exchanges_and_a_change_needs_no_new_key(desk, paper, alice, bob):
    enter(desk, alice)
    account = Account.objects.get()
    change = reverse("admin:exchanges_account_change", args=[account.pk])
    nothing_entered = {"api_key": "", "secret": ""}
    before = len(paper.requests())

    response = enter(desk, bob, change, name="A9", exchange="binance", **nothing_entered)

    account.refresh_from_db()
    assert response.status_code == 302
    assert (account.name, account.owner, account.exchange) == ("A9", alice, "paper")
    assert credentials_of(account) == KEY
    assert len(paper.requests()) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"api_key": "", "secret": "", "password": "new"}, "Enter the API password together with"),
        ({"api_key": "", "secret": "new"}, "Enter the API key and its secret together"),
    ],
)
def test_a_part_of_the_credentials_is_not_dropped_in_silence(desk, paper, alice, fields, text):
    enter(desk, alice)
    account = Account.objects.get()
    before = account.sealed_credentials

    response = enter(desk, alice, reverse("admin:exchanges_account_change", args=[account.pk]), **fields)

    account.refresh_from_db()
    assert response.status_code == 200
    assert text in response.content.decode()
    assert account.sealed_credentials == before


@pytest.mark.django_db(transaction=True)
def test_who_may_not_save_accounts_asks_no_exchange(client, paper, alice):
    client.force_login(User.objects.create_user("staff", is_staff=True))

    assert enter(client, alice).status_code == 403
    assert paper.requests() == []
