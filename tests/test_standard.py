"""Small requirements of the standard in docs/asvs.md that no other test shows."""

import re

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db.models import FileField
from django.test import Client
from django.urls import reverse

from strategies.models import Strategy
from tradehub.environment import BASE_DIR

pytestmark = pytest.mark.django_db
PASSWORD = "Aß correct horse " * 6  # more than 100 characters, with a blank at the end


@pytest.fixture
def desk(client):
    client.force_login(User.objects.create_superuser("desk"))
    return client


@pytest.mark.parametrize("path", ["/", "/nowhere", "/api/health", "/api/webhook", "/admin/login/"])
def test_no_address_answers_trace(client, path):
    assert client.generic("TRACE", path).status_code in (404, 405)


@pytest.mark.parametrize("path", ["/static/", "/static/admin/", "/static/../manage.py", "/.git/config"])
def test_no_folder_is_listed_and_no_other_file_is_served(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("tried", [PASSWORD[:-1], PASSWORD[:72], PASSWORD.lower(), PASSWORD.upper()])
def test_a_password_counts_as_it_was_typed(client, tried):
    User.objects.create_user("desk", password=PASSWORD, is_staff=True)

    client.post(reverse("admin:login"), {"username": "desk", "password": tried})
    assert "_auth_user_id" not in client.session
    client.post(reverse("admin:login"), {"username": "desk", "password": PASSWORD})
    assert "_auth_user_id" in client.session


def test_no_table_and_no_page_takes_a_file():
    fields = [field for model in apps.get_models() for field in model._meta.get_fields()]
    pages = [page.read_text() for page in BASE_DIR.glob("*/templates/**/*.html")]

    assert pages
    assert not [field for field in fields if isinstance(field, FileField)]
    assert not [page for page in pages if 'type="file"' in page]


def test_what_a_person_wrote_is_no_markup(desk):
    mark = '<script src="//evil.example"></script>'
    Strategy.objects.create(owner=User.objects.get(), group_name=f"s{mark}", name=f"n{mark}")

    page = desk.get(reverse("admin:strategies_strategy_changelist")).content.decode()

    assert "&lt;script" in page
    assert mark not in page


def test_a_form_without_its_token_changes_nothing():
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("desk"))

    response = client.post(reverse("admin:strategies_strategy_changelist"), {"action": "halt"})

    assert response.status_code == 403


@pytest.mark.parametrize("path", ["/admin/login/", "/nowhere", "/api/health", "/api/orders", "/api/webhook"])
def test_an_answer_says_what_its_content_is(client, path):
    content_type = client.get(path)["Content-Type"]

    expected = "application/json" if path.startswith("/api/") else "text/html; charset=utf-8"
    assert content_type == expected


def test_every_page_offers_the_way_out(desk):
    for name in ("index", "sessions", "strategies_strategy_changelist", "password_change"):
        page = desk.get(reverse(f"admin:{name}")).content.decode()
        assert re.search(rf'<form[^>]+action="{reverse("admin:logout")}"', page), name
