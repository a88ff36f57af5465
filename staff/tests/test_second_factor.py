"""Sign-in with a second factor: set-up, codes, recovery codes, and what a session may do without."""

import re
from base64 import b32decode
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import TOTP

from audit.actions import Action
from audit.actor import Actor
from audit.models import AuditEntry
from staff.models import RecoveryCode, SignIn, TotpDevice
from staff.sealing import SealBroken
from staff.sign_in import second_factor
from staff.sign_in.second_factor import check_code, enroll
from staff.tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
KEY = b"12345678901234567890"
SET_UP = "/admin/second-factor/"


@pytest.fixture(autouse=True)
def required(settings):
    settings.STAFF_SECOND_FACTOR = True


def code_at(moment, key=KEY):
    totp = TOTP(key)
    totp.time = moment.timestamp()
    return f"{totp.token():06}"


def give_device(user):
    """A second factor whose codes of this minute are still unused."""
    return enroll(user, KEY, -1, actor=Actor.of_service("test"), now=timezone.now())


def log_in(name, password=PASSWORD, code="", **more):
    client = Client(headers={"Accept-Language": "en"})
    form = {"username": name, "password": password, "code": code}
    response = client.post("/admin/login/?next=/admin/", form, **more)
    return client, response


@pytest.fixture
def desk(person):
    return person("desk", is_superuser=True)


def secret_on(page):
    (shown,) = re.findall(r"<code>([A-Z2-7 ]+)</code>", page.content.decode())
    (sealed,) = re.findall(r'name="sealed" value="([^"]+)"', page.content.decode())
    return b32decode(shown.replace(" ", "")), sealed


def test_staff_without_a_second_factor_may_only_set_one_up(desk):
    client, response = log_in("desk")

    pages = [
        client.get(page).headers["Location"] for page in ("/admin/", "/admin/sessions/", "/admin/auth/user/")
    ]

    assert response.status_code == 302
    assert all(page.startswith("/admin/login/") for page in pages)
    assert client.get(pages[0]).headers["Location"] == SET_UP
    assert client.get(SET_UP).status_code == 200
    assert client.post(reverse("admin:auth_user_add"), {"username": "more"}).status_code == 302
    assert client.get("/api/orders").status_code == 401
    assert not User.objects.filter(username="more").exists()
    assert client.post("/admin/logout/").status_code == 200
    assert not SignIn.objects.open().exists()


def test_a_second_factor_is_set_up_and_then_asked_for(desk):
    client, _ = log_in("desk")
    page = client.get(SET_UP)
    key, sealed = secret_on(page)
    now = timezone.now()
    assert 'src="data:image/svg+xml' in page.content.decode()
    assert not TotpDevice.objects.exists()  # looking at the page writes nothing

    wrong = client.post(SET_UP, {"sealed": sealed, "code": "000000"})
    done = client.post(SET_UP, {"sealed": secret_on(wrong)[1], "code": code_at(now, key)})

    codes = re.findall(r"<code>([0-9a-f-]+)</code>", done.content.decode())
    device = TotpDevice.objects.get()
    assert (len(codes), len(set(codes)), len(codes[0].replace("-", ""))) == (10, 10, 32)
    assert "no-store" in done["Cache-Control"]
    assert client.get("/admin/").status_code == 200
    assert client.get("/api/orders").status_code == 200
    assert key.hex() not in device.sealed_key
    assert AuditEntry.objects.filter(action=Action.SECOND_FACTOR_ADDED, actor=f"user:{desk.pk}").count() == 1
    assert log_in("desk")[1].status_code == 200
    assert log_in("desk", code=codes[0])[1].status_code == 302


def test_a_secret_of_another_person_sets_nothing_up(desk, person):
    person("other")
    theirs, _ = log_in("other")
    key, sealed = secret_on(theirs.get(SET_UP))
    ours, _ = log_in("desk")

    ours.post(SET_UP, {"sealed": sealed, "code": code_at(timezone.now(), key)})

    assert not TotpDevice.objects.exists()


def test_a_wrong_code_and_a_wrong_password_get_one_answer(desk):
    give_device(desk)

    answers = {
        re.sub(r'\s*value="[^"]*"', "", log_in("desk", **given)[1].content.decode())
        for given in ({"code": "123"}, {"password": "wrong", "code": code_at(timezone.now())}, {"code": ""})
    }

    assert len(answers) == 1


def test_a_code_opens_once(desk):
    give_device(desk)
    code = code_at(timezone.now())

    first, second = log_in("desk", code=code)[1], log_in("desk", code=code)[1]

    assert (first.status_code, second.status_code) == (302, 200)


def test_two_readers_of_one_code_let_one_in(desk, monkeypatch):
    give_device(desk)
    now = timezone.now()
    stale = TotpDevice.objects.get()
    monkeypatch.setattr(second_factor, "device_of", lambda user: stale)

    assert [check_code(desk, code_at(now), now=now) for _ in range(2)] == [True, False]


def test_an_older_code_than_the_last_used_one_is_refused(desk):
    give_device(desk)
    now = timezone.now()

    assert check_code(desk, code_at(now), now=now)
    assert not check_code(desk, code_at(now - timedelta(seconds=30)), now=now)
    TotpDevice.objects.update(throttling_failure_timestamp=None)
    assert check_code(desk, code_at(now + timedelta(seconds=30)), now=now)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "١٢٣٤٥٦", "-12345", "abcdef", "0" * 32, "g" * 32])
def test_what_is_no_code_is_refused(desk, code):
    give_device(desk)

    assert not check_code(desk, code, now=timezone.now())


def test_a_recovery_code_opens_once_and_is_kept_as_a_digest(desk):
    _, codes = give_device(desk)
    now = timezone.now()
    shouted = f" {codes[0].upper()} "

    first, second = check_code(desk, shouted, now=now), check_code(desk, codes[0], now=now)

    with connection.cursor() as cursor:
        cursor.execute("SELECT digest FROM staff_recoverycode")
        stored = str(cursor.fetchall())
    assert (first, second) == (True, False)
    assert codes[1].replace("-", "") not in stored
    assert RecoveryCode.objects.filter(used_at__isnull=True).count() == 9


def test_guesses_make_the_app_wait_and_recovery_codes_pass(desk):
    _, codes = give_device(desk)
    now = timezone.now()
    for _ in range(8):
        TotpDevice.objects.update(throttling_failure_timestamp=None)
        check_code(desk, "000000", now=now)

    assert not check_code(desk, code_at(now), now=now)
    assert check_code(desk, codes[0], now=now)
    assert check_code(desk, code_at(now), now=now)


def test_a_session_from_before_does_not_replace_the_second_factor(desk):
    early, _ = log_in("desk")
    device, _codes = give_device(desk)

    response = early.get(SET_UP)

    assert response.headers["Location"] == "/admin/login/"
    assert early.get("/admin/").status_code == 302
    assert TotpDevice.objects.get() == device


def test_a_new_second_factor_replaces_the_old_one_and_ends_the_other_sessions(desk):
    give_device(desk)
    now = timezone.now()
    there, _ = log_in("desk", code=code_at(now))
    here, _ = log_in("desk", code=code_at(now + timedelta(seconds=30)))
    key, sealed = secret_on(here.get(SET_UP))

    done = here.post(SET_UP, {"sealed": sealed, "code": code_at(now, key)})

    assert "Recovery codes" in done.content.decode()
    assert TotpDevice.objects.count() == 1
    assert not check_code(desk, code_at(now - timedelta(seconds=30)), now=now)
    assert (here.get("/admin/").status_code, there.get("/admin/").status_code) == (200, 302)


def test_a_key_copied_to_another_person_opens_nothing(desk, person):
    other = person("other")
    give_device(desk)
    give_device(other)
    TotpDevice.objects.filter(user=other).update(sealed_key=TotpDevice.objects.get(user=desk).sealed_key)

    now = timezone.now()
    with pytest.raises(SealBroken):
        TotpDevice.objects.get(user=other).step_of(code_at(now), now=now)
    assert not check_code(other, code_at(now), now=now)


def test_second_factors_move_to_a_new_key_with_the_credentials(desk, settings):
    give_device(desk)
    new = "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldzE="
    settings.CREDENTIAL_KEYS = [new, *settings.CREDENTIAL_KEYS]

    call_command("rotate_credentials", verbosity=0)

    settings.CREDENTIAL_KEYS = [new]
    now = timezone.now()
    assert check_code(desk, code_at(now), now=now)


def test_a_lost_second_factor_is_removed_by_a_command_with_an_entry(desk):
    give_device(desk)
    client, _ = log_in("desk", code=code_at(timezone.now()))

    call_command("remove_second_factor", "desk", reason="lost telephone")

    entry = AuditEntry.objects.get(action=Action.SECOND_FACTOR_REMOVED)
    assert (entry.reason, entry.target_id, entry.right) == ("lost telephone", str(desk.pk), "service")
    assert client.get("/admin/").status_code == 302
    assert not RecoveryCode.objects.exists()
    for name, words in (("desk", "no second factor"), ("nobody", "Nobody signs in")):
        with pytest.raises(CommandError, match=words):
            call_command("remove_second_factor", name, reason="again")


def test_who_manages_people_removes_the_second_factor_of_those_below_only(desk, person, browser, settings):
    settings.STAFF_SECOND_FACTOR = False
    other = person("other")
    give_device(desk)
    give_device(other)
    chosen = {"action": "remove_second_factors", "_selected_action": [desk.pk, other.pk]}

    browser("boss", role="owner").post(reverse("admin:auth_user_changelist"), chosen)

    assert [device.user for device in TotpDevice.objects.all()] == [desk]


def test_in_the_demo_the_password_is_enough(desk, settings):
    settings.STAFF_SECOND_FACTOR = False

    client, response = log_in("desk")

    assert (response.status_code, client.get("/admin/").status_code) == (302, 200)
