"""Roles are groups that every migrate makes equal to the table."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User

from staff.roles import RIGHTS, ROLES, ensure_roles, has_right

pytestmark = pytest.mark.django_db


def rights_of(role):
    rows = Permission.objects.filter(group__name=role).values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in rows}


def test_migrate_has_made_the_roles():
    everything = Permission.objects.count()

    counted = {role: Group.objects.get(name=role).permissions.count() for role in ROLES}

    assert counted["owner"] == everything
    assert 0 < counted["support"] < counted["operator"] < counted["auditor"] < everything


def test_each_right_of_one_act_exists_and_belongs_to_owners():
    assert RIGHTS.keys() <= rights_of("owner")
    assert {right for right in rights_of("operator") if right.startswith("staff.")} == {
        "staff.halt",
        "staff.operate_orders",
    }
    assert [right for right in rights_of("auditor") | rights_of("support") if ".view_" not in right] == []


@pytest.mark.parametrize("right", ["staff.resume", "staff.change_limits", "strategies.add_webhooktoken"])
def test_an_operator_has_no_right_that_opens_something(right):
    assert not has_right("operator", right)


def test_a_widened_role_and_a_new_permission_are_set_right_by_the_next_migrate(django_assert_max_num_queries):
    support = Group.objects.get(name="support")
    support.permissions.add(Permission.objects.get(codename="manage_people"))
    new = Permission.objects.create(
        codename="view_novelty", name="Can view novelty", content_type=Permission.objects.first().content_type
    )
    before = rights_of("support") - {"staff.manage_people"}

    with django_assert_max_num_queries(8):
        ensure_roles()

    assert rights_of("support") == before
    assert Group.objects.get(name="auditor").permissions.contains(new)


def test_a_group_that_had_the_name_of_a_role_gives_its_members_nothing():
    Group.objects.all().delete()
    member = User.objects.create(username="member", is_staff=True)
    member.groups.add(Group.objects.create(name="owner"))

    import_module("staff.migrations.0001_sign_in").set_groups_aside(apps, None)
    ensure_roles()

    assert (member.groups.get().name, member.get_all_permissions()) == ("owner (before roles)", set())
