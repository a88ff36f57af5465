"""Every cookie of the product is one of this host alone: by its prefix, over TLS, out of scripts' reach."""

import pytest
from django.conf import settings
from django.urls import reverse

pytestmark = pytest.mark.django_db


def test_every_cookie_has_the_prefix_and_its_attributes(client, django_user_model):
    django_user_model.objects.create_superuser("root", password="correct horse battery")
    page = reverse("admin:login")
    client.get(page)
    client.post(page, {"username": "root", "password": "wrong", "next": "/admin/"})
    client.post(page, {"username": "root", "password": "correct horse battery", "next": "/admin/"})
    client.post(reverse("admin:strategies_strategy_changelist"), {"action": "halt"})  # leaves a message

    cookies = client.cookies
    assert settings.SESSION_COOKIE_NAME in cookies
    for name, cookie in cookies.items():
        assert name.startswith("__Host-"), name
        assert (cookie["secure"], cookie["httponly"], cookie["path"], cookie["domain"]) == (
            True,
            True,
            "/",
            "",
        ), name
