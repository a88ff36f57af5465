import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import reverse

from tests.desk import BTC_LIMIT

INLINE = re.compile(
    r"<script(?![^>]*\bsrc=)(?![^>]*type=\"(?:application/json|text/template)\")|\son\w+=|\sstyle=|javascript:"
)


@pytest.fixture
def desk(client, db):
    client.force_login(User.objects.create_superuser("desk"))
    return client


def pages():
    for model, model_admin in admin.site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"admin:{name}_changelist")
        if hasattr(model_admin, "form"):
            yield reverse(f"admin:{name}_add")
    yield reverse("admin:index")
    yield reverse("admin:password_change")


def test_every_page_of_the_admin_works_under_the_policy(desk):
    for page in pages():
        response = desk.get(page)
        assert response.status_code in (200, 403), page
        assert "script-src 'self'" in response["Content-Security-Policy"]
        assert not INLINE.search(response.content.decode()), page


@pytest.mark.parametrize("path", ["/api/health", "/admin/login/", "/nowhere", "/api/webhook", "/api/orders/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_every_answer_tells_browsers_to_be_strict(client, db, path, method):
    response = getattr(client, method)(path)

    expected = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }
    assert expected.items() <= dict(response.items()).items()
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
    assert "no-store" in response["Cache-Control"]


def test_an_alert_meets_no_session_and_leaves_no_cookie(deliver, db, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = deliver(
            "{", HTTP_COOKIE="__Host-sessionid=abc; __Host-csrftoken=def", HTTP_HOST="evil.example"
        )
    assert response.status_code == 400
    assert "webhook_id" not in response.content.decode()

    response = deliver(
        "{", HTTP_COOKIE="__Host-sessionid=abc; __Host-csrftoken=def", HTTP_ACCEPT_LANGUAGE="en"
    )
    assert response["Content-Language"] == "en"
    assert "Cookie" not in response["Vary"]
    assert not response.cookies


def test_cookies_belong_to_this_host_and_to_tls(client, db):
    User.objects.create_user("desk", password="correct horse battery", is_staff=True)

    client.get("/admin/login/")
    response = client.post("/admin/login/", {"username": "desk", "password": "correct horse battery"})

    session = response.cookies["__Host-sessionid"]
    assert session["secure"]
    assert session["httponly"]
    assert session["samesite"] == "Lax"
    assert session["path"] == "/"
    assert response.cookies["__Host-csrftoken"]["httponly"]


@pytest.mark.django_db(transaction=True)
def test_no_origin_is_let_in_across_origins(deliver, test1):
    response = deliver(test1.alert(BTC_LIMIT), HTTP_ORIGIN="https://evil.example")

    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("Access-Control-")]
