"""People with roles, and their browsers."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

PASSWORD = "correct horse battery"


@pytest.fixture
def person(db: None) -> Callable[..., User]:
    def person(name: str, *rights: str, role: str = "", **more: Any) -> User:
        """`rights` are permissions such as `staff.halt`, besides those of the role."""
        user = User.objects.create_user(name, password=PASSWORD, **{"is_staff": True, **more})
        if role:
            user.groups.add(Group.objects.get(name=role))
        for right in rights:
            app, _, codename = right.partition(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        return user

    return person


@pytest.fixture
def browser(person: Callable[..., User]) -> Callable[..., Client]:
    """A browser in which a new person of this name and rights, or a given person, is signed in."""

    def browser(who: User | str, *rights: str, **more: Any) -> Client:
        client = Client(headers={"Accept-Language": "en"})
        client.force_login(person(who, *rights, **more) if isinstance(who, str) else who)
        return client

    return browser
