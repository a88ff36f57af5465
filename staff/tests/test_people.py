"""Nobody raises the own rights, and nobody reaches a person with more."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.urls import reverse

from audit.actions import Action
from audit.models import AuditEntry
from staff.models import SignIn
from staff.tests.conftest import PASSWORD
from tradehub import settings as product
from tradehub.http.login import TRIES_PER_NAME

NEW = "nine blue whales sing"
MAY_MANAGE = ("staff.manage_people", "auth.view_user")


def page(user, name="change"):
    return reverse(f"admin:auth_user_{name}", args=[user.pk])


def form_of(user, **changed):
    """The change form as a browser sends it: an unticked box stays out."""
    flags = {name: "on" for name in ("is_active", "is_staff", "is_superuser") if getattr(user, name)}
    form = {
        "username": user.username,
        "groups": [group.pk for group in user.groups.all()],
        **flags,
        **changed,
    }
    return {name: value for name, value in form.items() if value is not None}


def standing(user):
    user = User.objects.get(pk=user.pk)
    return user.is_superuser, user.is_active, user.password, user.get_all_permissions()


@pytest.fixture
def root(person):
    return person("root", is_superuser=True)


@pytest.fixture
def owner(person):
    return person("owner", role="owner")


@pytest.mark.parametrize(
    "right", ["auth.change_user", "auth.add_user", "auth.delete_user", "auth.change_group"]
)
def test_djangos_own_rights_change_nobody(browser, root, right):
    desk = browser("clerk", right, "auth.view_user", "auth.view_group")
    before = standing(root)
    password = {"password1": NEW, "password2": NEW, "usable_password": "true"}

    statuses = [
        desk.post(page(root), form_of(root, is_active=None)).status_code,
        desk.post(reverse("admin:auth_user_password_change", args=[root.pk]), password).status_code,
        desk.post(page(root, "delete"), {"post": "yes"}).status_code,
        desk.post(reverse("admin:auth_user_add"), {"username": "second", **password}).status_code,
        desk.post(reverse("admin:auth_group_change", args=[Group.objects.first().pk]), {}).status_code,
    ]

    assert statuses == [403] * 5
    assert standing(root) == before


@pytest.mark.parametrize("name", ["is_superuser", "groups", "user_permissions"])
def test_nobody_raises_the_own_rights(browser, person, name):
    clerk = person("clerk", *MAY_MANAGE)
    before = standing(clerk)
    more = {
        "is_superuser": "on",
        "groups": [Group.objects.get(name="owner").pk],
        "user_permissions": list(Permission.objects.values_list("pk", flat=True)),
    }

    response = browser(clerk).post(page(clerk), form_of(clerk, **{name: more[name]}))

    assert (response.status_code, standing(clerk)) == (302, before)


def test_nobody_gives_what_that_person_has_not(browser, person):
    other = person("other")
    desk = browser("clerk", *MAY_MANAGE)
    resume = Permission.objects.get(codename="resume").pk

    responses = [
        desk.post(page(other), form_of(other, groups=[Group.objects.get(name="support").pk])),
        desk.post(page(other), form_of(other, user_permissions=[resume])),
        desk.post(page(other), form_of(other, is_superuser="on")),
    ]

    assert [response.status_code for response in responses] == [200, 200, 302]
    assert standing(other)[0] is False
    assert standing(other)[3] == set()


def test_the_own_name_is_changed_and_nobody_switches_off_oneself(browser, owner):
    desk = browser(owner)

    saved = desk.post(page(owner), form_of(owner, is_active=None, first_name="Olga"))
    desk.post(reverse("admin:auth_user_changelist"), {"action": "switch_off", "_selected_action": [owner.pk]})

    owner.refresh_from_db()
    assert (saved.status_code, owner.first_name, owner.is_active) == (302, "Olga", True)


@pytest.mark.parametrize("role", ["owner", "superuser"])
def test_nobody_touches_a_person_with_more_rights(browser, person, role):
    above = person("above", role="owner") if role == "owner" else person("above", is_superuser=True)
    desk = browser("clerk", *MAY_MANAGE)
    before = standing(above)
    password = {"password1": NEW, "password2": NEW, "usable_password": "true"}

    desk.post(reverse("admin:auth_user_password_change", args=[above.pk]), password)
    desk.post(page(above), form_of(above, is_active=None))
    desk.post(page(above, "delete"), {"post": "yes"})
    desk.post(reverse("admin:auth_user_changelist"), {"action": "switch_off", "_selected_action": [above.pk]})

    assert standing(above) == before


def test_an_owner_cannot_make_a_superuser_and_a_superuser_can(browser, owner, root, person):
    other = person("other")

    browser(owner).post(page(other), form_of(other, is_superuser="on"))
    after_owner = standing(other)[0]
    browser(root).post(page(other), form_of(other, is_superuser="on"))

    assert (after_owner, standing(other)[0]) == (False, True)


def test_a_role_is_given_noted_and_ends_the_persons_sessions(browser, owner, person):
    other = person("other")
    theirs = browser(other)
    role = Group.objects.get(name="operator")

    response = browser(owner).post(page(other), form_of(other, groups=[role.pk]))

    entry = AuditEntry.objects.get(action=Action.ROLES_CHANGED)
    assert response.status_code == 302
    assert (entry.actor, entry.right) == (f"user:{owner.pk}", "staff.manage_people")
    assert (entry.before, entry.after) == ({"groups": []}, {"groups": ["operator"]})
    assert theirs.get("/admin/").status_code == 302
    assert SignIn.objects.open().filter(user=other).count() == 0


def test_a_password_is_set_for_somebody_below_and_ends_the_sessions(browser, owner, person):
    other = person("other")
    theirs = browser(other)
    address = reverse("admin:auth_user_password_change", args=[other.pk])

    response = browser(owner).post(address, {"password1": NEW, "password2": NEW, "usable_password": "true"})

    other.refresh_from_db()
    assert (response.status_code, other.check_password(NEW)) == (302, True)
    assert theirs.get("/admin/").status_code == 302
    assert AuditEntry.objects.get(action=Action.PASSWORD_CHANGED).target_id == str(other.pk)


def test_the_own_password_asks_for_the_old_one_and_ends_the_other_sessions(browser, person):
    desk = person("desk")
    here, there = browser(desk), browser(desk)
    form = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}

    direct = here.post(reverse("admin:auth_user_password_change", args=[desk.pk]), {"password1": NEW})
    wrong = here.post(reverse("admin:password_change"), {**form, "old_password": "guess"})
    right = here.post(reverse("admin:password_change"), form)

    assert [response.status_code for response in (direct, wrong, right)] == [403, 200, 302]
    assert (here.get("/admin/").status_code, there.get("/admin/").status_code) == (200, 302)
    assert AuditEntry.objects.filter(action=Action.PASSWORD_CHANGED).count() == 1


def test_guesses_of_the_old_password_have_to_wait(browser, person):
    client = browser(person("desk"))
    form = {"new_password1": NEW, "new_password2": NEW}
    for number in range(TRIES_PER_NAME):
        client.post(reverse("admin:password_change"), {**form, "old_password": f"guess {number}"})

    response = client.post(reverse("admin:password_change"), {**form, "old_password": PASSWORD})

    assert response.headers["Location"] == reverse("admin:password_change")
    assert not User.objects.get().check_password(NEW)


def test_a_hash_of_before_is_made_anew_with_argon2(client, person, settings):
    desk = person("desk")
    settings.PASSWORD_HASHERS = [*product.PASSWORD_HASHERS, *settings.PASSWORD_HASHERS]
    before = desk.password

    client.post("/admin/login/?next=/admin/", {"username": "desk", "password": PASSWORD})

    desk.refresh_from_db()
    assert (before[:4], desk.password[:29]) == ("md5$", "argon2$argon2id$v=19$m=19456,")


def test_roles_cannot_be_widened_in_the_admin(browser, root):
    support = Group.objects.get(name="support")
    count = support.permissions.count()

    response = browser(root).post(
        reverse("admin:auth_group_change", args=[support.pk]), {"name": "support", "permissions": []}
    )

    assert (response.status_code, support.permissions.count()) == (403, count)


@pytest.mark.parametrize(
    "password", ["tradehub-2026!!", "Binance.Webhook.7", "passwordpassword", "trading-admin-99"]
)
def test_a_password_of_words_of_the_service_is_refused(browser, person, password):
    form = {"old_password": PASSWORD, "new_password1": password, "new_password2": password}

    response = browser(person("desk")).post(reverse("admin:password_change"), form)

    assert response.status_code == 200


def test_the_page_of_people_shows_no_part_of_a_password(browser, root):
    shown = browser("auditor", role="auditor").get(page(root)).content.decode()

    assert "root" in shown
    assert "algorithm" not in shown
