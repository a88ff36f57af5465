from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from audit.actions import Action
from audit.models import AuditEntry
from audit.trail import verify_trail
from tradehub.http import sign_ins
from tradehub.worker.audit_jobs import LOOK_BACK, count_refusals, record_unsafe_start, verify_audit_trail
from webhooks.models import WebhookLog
from webhooks.senders import parse_networks

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
PASSWORD = "correct horse battery"
HERE = "192.0.2.7"


def refused(code, at, count=1):
    for _ in range(count):
        WebhookLog.objects.create(status="refused", error_code=code, received_at=at)


def told():
    rows = AuditEntry.objects.filter(action=Action.REFUSED).order_by("number")
    return [(entry.after["minute"][11:16], entry.after["refused"]) for entry in rows]


def test_refusals_of_each_whole_minute_are_told_once():
    refused("throttled", NOW - timedelta(minutes=2), 3)
    refused("invalid_token", NOW - timedelta(minutes=1), 2)
    refused("throttled", NOW - timedelta(minutes=1))
    refused("missing_field", NOW - timedelta(minutes=1))
    refused("throttled", NOW)

    counts = [
        count_refusals(now=NOW),
        count_refusals(now=NOW),
        count_refusals(now=NOW + timedelta(minutes=1)),
    ]

    assert counts == [6, 0, 1]
    assert told() == [
        ("11:58", {"throttled": 3}),
        ("11:59", {"invalid_token": 2, "throttled": 1}),
        ("12:00", {"throttled": 1}),
    ]
    assert AuditEntry.objects.first().actor == "worker"


def test_a_minute_without_refusals_leaves_no_entry_and_an_old_one_is_not_read_again():
    refused("throttled", NOW - LOOK_BACK - timedelta(minutes=1))

    assert count_refusals(now=NOW) == 0
    assert not AuditEntry.objects.exists()


def test_a_start_with_unsafe_settings_is_told():
    record_unsafe_start([], now=NOW)
    record_unsafe_start(["DEBUG is on."], now=NOW)

    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.after) == (
        Action.UNSAFE_START,
        "start",
        {"problems": ["DEBUG is on."]},
    )


def test_the_workers_check_counts_problems(settings):
    record_unsafe_start(["DEBUG is on."], now=NOW)
    before = verify_audit_trail()
    AuditEntry.objects.update(reason="other")

    assert (before, verify_audit_trail()) == (0, 1)


# Sign-ins


@pytest.fixture
def desk():
    return User.objects.create_user("desk", password=PASSWORD, is_staff=True)


def log_in(client, name="desk", password=PASSWORD, address=HERE, **more):
    form = {"username": name, "password": password}
    return client.post(reverse("admin:login"), form, REMOTE_ADDR=address, **more)


def acts():
    rows = AuditEntry.objects.order_by("number")
    return [(entry.action, entry.actor, entry.target, entry.address) for entry in rows]


def test_a_sign_in_and_a_sign_out_are_told(client, desk):
    log_in(client)
    client.post(reverse("admin:logout"), REMOTE_ADDR=HERE)

    actor = f"user:{desk.pk}"
    assert acts() == [(Action.SIGNED_IN, actor, "desk", HERE), (Action.SIGNED_OUT, actor, "desk", HERE)]


def test_a_failure_names_a_user_that_exists_and_no_other_text(client, desk):
    log_in(client, password="wrong")
    log_in(client, "my-secret-password", password="wrong", address="198.51.100.7")

    assert acts() == [
        (Action.SIGN_IN_FAILED, "nobody", "desk", HERE),
        (Action.SIGN_IN_FAILED, "nobody", "", "198.51.100.7"),
    ]
    assert "my-secret-password" not in str(list(AuditEntry.objects.values()))


def test_strangers_do_not_fill_the_trail(client, desk, monkeypatch):
    for turn in range(12):
        log_in(client, f"name-{turn}", password="wrong")
    of_one = [entry.after["failures_this_minute"] for entry in AuditEntry.objects.order_by("number")]
    monkeypatch.setattr(sign_ins, "ENTRIES_PER_MINUTE", 4)
    for turn in range(5):
        log_in(client, password="wrong", address=f"198.51.100.{turn}")

    assert of_one == [1, 10]
    assert AuditEntry.objects.count() == 4
    assert verify_trail().problems == []


def test_behind_our_proxy_the_persons_own_address_counts(client, desk, settings):
    settings.TRUSTED_PROXIES = parse_networks(["10.0.0.1"])

    log_in(client, address="10.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.9, 192.0.2.7")

    assert acts()[0][3] == HERE


# The page


def test_the_trail_is_a_page_for_those_with_the_right_only(admin_client, client, desk):
    record_unsafe_start(["DEBUG is on."], now=NOW)
    page = reverse("admin:audit_auditentry_changelist")
    entry = AuditEntry.objects.get(action=Action.UNSAFE_START)

    listed = admin_client.get(page, HTTP_ACCEPT_LANGUAGE="en").content.decode()
    shown = admin_client.get(reverse("admin:audit_auditentry_change", args=[entry.pk])).content.decode()
    found = admin_client.get(page, {"action": Action.SIGNED_OUT, "actor": f"user:{desk.pk}"})
    client.force_login(desk)

    assert "problems: DEBUG is on." in listed
    assert entry.hash in shown
    assert found.context["cl"].result_count == 0
    assert client.get(page).status_code == 403
    for change in ("add", "change", "delete"):
        address = reverse(f"admin:audit_auditentry_{change}", args=[] if change == "add" else [entry.pk])
        assert admin_client.post(address, {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("term", ["desk", "user:1", "nothing"])
def test_the_search_finds_entries_by_target_and_actor(admin_client, client, desk, term):
    log_in(client)
    actor = AuditEntry.objects.get(label="desk").actor
    page = reverse("admin:audit_auditentry_changelist")

    found = admin_client.get(page, {"q": actor if term == "user:1" else term}).context["cl"].result_count

    assert found == (0 if term == "nothing" else 1)
