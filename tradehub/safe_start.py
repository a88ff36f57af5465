"""Settings with which the service must not be reached from elsewhere: `manage.py serve` refuses to start with them.

On a loopback address the same settings are what the demo and a developer need.
"""

import ipaddress
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from tradehub.environment import BASE_DIR, secret_files

_SHORTEST_KEY, _FEWEST_CHARACTERS = 50, 5
_WEAK_PREFIX = "django-insecure-"


@dataclass(frozen=True, slots=True)
class Unsafe:
    """A setting, and a sentence that says what is wrong with its value and what to set."""

    setting: str
    sentence: str


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_reachable() -> bool:
    """Whether others can reach the service: by its own address, or through a proxy that it is told to trust."""
    is_proxied = (
        bool(settings.TRUSTED_PROXIES) or getattr(settings, "SECURE_PROXY_SSL_HEADER", None) is not None
    )
    return not is_loopback(settings.WEB_HOST) or is_proxied


def unsafe_settings() -> list[Unsafe]:
    return [*_of_flags(), *_of_keys(), *_of_demo(), *_of_files()]


def _of_flags() -> Iterator[Unsafe]:
    if settings.DEBUG:
        yield Unsafe("DEBUG", "DEBUG shows settings and code to whoever causes an error. Set DEBUG=false.")
    if not settings.STAFF_SECOND_FACTOR:
        yield Unsafe(
            "STAFF_SECOND_FACTOR",
            "A password alone opens the admin. Set STAFF_SECOND_FACTOR=true, or remove the line from .env.",
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield Unsafe(
            "ALLOWED_HOSTS",
            "ALLOWED_HOSTS holds *, every name. Set the names of this service, such as hub.example.",
        )
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None) and not settings.TRUSTED_PROXIES:
        yield Unsafe(
            "TRUST_PROXY_TLS",
            "TRUST_PROXY_TLS believes X-Forwarded-Proto of everybody. Set TRUSTED_PROXIES to the proxies' addresses,"
            " or TRUST_PROXY_TLS=false.",
        )


def _of_keys() -> Iterator[Unsafe]:
    key = settings.SECRET_KEY
    is_weak = len(key) < _SHORTEST_KEY or len(set(key)) < _FEWEST_CHARACTERS or key.startswith(_WEAK_PREFIX)
    if is_weak:
        yield Unsafe(
            "SECRET_KEY",
            "SECRET_KEY can be guessed. Set what this prints:"
            " python -c 'import secrets; print(secrets.token_urlsafe(50))'",
        )
    if any(other in key or key in other for other in settings.CREDENTIAL_KEYS):
        yield Unsafe(
            "CREDENTIAL_KEYS",
            "SECRET_KEY and CREDENTIAL_KEYS share a value: who learns the one must not have the other."
            " Set a new SECRET_KEY.",
        )


def _of_demo() -> Iterator[Unsafe]:
    demo = BASE_DIR / "var/demo.json"
    if demo.exists():
        yield Unsafe(
            "DATABASE_URL",
            f"{demo} holds the tokens and passwords of the demo, which this installation's database knows."
            " Move var/ and .env away, and begin with a new .env and a new DATABASE_URL.",
        )


def _of_files() -> Iterator[Unsafe]:
    """Secrets in files that every user of the machine may read."""
    files = {".env": BASE_DIR / ".env", "TLS_KEY": settings.TLS_KEY, **secret_files()}
    database = database_file()
    if database is not None:
        files["DATABASE_URL"] = database
    for setting, path in files.items():
        if path.exists() and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            yield Unsafe(setting, f"Every user of this machine may read {path}. Run: chmod o-rwx {path}")


def database_file() -> Path | None:
    """The file of a SQLite database; None for a database in memory or on a server."""
    database = settings.DATABASES["default"]
    path = Path(str(database["NAME"]))
    return path if database["ENGINE"].endswith("sqlite3") and path.is_absolute() else None
