"""On an address that others can reach the service does not start with settings that are for one machine only."""

import os
import subprocess
import sys
from ipaddress import ip_network
from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connections

from audit.actions import Action
from audit.models import AuditEntry
from tradehub import environment, safe_start
from tradehub.demo.processes import without_secrets
from tradehub.environment import BASE_DIR, SecretFiles
from tradehub.safe_start import is_loopback, unsafe_settings

pytestmark = pytest.mark.django_db
GOOD = "k" * 30 + "0123456789abcdefghijklmnopqrstuvwxyz"
EVERYWHERE = "0.0.0.0"


@pytest.fixture
def safe(settings, tmp_path, monkeypatch):
    """An installation with nothing to complain about."""
    monkeypatch.setattr(safe_start, "BASE_DIR", tmp_path)
    settings.DEBUG, settings.STAFF_SECOND_FACTOR = False, True
    settings.ALLOWED_HOSTS = ["hub.example"]
    settings.SECRET_KEY, settings.CREDENTIAL_KEYS = GOOD, [Fernet.generate_key().decode()]
    settings.SECURE_PROXY_SSL_HEADER, settings.TRUSTED_PROXIES = None, ()
    settings.TLS_KEY = tmp_path / "key.pem"
    settings.TLS_CERT = tmp_path / "cert.pem"
    database = tmp_path / "books.sqlite3"
    monkeypatch.setattr(safe_start, "database_file", lambda: database)
    for path in (settings.TLS_KEY, settings.TLS_CERT, database, tmp_path / ".env"):
        path.write_text("")
        path.chmod(0o600)
    return settings


def shared(settings, folder):
    settings.CREDENTIAL_KEYS = [GOOD[:44]]


def demo(settings, folder):
    (folder / "var").mkdir()
    (folder / "var/demo.json").write_text("{}")


CHANGES = {
    "DEBUG": lambda settings, folder: setattr(settings, "DEBUG", True),
    "STAFF_SECOND_FACTOR": lambda settings, folder: setattr(settings, "STAFF_SECOND_FACTOR", False),
    "ALLOWED_HOSTS": lambda settings, folder: setattr(settings, "ALLOWED_HOSTS", ["hub.example", "*"]),
    "SECRET_KEY": lambda settings, folder: setattr(settings, "SECRET_KEY", "django-insecure-" + GOOD),
    "CREDENTIAL_KEYS": shared,
    "TRUST_PROXY_TLS": lambda settings, folder: setattr(settings, "SECURE_PROXY_SSL_HEADER", ("X", "https")),
    "DATABASE_URL": demo,
    ".env": lambda settings, folder: (folder / ".env").chmod(0o644),
    "TLS_KEY": lambda settings, folder: settings.TLS_KEY.chmod(0o604),
}


def serve(settings, host, monkeypatch):
    """The command up to the moment in which the server would take over."""
    started = []
    settings.WEB_HOST = host
    monkeypatch.setattr(os, "execv", lambda *words: started.append(words))
    monkeypatch.setattr(connections, "close_all", lambda: None)  # the test's own
    call_command("serve")
    return started


@pytest.mark.parametrize("setting", CHANGES)
def test_an_unsafe_setting_stops_a_start_that_others_can_reach(safe, tmp_path, monkeypatch, capsys, setting):
    assert unsafe_settings() == []
    CHANGES[setting](safe, tmp_path)

    assert [problem.setting for problem in unsafe_settings()] == [setting]
    for host in (EVERYWHERE, "::", "192.0.2.7", "hub.example"):
        with pytest.raises(CommandError, match="others can reach") as refused:
            serve(safe, host, monkeypatch)
        assert unsafe_settings()[0].sentence in str(refused.value)
    safe.TRUSTED_PROXIES = (ip_network("127.0.0.1"),)
    if unsafe_settings():  # behind a proxy, which makes one of the settings safe
        with pytest.raises(CommandError, match="others can reach"):
            serve(safe, "127.0.0.1", monkeypatch)
    safe.TRUSTED_PROXIES = ()
    if setting == "TRUST_PROXY_TLS":
        return
    assert serve(safe, "127.0.0.1", monkeypatch)
    assert AuditEntry.objects.get(action=Action.UNSAFE_START).after == {"problems": [setting]}
    assert unsafe_settings()[0].sentence in capsys.readouterr().err


def test_all_problems_are_told_at_once_and_a_safe_start_starts(safe, tmp_path, monkeypatch):
    assert serve(safe, EVERYWHERE, monkeypatch)
    for change in CHANGES.values():
        change(safe, tmp_path)

    with pytest.raises(CommandError) as refused:
        serve(safe, EVERYWHERE, monkeypatch)

    assert str(refused.value).count("\n- ") == len(CHANGES)


@pytest.mark.parametrize("key", ["short", "a" * 60, "django-insecure-" + GOOD])
def test_a_secret_that_can_be_guessed_is_unsafe(safe, key):
    safe.SECRET_KEY = key

    assert [problem.setting for problem in unsafe_settings()] == ["SECRET_KEY"]


def test_a_database_and_a_secret_file_that_everybody_reads_are_unsafe(safe, tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text(GOOD)
    secret.chmod(0o644)
    (tmp_path / "books.sqlite3").chmod(0o666)
    monkeypatch.setenv("SECRET_KEY_FILE", str(secret))

    assert {problem.setting for problem in unsafe_settings()} == {"DATABASE_URL", "SECRET_KEY_FILE"}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("localhost", True),
        ("::", False),
        ("", False),
    ],
)
def test_what_is_loopback(host, expected):
    assert is_loopback(host) is expected


# Secrets in files


def test_a_secret_comes_from_its_file(tmp_path):
    file = tmp_path / "secret"
    file.write_text(f"{GOOD}\n")

    assert SecretFiles({"SECRET_KEY_FILE": str(file)})["SECRET_KEY"] == GOOD
    assert SecretFiles({"SECRET_KEY": "plain"})["SECRET_KEY"] == "plain"
    assert SecretFiles({"EXCHANGE_CA_FILE": "ca.pem"})["EXCHANGE_CA_FILE"] == "ca.pem"
    with pytest.raises(KeyError):
        SecretFiles({"EXCHANGE_CA_FILE": "ca.pem"})["EXCHANGE_CA"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"SECRET_KEY": "x", "SECRET_KEY_FILE": "/nowhere"}, "both set"),
        ({"SECRET_KEY_FILE": "/nowhere"}, "cannot be read"),
    ],
)
def test_a_secret_file_that_cannot_be_used_stops_the_start(values, said):
    with pytest.raises(ImproperlyConfigured, match=said):
        SecretFiles(values)["SECRET_KEY"]


def test_the_settings_read_every_secret_from_its_file(tmp_path):
    values = {
        "SECRET_KEY": GOOD,
        "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
        "DATABASE_URL": f"sqlite:///{tmp_path}/other.sqlite3",
        "CACHE_URL": "rediscache://127.0.0.1:1/3",
        "Q_REDIS_URL": "redis://127.0.0.1:1/4",
    }
    files = {}
    for name, value in values.items():
        (tmp_path / name).write_text(value + "\n")
        files[f"{name}_FILE"] = str(tmp_path / name)
    show = (
        "import tradehub.settings as s; print(s.SECRET_KEY, *s.CREDENTIAL_KEYS, s.DATABASES['default']['NAME'],"
        " s.CACHES['default']['LOCATION'], s.Q_CLUSTER['redis'])"
    )
    empty = dict.fromkeys(values, "")  # in place of what .env may say

    shown = subprocess.run(
        [sys.executable, "-c", show], cwd=BASE_DIR, env={"PATH": os.environ["PATH"], **empty, **files},
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip

    assert shown == [
        values["SECRET_KEY"], values["CREDENTIAL_KEYS"], f"{tmp_path}/other.sqlite3", "redis://127.0.0.1:1/3",
        values["Q_REDIS_URL"],
    ]  # fmt: skip


def test_the_paper_exchange_is_given_none_of_the_secrets(settings):
    given = without_secrets()

    assert set(environment.SECRETS) <= set(given)
    assert {settings.SECRET_KEY, *settings.CREDENTIAL_KEYS}.isdisjoint(given.values())
    assert SimpleNamespace(**given).DATABASE_URL == "sqlite://:memory:"
