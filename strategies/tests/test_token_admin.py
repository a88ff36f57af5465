"""What a person at the desk sees of tokens: once, and nowhere else."""

import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from exchanges.management.commands.rotate_credentials import Command as RotateCredentials
from strategies.models import ApiToken, WebhookToken
from tests.desk import PERSON

CHANGELIST = reverse("admin:strategies_webhooktoken_changelist")


@pytest.fixture
def desk(client, db):
    client.force_login(User.objects.create_superuser("desk"))
    return client


def shown_in(response):
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    return re.findall(r"<code>([^<]+)</code>", response.content.decode())


def sessions():
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_data FROM django_session")
        return cursor.fetchall()


def act(desk, name, *tokens):
    return desk.post(CHANGELIST, {"action": name, "_selected_action": [token.pk for token in tokens]})


@pytest.mark.parametrize("kind", [WebhookToken, ApiToken])
def test_a_new_token_is_on_the_page_and_in_no_cookie_or_session(desk, alice, kind):
    name = f"admin:strategies_{kind._meta.model_name}"
    before = sessions()

    response = desk.post(reverse(f"{name}_add"), {"user": alice.pk, "name": "TradingView"})

    (clear,) = shown_in(response)
    row = kind.objects.get()
    assert clear.startswith(row.prefix)
    assert kind.objects.find(clear, now=timezone.now()) == row
    assert reverse(f"{name}_changelist") in response.content.decode()
    assert "messages" not in response.cookies
    assert sessions() == before
    for page in (reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[row.pk])):
        assert clear not in desk.get(page).content.decode()


@pytest.mark.parametrize("kind", [WebhookToken, ApiToken])
def test_a_token_is_revoked_and_never_deleted(desk, alice, kind):
    row, clear = kind.objects.issue(user=alice)
    name = f"admin:strategies_{kind._meta.model_name}"

    desk.post(reverse(f"{name}_changelist"), {"action": "revoke", "_selected_action": [row.pk]})

    assert kind.objects.find(clear, now=timezone.now()) is None
    assert desk.post(reverse(f"{name}_delete", args=[row.pk])).status_code == 403


def test_a_signing_secret_is_made_shown_and_dropped(desk, alice):
    row, _clear = WebhookToken.objects.issue(user=alice)

    (first,) = shown_in(act(desk, "renew_signing_secret", row))
    (second,) = shown_in(act(desk, "renew_signing_secret", row))

    row.refresh_from_db()
    assert first != second == row.signing_secret
    page = desk.get(reverse("admin:strategies_webhooktoken_change", args=[row.pk])).content.decode()
    assert second not in page
    assert row.sealed_signing_secret not in page
    act(desk, "drop_signing_secret", row)
    row.refresh_from_db()
    assert not row.must_be_signed


def test_someone_who_may_only_look_can_neither_revoke_nor_renew(client, alice):
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(*viewer.user_permissions.model.objects.filter(codename="view_webhooktoken"))
    client.force_login(viewer)
    row, _clear = WebhookToken.objects.issue(user=alice)

    for action in ("revoke", "renew_signing_secret", "drop_signing_secret"):
        act(client, action, row)

    row.refresh_from_db()
    assert row.revoked_at is None
    assert not row.must_be_signed


def test_signing_secrets_move_to_a_new_key_with_the_others(desk, alice, settings):
    row, _clear = WebhookToken.objects.issue(user=alice)
    secret = row.renew_signing_secret(actor=PERSON, now=timezone.now())
    new = "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldzE="
    settings.CREDENTIAL_KEYS = [new, *settings.CREDENTIAL_KEYS]

    RotateCredentials().handle()

    settings.CREDENTIAL_KEYS = [new]
    row.refresh_from_db()
    assert row.signing_secret == secret
