"""Acts that could cost much ask for the password again; what stops trading never does."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from audit.actions import Action
from audit.models import AuditEntry
from exchanges.enums import TradingState
from staff.sign_in import confirmation
from staff.tests.conftest import PASSWORD
from strategies.models import SystemRisk, WebhookToken
from tests.factories import AccountFactory, StrategyFactory
from tradehub.http.login import TRIES_PER_NAME

pytestmark = pytest.mark.django_db
CONFIRM = "/admin/confirm/"
SYSTEM = reverse("admin:strategies_systemrisk_changelist")


@pytest.fixture
def boss(browser):
    """An owner who signed in more than ten minutes ago."""
    client = browser("boss", role="owner")
    forget(client)
    return client


def forget(client):
    session = client.session
    session["confirmed_at"] = (timezone.now() - confirmation.VALID - timedelta(seconds=1)).timestamp()
    session.save()


def asks(response):
    return response.status_code == 302 and response.headers["Location"].startswith(CONFIRM)


def act(client, action, address=SYSTEM, *rows):
    return client.post(address, {"action": action, "_selected_action": [row.pk for row in rows] or [1]})


@pytest.mark.parametrize("action", ["halt", "exits_only", "halt_and_cancel", "halt_cancel_and_close"])
def test_stopping_never_asks(boss, action):
    response = act(boss, action)

    assert not asks(response)
    assert SystemRisk.objects.get().trading_state != TradingState.ACTIVE


def test_lifting_a_halt_asks_and_goes_on_afterwards(boss):
    SystemRisk.objects.update(trading_state=TradingState.HALTED)
    asked = act(boss, "activate")
    before = SystemRisk.objects.get().trading_state

    confirmed = boss.post(asked.headers["Location"], {"password": PASSWORD, "next": SYSTEM})
    act(boss, "activate")

    assert (asks(asked), before) == (True, TradingState.HALTED)
    assert confirmed.headers["Location"] == SYSTEM
    assert SystemRisk.objects.get().trading_state == TradingState.ACTIVE
    assert AuditEntry.objects.get(action=Action.REAUTHENTICATED).label == "boss"


def test_tokens_keys_roles_and_passwords_ask(boss, person, alice):
    person("other")
    other, account = User.objects.get(username="other"), AccountFactory(owner=alice)
    row, _clear = WebhookToken.objects.issue(user=alice)
    tokens = reverse("admin:strategies_webhooktoken_changelist")
    key = {"name": "A", "is_active": "on", "api_key": "new", "secret": "new"}

    answers = {
        "token form": boss.get(reverse("admin:strategies_webhooktoken_add")),
        "token": boss.post(reverse("admin:strategies_apitoken_add"), {"user": alice.pk, "name": "x"}),
        "signing secret": act(boss, "renew_signing_secret", tokens, row),
        "key": boss.post(reverse("admin:exchanges_account_change", args=[account.pk]), key),
        "role": boss.post(reverse("admin:auth_user_change", args=[other.pk]), {"username": "other"}),
        "password": boss.get(reverse("admin:auth_user_password_change", args=[other.pk])),
        "own password": boss.get(reverse("admin:password_change")),
        "second factor": boss.get(reverse("admin:second_factor")),
        "lost second factor": act(
            boss, "remove_second_factors", reverse("admin:auth_user_changelist"), other
        ),
        "deletion": boss.post(reverse("admin:auth_user_delete", args=[other.pk]), {"post": "yes"}),
    }

    assert [name for name, answer in answers.items() if not asks(answer)] == []
    assert not asks(act(boss, "revoke", tokens, row))
    assert WebhookToken.objects.count() == 1


@pytest.mark.parametrize("is_public", [True, False])
def test_going_public_asks_and_going_private_does_not(boss, is_public):
    strategy = StrategyFactory(is_public=not is_public)
    form = {
        "name": strategy.name, "group_name": strategy.group_name, "owner": strategy.owner_id,
        "market_type": strategy.market_type, "is_active": "on", "passed_stop": strategy.passed_stop,
        "unprotected": strategy.unprotected, "on_gap": strategy.on_gap, "dialect": strategy.dialect,
        "max_lag_s": strategy.max_lag_s, "heartbeat_s": "", "percent_of_capital": strategy.percent_of_capital,
        "accounts-TOTAL_FORMS": 0, "accounts-INITIAL_FORMS": 0,
        "strategy_accounts-TOTAL_FORMS": 0, "strategy_accounts-INITIAL_FORMS": 0,
        "strategyaccount_set-TOTAL_FORMS": 0, "strategyaccount_set-INITIAL_FORMS": 0,
    }  # fmt: skip
    if is_public:
        form["is_public"] = "on"
    form = {name: value for name, value in form.items() if value is not None}

    response = boss.post(reverse("admin:strategies_strategy_change", args=[strategy.pk]), form)

    strategy.refresh_from_db()
    assert (asks(response), strategy.is_public) == (is_public, False)


def test_a_wrong_password_confirms_nothing_and_is_noted(boss):
    response = boss.post(CONFIRM, {"password": "wrong", "next": SYSTEM})

    assert response.status_code == 200
    assert asks(act(boss, "activate"))
    assert AuditEntry.objects.filter(action=Action.REAUTHENTICATION_FAILED).count() == 1


def test_guesses_have_to_wait(boss):
    for _ in range(TRIES_PER_NAME):
        boss.post(CONFIRM, {"password": "wrong"})

    response = boss.post(CONFIRM, {"password": PASSWORD})

    assert response.status_code == 200
    assert "Wait a minute" in response.content.decode()
    assert AuditEntry.objects.filter(action=Action.REAUTHENTICATION_FAILED).count() == TRIES_PER_NAME


@pytest.mark.parametrize(
    "target", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)", ""]
)
def test_the_way_back_leads_to_this_site_only(boss, target):
    response = boss.post(CONFIRM, {"password": PASSWORD, "next": target})

    assert response.headers["Location"] == "/admin/"


def test_a_confirmation_changes_the_sessions_key(boss):
    before = boss.session.session_key

    boss.post(CONFIRM, {"password": PASSWORD})

    assert boss.session.session_key != before
