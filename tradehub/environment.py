"""Reads the environment. A bad value stops the start with a sentence about the right value."""

import os
from pathlib import Path
from typing import Any

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

from webhooks import senders

BASE_DIR = Path(__file__).resolve().parent.parent
# With Django's usual 300 entries, a stranger with many addresses could push the throttles' counters out of the cache.
MEMORY_ENTRIES = 100_000
# A statement gives up soon when a lock is not free, and a connection notices soon when the server is gone. Storing a
# delivery, auditing the books, migrating and changing a trading state have other time limits: see orders.transactions
# and orders.turns.state_lock.
POSTGRESQL_OPTIONS = {
    "connect_timeout": 2,
    "options": "-c lock_timeout=2s -c statement_timeout=30s",
    "tcp_user_timeout": 1000,
    "keepalives_idle": 10,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}

# Each of these may stand in a file instead, named by the variable with _FILE behind its name: Docker and systemd hand
# secrets to a service in files, and the environment of a process shows in more places.
SECRETS = ("SECRET_KEY", "CREDENTIAL_KEYS", "DATABASE_URL", "CACHE_URL", "Q_REDIS_URL")


class SecretFiles(FileAwareMapping):  # type: ignore[misc]  # the package has no types
    """The environment, with the content of secrets' files in place of the secrets."""

    def __getitem__(self, name: str) -> str:
        file = self.env.get(f"{name}_FILE") if name in SECRETS else None
        if not file:
            return str(self.env[name])
        if self.env.get(name):
            raise ImproperlyConfigured(f"{name} and {name}_FILE are both set. Remove one of them.")
        try:
            return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(
                f"{name}_FILE names {file}, which cannot be read: {error}. Correct the path or the file's rights."
            ) from error


def secret_files() -> dict[str, Path]:
    """The files that hold secrets, by the variable that names the file."""
    names = [f"{name}_FILE" for name in SECRETS]
    return {name: Path(os.environ[name]) for name in names if os.environ.get(name)}


class _Env(environ.Env):  # type: ignore[misc]  # the package has no types
    ENVIRON = SecretFiles()


env = _Env()
env.smart_cast = False
_Env.read_env(BASE_DIR / ".env")


def positive_int(name: str, default: int) -> int:
    raw = env.str(name, default=str(default))
    if not raw.isascii() or not raw.isdigit() or int(raw) < 1:
        raise ImproperlyConfigured(f"{name} must be a whole number above 0, not '{raw}'. Correct it in .env.")
    return int(raw)


def at_least(name: str, floor: int, default: int | None = None) -> int:
    """Reads a whole number of at least `floor`. Without a value, returns `default`, or `floor` without a default."""
    value = positive_int(name, floor if default is None else default)
    if value < floor:
        raise ImproperlyConfigured(f"{name} must be {floor} or more, not '{value}'. Correct it in .env.")
    return value


def natural_int(name: str, default: int) -> int:
    raw = env.str(name, default=str(default))
    if not raw.isascii() or not raw.isdigit():
        raise ImproperlyConfigured(
            f"{name} must be a whole number, 0 or more, not '{raw}'. Correct it in .env."
        )
    return int(raw)


def port(name: str, default: int) -> int:
    number = positive_int(name, default)
    if number > 65535:
        raise ImproperlyConfigured(f"{name} must be a port, 1 to 65535, not '{number}'. Correct it in .env.")
    return number


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value: str = env.str(name, default=default)
    if value not in allowed:
        raise ImproperlyConfigured(
            f"{name} must be one of {', '.join(allowed)}, not '{value}'. Correct it in .env."
        )
    return value


def file_path(name: str, default: str) -> Path:
    """Reads a path. A relative path starts at the repository."""
    path: str = env.str(name, default=default)
    return BASE_DIR / path


def optional_file_path(name: str, default: str) -> Path | None:
    """Reads a path as `file_path` does; None for an empty value."""
    return file_path(name, default) if env.str(name, default=default) else None


def required(name: str, how: str) -> str:
    value: str = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {how}")
    return value


def flag(name: str, default: bool) -> bool:
    raw = env.str(name, default=str(default)).lower()
    if raw not in {"true", "false", "1", "0", "yes", "no", "on", "off"}:
        raise ImproperlyConfigured(f"{name} must be true or false, not '{raw}'. Correct it in .env.")
    return raw in {"true", "1", "yes", "on"}


def networks(name: str) -> tuple[senders.Network, ...]:
    """Reads comma-separated addresses, CIDRs and names of presets; none by default."""
    words = [word.strip() for word in env.str(name, default="").split(",") if word.strip()]
    try:
        return senders.parse_networks(words)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{name} must hold addresses and networks, such as 192.0.2.7 and 10.0.0.0/8: {error}. Correct it in .env."
        ) from error


def fernet_keys(name: str) -> list[str]:
    """Reads comma-separated Fernet keys: the first key encrypts, every key decrypts."""
    how = (
        "Make one with: python -c 'from cryptography.fernet import Fernet; "
        "print(Fernet.generate_key().decode())' "
        "and put it in .env. Losing it means entering every exchange key again."
    )
    keys = [key.strip() for key in required(name, how).split(",") if key.strip()]
    for key in keys:
        try:
            Fernet(key)
        except ValueError as error:
            raise ImproperlyConfigured(f"{name} holds a value that is no Fernet key. {how}") from error
    return keys


def cache(name: str) -> dict[str, Any]:
    """Returns the CACHES entry: this process's memory, or Redis with short time-outs and memory as fallback."""
    try:
        config: dict[str, Any] = dict(env.cache_url(name, default="locmemcache://"))
    except (ValueError, ImproperlyConfigured):
        raise ImproperlyConfigured(
            f"{name} is not a cache URL. Examples: locmemcache://, redis://localhost:6379/0"
        ) from None  # the error before quotes a part of the URL, perhaps of the password
    if "locmem" in config["BACKEND"].lower():
        config.setdefault("OPTIONS", {})["MAX_ENTRIES"] = MEMORY_ENTRIES
    if "redis" in config["BACKEND"].lower():
        config["BACKEND"] = "tradehub.cache.FallbackRedisCache"
        config["OPTIONS"] = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25}
    return config


def database(name: str, default: str) -> dict[str, Any]:
    """Returns the DATABASES entry: SQLite made safe for several processes, or PostgreSQL with kept connections."""
    try:
        config: dict[str, Any] = dict(env.db_url(name, default=default))
    except (ValueError, ImproperlyConfigured):
        raise ImproperlyConfigured(
            f"{name} is not a database URL. Examples: sqlite:///var/tradehub.sqlite3, "
            "postgres://user:password@localhost:5432/tradehub"
        ) from None  # as above
    if config.get("ENGINE") == "django.db.backends.sqlite3":
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000;"
            # The triggers that protect order events then see INSERT OR REPLACE as a DELETE, too.
            " PRAGMA recursive_triggers=ON;",
        }
        if not config["NAME"].startswith((":memory:", "/")):
            config["NAME"] = str(BASE_DIR / config["NAME"])
        return config
    if config.get("ENGINE") != "django.db.backends.postgresql":
        raise ImproperlyConfigured(f"{name} must name SQLite or PostgreSQL (sqlite:///… or postgres://…).")
    config["ENGINE"] = "exchanges.database.postgresql"
    config["CONN_MAX_AGE"] = 600
    config["CONN_HEALTH_CHECKS"] = True
    config["OPTIONS"] = POSTGRESQL_OPTIONS | config.get("OPTIONS", {})
    return config
