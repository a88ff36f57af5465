import os
import secrets
import subprocess
import sys
from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks
from django.db import connection, connections

from tradehub.checks import (
    check_cache_is_shared,
    check_connections,
    check_driver,
    check_durability,
    check_secrets_differ,
    connections_of_machine,
    connections_of_tracker,
)
from tradehub.environment import BASE_DIR
from webhooks.senders import parse_networks

REDIS = {"default": {"BACKEND": "tradehub.cache.FallbackRedisCache", "LOCATION": "redis://localhost"}}


def ids(messages):
    return [message.id for message in messages]


# Secrets


def test_secrets_of_their_own_pass(settings):
    assert check_secrets_differ() == []


@pytest.mark.parametrize("secret_key", ["{}", "prefix-{}-suffix"])
def test_a_secret_key_that_gives_away_a_credential_key_is_an_error(settings, secret_key):
    key = settings.CREDENTIAL_KEYS[0]
    settings.SECRET_KEY = secret_key.format(key)

    (message,) = check_secrets_differ()

    assert message.id == "tradehub.E001"
    assert key not in str(message)


def test_a_secret_key_that_is_a_part_of_one_is_an_error(settings):
    settings.SECRET_KEY = settings.CREDENTIAL_KEYS[0][:30]

    assert ids(check_secrets_differ()) == ["tradehub.E001"]


# Durability


def test_our_database_writes_before_it_answers(db):
    assert check_durability(databases=["default"]) == []


def test_without_a_database_to_ask_nothing_is_asked():
    assert check_durability(databases=None) == []


@pytest.mark.django_db(transaction=True)
def test_a_database_that_answers_before_it_has_written_is_an_error():
    is_sqlite = connection.vendor == "sqlite"
    lax, strict = (
        ("PRAGMA synchronous=NORMAL", "PRAGMA synchronous=FULL")
        if is_sqlite
        else ("SET synchronous_commit TO off", "RESET synchronous_commit")
    )
    with connection.cursor() as cursor:
        cursor.execute(lax)
        try:
            found = ids(run_checks(tags=["database"], databases=["default"]))
        finally:
            cursor.execute(strict)

    assert found == ["tradehub.E002" if is_sqlite else "tradehub.E003"]


def test_the_driver_is_the_one_that_is_tested(monkeypatch):
    assert check_driver() == []

    monkeypatch.setattr(connections["default"], "vendor", "postgresql")
    monkeypatch.setattr(connections["default"], "Database", SimpleNamespace(__name__="psycopg"))
    (message,) = check_driver()

    assert message.id == "tradehub.E004"
    assert "psycopg, not psycopg2" in str(message)


@pytest.mark.django_db(transaction=True)
def test_more_threads_than_the_database_takes_connections_are_warned_of(settings):
    settings.WEB_PROCESSES = 2

    assert ids(check_connections(databases=["default"])) == []
    assert (
        connections_of_machine() + connections_of_tracker() <= 97
    )  # two machines' trackers, PostgreSQL's default

    settings.WEB_PROCESSES = 40
    is_limited = connection.vendor == "postgresql"
    assert ids(check_connections(databases=["default"])) == (["tradehub.W002"] if is_limited else [])


# Cache


@pytest.mark.parametrize(
    ("processes", "proxies", "is_warned"),
    [(1, [], False), (2, [], True), (1, ["10.0.0.0/8"], True), (2, ["10.0.0.0/8"], True)],
)
def test_a_cache_that_others_cannot_see_is_warned_of(settings, processes, proxies, is_warned):
    settings.WEB_PROCESSES, settings.TRUSTED_PROXIES = processes, parse_networks(proxies)

    assert ids(check_cache_is_shared()) == (["tradehub.W001"] if is_warned else [])
    settings.CACHES = REDIS
    assert check_cache_is_shared() == []


# The whole of production


def deploy_check(**env):
    production = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
        "DEBUG": "false",
        "ALLOWED_HOSTS": "hub.example",
        "SECURE_SSL_REDIRECT": "true",
        "SECURE_HSTS_SECONDS": "31536000",
        "TRUST_PROXY_TLS": "true",
        "DATABASE_URL": "sqlite:///var/deploy-check.sqlite3",
        "CACHE_URL": "locmemcache://",
        "DJANGO_SETTINGS_MODULE": "tradehub.settings",
    }
    command = [
        sys.executable,
        "manage.py",
        "check",
        "--deploy",
        "--fail-level",
        "WARNING",
        "--database",
        "default",
    ]
    return subprocess.run(
        command, cwd=BASE_DIR, env=os.environ | production | env, capture_output=True, text=True, check=False
    )


def test_production_settings_pass_djangos_own_deployment_check():
    result = deploy_check()

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("DEBUG", "true", "security.W018"),
        ("SECURE_SSL_REDIRECT", "false", "security.W008"),
        ("SECURE_HSTS_SECONDS", "0", "security.W004"),
        ("SECRET_KEY", "too short", "security.W009"),
        ("TRUSTED_PROXIES", "10.0.0.0/8", "tradehub.W001"),
        ("WEB_PROCESSES", "2", "tradehub.W001"),
    ],
)
def test_each_setting_that_weakens_production_is_found(name, value, found):
    result = deploy_check(**{name: value})

    assert result.returncode == 1
    assert found in result.stderr
