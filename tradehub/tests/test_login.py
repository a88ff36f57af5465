"""Guessing passwords is slow, and costs nobody else their way in."""

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.models import User

from tradehub.http.login import TRIES_PER_ADDRESS, TRIES_PER_NAME
from webhooks.senders import parse_networks

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
HERE, ELSEWHERE, PROXY = "192.0.2.7", "198.51.100.7", "10.0.0.1"


@pytest.fixture(autouse=True)
def staff(db):
    for name in ("desk", "other"):
        User.objects.create_user(name, password=PASSWORD, is_staff=True)


@pytest.fixture
def log_in(client):
    def log_in(name="desk", password=PASSWORD, address=HERE, **headers):
        client.logout()
        form = {"username": name, "password": password}
        return client.post("/admin/login/?next=/admin/", form, REMOTE_ADDR=address, **headers)

    return log_in


def is_in(response):
    return response.status_code == 302


def test_after_ten_tries_a_name_has_to_wait_and_nothing_more_is_hashed(log_in, monkeypatch):
    for _ in range(TRIES_PER_NAME):
        assert not is_in(log_in(password="wrong"))
    monkeypatch.setattr(hashers, "verify_password", None)
    monkeypatch.setattr(hashers, "make_password", None)

    response = log_in(HTTP_ACCEPT_LANGUAGE="en")

    assert not is_in(response)
    assert "Wait a minute" in response.content.decode()
    assert "잠시" in log_in(HTTP_ACCEPT_LANGUAGE="ko").content.decode()


def test_guesses_cost_neither_another_name_nor_another_address_its_way_in(log_in):
    for _ in range(TRIES_PER_NAME + 1):
        log_in(password="wrong")

    assert not is_in(log_in())
    assert is_in(log_in("other"))
    assert is_in(log_in(address=ELSEWHERE))


def test_an_address_that_guesses_names_has_to_wait(log_in):
    for number in range(TRIES_PER_ADDRESS):
        log_in(f"name-{number} 한글", password="wrong")

    assert not is_in(log_in())
    assert is_in(log_in(address=ELSEWHERE))


def test_addresses_behind_our_proxy_are_counted_each(log_in, settings):
    settings.TRUSTED_PROXIES = parse_networks([PROXY])
    for _ in range(TRIES_PER_NAME + 1):
        log_in(password="wrong", address=PROXY, HTTP_X_FORWARDED_FOR=HERE)

    assert not is_in(log_in(address=PROXY, HTTP_X_FORWARDED_FOR=HERE))
    assert is_in(log_in(address=PROXY, HTTP_X_FORWARDED_FOR=ELSEWHERE))
