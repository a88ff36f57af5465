"""Sessions are listed, ended, and end by themselves."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.urls import reverse
from django.utils import timezone

from audit.actions import Action
from audit.models import AuditEntry
from staff.models import SignIn
from staff.sign_in.sessions import KEPT, SEEN_EVERY
from staff.tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
LIST = "/admin/sessions/"


def age(row, **since):
    SignIn.objects.filter(pk=row.pk).update(seen_at=timezone.now() - timedelta(**since))


def is_in(client):
    return client.get("/admin/").status_code == 200


def end(client, row):
    return client.post(reverse("admin:session_end", args=[row.pk]))


def test_a_person_sees_the_own_sessions_and_no_key(person, browser):
    desk = person("desk")
    here, _there, _other = browser(desk), browser(desk), browser("other")
    SignIn.objects.filter(user=desk).update(address="192.0.2.7", browser="Lynx/2.9")

    page = here.get(LIST).content.decode()

    assert (page.count("192.0.2.7"), page.count("Lynx/2.9"), page.count("this session")) == (2, 2, 1)
    assert "other" not in page
    assert not [key for key in Session.objects.values_list("session_key", flat=True) if key in page]


def test_who_manages_people_sees_all_sessions_and_ends_them(person, browser):
    theirs = browser("desk")
    boss = browser("boss", role="owner")

    listed = boss.get(LIST).content.decode()
    response = end(boss, SignIn.objects.get(user__username="desk"))

    assert "desk" in listed
    assert response.status_code == 302
    assert not is_in(theirs)
    entry = AuditEntry.objects.get(action=Action.SESSION_ENDED)
    assert (entry.label, entry.right) == ("boss", "staff.manage_people")


def test_a_person_ends_the_own_other_session_and_nobody_elses(person, browser):
    desk = person("desk")
    here, there, other = browser(desk), browser(desk), browser("other")
    row = SignIn.objects.filter(user=desk).order_by("pk").last()

    refused = end(other, row)
    assert (refused.status_code, is_in(there)) == (403, True)
    assert here.get(reverse("admin:session_end", args=[row.pk])).status_code == 302  # only looks
    assert is_in(there)

    end(here, row)

    assert (is_in(here), is_in(there)) == (True, False)


def test_an_idle_session_ends(browser, settings):
    settings.SESSION_IDLE_MINUTES = 30
    desk = browser("desk")
    row = SignIn.objects.get()

    age(row, minutes=29)
    before = is_in(desk)
    age(row, minutes=31)

    assert (before, is_in(desk)) == (True, False)
    row.refresh_from_db()
    assert row.ended_at is not None
    assert not Session.objects.exists()


def test_a_session_ends_after_twelve_hours_whatever_happens_in_it(browser):
    desk = browser("desk")
    SignIn.objects.update(began_at=timezone.now() - timedelta(hours=12, seconds=1))
    listed = SignIn.objects.going_on(now=timezone.now()).count()

    assert (listed, is_in(desk)) == (0, False)


def test_a_browser_that_signs_in_again_has_one_session(person, browser):
    desk = person("desk")
    client = browser(desk)

    client.post("/admin/login/", {"username": "desk", "password": PASSWORD})

    assert (SignIn.objects.open().count(), is_in(client)) == (1, True)


def test_a_visit_is_written_once_a_minute(browser):
    desk = browser("desk")
    row = SignIn.objects.get()
    seen = row.seen_at

    is_in(desk)
    row.refresh_from_db()
    assert row.seen_at == seen
    age(row, seconds=SEEN_EVERY.total_seconds() + 1)
    is_in(desk)

    row.refresh_from_db()
    assert timezone.now() - row.seen_at < timedelta(seconds=30)


def test_a_session_that_began_before_sessions_were_listed_signs_in_anew(browser):
    desk = browser("desk")
    SignIn.objects.all().delete()

    assert not is_in(desk)
    assert desk.get("/api/orders").status_code == 401


def test_signing_out_ends_the_session_in_the_list(browser):
    desk = browser("desk")

    desk.post("/admin/logout/")

    assert not SignIn.objects.open().exists()


def test_old_rows_go_at_the_next_sign_in(person, browser):
    desk = person("desk")
    browser(desk)
    age(SignIn.objects.get(), days=KEPT.days + 1)

    browser(desk)

    assert SignIn.objects.count() == 1


def test_a_person_who_is_switched_off_is_out(person, browser):
    desk = person("desk")
    client = browser(desk)

    desk.is_active = False
    desk.save()

    assert not is_in(client)
    assert client.get("/api/orders").status_code == 401
