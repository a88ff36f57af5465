import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from tradehub import environment
from tradehub.environment import BASE_DIR
from webhooks.models import KEY_LIFETIME

READS = re.compile(
    r'(?:required|fernet_keys|flag|positive_int|natural_int|at_least|port|choice|file_path|networks|cache|database|env\.\w+)\(\s*"([A-Z][A-Z0-9_]+)"'
)


@pytest.fixture
def set_env(monkeypatch):
    return lambda value: monkeypatch.setenv("NAME", value)


def test_the_example_file_names_exactly_what_the_settings_read():
    example = (BASE_DIR / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))

    assert named == set(READS.findall((BASE_DIR / "tradehub/settings.py").read_text()))


def test_a_fresh_machine_is_told_what_to_set():
    settings = "import tradehub.environment as e; e.required('SECRET_KEY', './script/demo makes one.')"

    result = subprocess.run(
        [sys.executable, "-c", settings], cwd=BASE_DIR, env={"SECRET_KEY": ""}, capture_output=True, text=True
    )

    assert "SECRET_KEY is not set. ./script/demo makes one." in result.stderr


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "ten", "", "٣", "1e3"])
def test_a_number_that_is_no_positive_whole_number_stops_the_start(set_env, value):
    set_env(value)

    with pytest.raises(ImproperlyConfigured, match=f"NAME must be a whole number above 0, not '{value}'"):
        environment.positive_int("NAME", 5)


def test_a_positive_whole_number_is_read_and_has_a_default(set_env):
    assert environment.positive_int("NAME", 5) == 5
    set_env("12")
    assert environment.positive_int("NAME", 5) == 12


def test_a_number_below_its_floor_stops_the_start(set_env):
    assert environment.at_least("NAME", 60) == 60
    set_env("61")
    assert environment.at_least("NAME", 60) == 61
    set_env("59")

    with pytest.raises(ImproperlyConfigured, match="NAME must be 60 or more, not '59'"):
        environment.at_least("NAME", 60)


def test_a_number_with_a_floor_may_have_a_default_above_it(set_env):
    assert environment.at_least("NAME", 7, 365) == 365
    set_env("7")
    assert environment.at_least("NAME", 7, 365) == 7


def test_deliveries_must_be_kept_for_as_long_as_their_ids_are_remembered():
    days = KEY_LIFETIME.days - 1

    result = subprocess.run(
        [sys.executable, "-c", "import tests.settings"],
        cwd=BASE_DIR,
        env=os.environ | {"WEBHOOK_RETENTION_DAYS": str(days)},
        capture_output=True,
        text=True,
    )

    assert f"WEBHOOK_RETENTION_DAYS must be {KEY_LIFETIME.days} or more, not '{days}'" in result.stderr


@pytest.mark.parametrize("value", ["-1", "1.5", "ten", ""])
def test_a_number_below_zero_stops_the_start_where_zero_is_fine(set_env, value):
    set_env(value)

    with pytest.raises(ImproperlyConfigured, match=f"NAME must be a whole number, 0 or more, not '{value}'"):
        environment.natural_int("NAME", 0)


def test_zero_is_read_where_it_is_fine(set_env):
    set_env("0")

    assert environment.natural_int("NAME", 7) == 0


def test_a_port_beyond_65535_stops_the_start(set_env):
    set_env("65536")

    with pytest.raises(ImproperlyConfigured, match="NAME must be a port, 1 to 65535, not '65536'"):
        environment.port("NAME", 5001)


def test_a_port_is_read_and_has_a_default(set_env):
    assert environment.port("NAME", 5001) == 5001
    set_env("65535")
    assert environment.port("NAME", 5001) == 65535


def test_a_value_that_is_not_on_the_list_stops_the_start_with_the_list(set_env):
    set_env("LOUD")

    with pytest.raises(ImproperlyConfigured, match="NAME must be one of INFO, ERROR, not 'LOUD'"):
        environment.choice("NAME", "INFO", ("INFO", "ERROR"))


def test_a_value_on_the_list_is_read(set_env):
    set_env("ERROR")

    assert environment.choice("NAME", "INFO", ("INFO", "ERROR")) == "ERROR"


@pytest.mark.parametrize(
    ("value", "path"), [("tls/a.pem", BASE_DIR / "tls/a.pem"), ("/etc/a.pem", Path("/etc/a.pem"))]
)
def test_a_relative_file_path_starts_at_the_repository(set_env, value, path):
    set_env(value)

    assert environment.file_path("NAME", "unused") == path


@pytest.mark.parametrize(
    ("value", "meaning"),
    [("True", True), ("1", True), ("yes", True), ("on", True), ("0", False), ("OFF", False)],
)
def test_the_usual_words_for_true_and_false_are_read(set_env, value, meaning):
    set_env(value)

    assert environment.flag("NAME", not meaning) is meaning


@pytest.mark.parametrize("default", [True, False])
def test_an_absent_flag_has_its_default(default):
    assert environment.flag("NAME", default) is default


@pytest.mark.parametrize("value", ["maybe", "2", ""])
def test_another_word_for_a_flag_stops_the_start(set_env, value):
    set_env(value)

    with pytest.raises(ImproperlyConfigured, match="NAME must be true or false"):
        environment.flag("NAME", False)


def test_an_empty_secret_stops_the_start_with_how_to_make_one(set_env):
    set_env("")

    with pytest.raises(ImproperlyConfigured, match=r"NAME is not set\. Put one in"):
        environment.required("NAME", "Put one in.")


def test_the_first_fernet_key_stays_first(set_env):
    new, old = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    set_env(f"{new}, {old},")

    assert environment.fernet_keys("NAME") == [new, old]


def test_a_bad_fernet_key_stops_the_start_without_showing_it(set_env):
    set_env("very-secret-but-wrong")

    with pytest.raises(ImproperlyConfigured, match="NAME holds a value that is no Fernet key") as caught:
        environment.fernet_keys("NAME")

    assert "very-secret" not in str(caught.value)


def test_a_relative_sqlite_path_starts_at_the_repository(set_env):
    set_env("sqlite:///var/some.sqlite3")

    config = environment.database("NAME", "")

    assert config["NAME"] == str(BASE_DIR / "var/some.sqlite3")
    assert config["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


@pytest.mark.parametrize(
    ("url", "path"), [("sqlite:////tmp/a.sqlite3", "/tmp/a.sqlite3"), ("sqlite://:memory:", ":memory:")]
)
def test_absolute_sqlite_paths_and_memory_stay_as_they_are(set_env, url, path):
    set_env(url)

    assert environment.database("NAME", "")["NAME"] == path


def test_postgresql_keeps_connections_and_checks_them(set_env):
    set_env("postgres://me:pass@db.example:5433/hub")

    config = environment.database("NAME", "")

    assert (config["HOST"], config["PORT"], config["NAME"]) == ("db.example", 5433, "hub")
    assert (config["CONN_MAX_AGE"], config["CONN_HEALTH_CHECKS"]) == (600, True)
    assert config["OPTIONS"]["connect_timeout"] == 2


def test_postgresql_is_given_limits_of_time_that_the_url_may_replace(set_env):
    set_env("postgres://db.example/hub")
    usual = environment.database("NAME", "")["OPTIONS"]
    set_env("postgres://db.example/hub?options=-c%20lock_timeout%3D5s&tcp_user_timeout=9000")
    own = environment.database("NAME", "")["OPTIONS"]

    assert usual["options"] == "-c lock_timeout=2s -c statement_timeout=30s"
    assert (own["options"], str(own["tcp_user_timeout"])) == ("-c lock_timeout=5s", "9000")


@pytest.mark.filterwarnings("ignore:Engine not recognized")
@pytest.mark.parametrize(
    "url", ["nonsense", "postgres://host:port-is-text/x", "mysql://me@host/db", "oracle://x"]
)
def test_another_database_stops_the_start(set_env, url):
    set_env(url)

    with pytest.raises(ImproperlyConfigured, match=r"sqlite:///.*postgres://"):
        environment.database("NAME", "")


@pytest.mark.parametrize(
    ("read", "url"),
    [
        ("database", "postgres://hub:canary/word@db:5432/hub"),
        ("database", "redis://:canary@db:canary/0"),
        ("cache", "postgres://hub:canary/word@db:5432/hub"),
    ],
)
def test_a_bad_url_is_refused_without_a_word_of_its_password(set_env, read, url):
    """As a person sees the refusal at the start: with the errors before."""
    set_env(url)

    with pytest.raises(ImproperlyConfigured) as refused:
        getattr(environment, read)("NAME", *["sqlite://:memory:"][: read == "database"])["BACKEND"]

    assert "canary" not in "".join(traceback.format_exception(refused.value, limit=0))
