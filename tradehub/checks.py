"""System checks: every start reports unsafe settings of keys, databases and caches."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

DURABLE_SQLITE = (2, 3)  # FULL, EXTRA
WORKER_OVERHEAD = 4  # the guard, the monitor and the scheduler of django-q2, and one to spare
LOST_ON_CRASH = (
    "What was answered with 200 may be lost in a crash: orders are sent on the word of these rows."
)


@register(Tags.security)
def check_secrets_differ(**options: Any) -> list[CheckMessage]:
    shared = [
        key for key in settings.CREDENTIAL_KEYS if key in settings.SECRET_KEY or settings.SECRET_KEY in key
    ]
    if not shared:
        return []
    return [
        Error(
            "SECRET_KEY and CREDENTIAL_KEYS share a value.",
            hint="Who learns the one must not have the other: put a new random SECRET_KEY in .env.",
            id="tradehub.E001",
        )
    ]


@register(Tags.database)
def check_durability(*, databases: Sequence[str] | None = None, **options: Any) -> list[CheckMessage]:
    return [message for alias in databases or () for message in _durability_of(alias)]


def _durability_of(alias: str) -> list[CheckMessage]:
    connection = connections[alias]
    if connection.vendor == "sqlite":
        if int(_query_value(connection, "PRAGMA synchronous")) in DURABLE_SQLITE:
            return []
        hint = "Leave DATABASES as tradehub.environment makes it: synchronous=FULL."
        return [Error(f"SQLite's synchronous is not FULL. {LOST_ON_CRASH}", hint=hint, id="tradehub.E002")]
    if (
        _query_value(connection, "SHOW synchronous_commit") != "off"
        and _query_value(connection, "SHOW fsync") == "on"
    ):
        return []
    hint = "Set synchronous_commit and fsync to on for this database and its role."
    return [
        Error(f"PostgreSQL answers before it has written. {LOST_ON_CRASH}", hint=hint, id="tradehub.E003")
    ]


def _query_value(connection: Any, statement: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return str(cursor.fetchone()[0])


@register(Tags.database)
def check_driver(**options: Any) -> list[CheckMessage]:
    """Django prefers psycopg 3 as soon as the package is installed, and nothing here is tested with psycopg 3."""
    found = {_driver_of(c) for c in connections.all() if c.vendor == "postgresql"} - {"psycopg2"}
    if not found:
        return []
    return [
        Error(
            f"The database's driver is {', '.join(sorted(found))}, not psycopg2.",
            hint="Uninstall psycopg, so that Django takes psycopg2 of requirements.txt.",
            id="tradehub.E004",
        )
    ]


def _driver_of(connection: Any) -> str:
    return str(connection.Database.__name__)


@register(Tags.database)
def check_connections(*, databases: Sequence[str] | None = None, **options: Any) -> list[CheckMessage]:
    """Compares the connections that this machine's processes may hold with PostgreSQL's limit."""
    messages = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor == "postgresql":
            reserved = int(_query_value(connection, "SHOW superuser_reserved_connections"))
            allowed = int(_query_value(connection, "SHOW max_connections")) - reserved
            messages += _compared(connections_of_machine(), allowed)
    return messages


def connections_of_machine() -> int:
    """The most connections of the web processes, one tracker and one worker. Each thread keeps one."""
    worker = int(str(settings.Q_CLUSTER["workers"])) + WORKER_OVERHEAD
    return settings.WEB_PROCESSES * connections_of_web_process() + connections_of_tracker() + worker


def connections_of_web_process() -> int:
    return (
        settings.WEB_THREADS + settings.ANSWER_THREADS + settings.RUN_THREADS + settings.EVIDENCE_THREADS + 1
    )


def connections_of_tracker() -> int:
    return 1 + settings.TRACKER_THREADS + settings.RUN_THREADS + settings.EVIDENCE_THREADS


def _compared(needed: int, allowed: int) -> list[CheckMessage]:
    if needed <= allowed:
        return []
    return [
        Warning(
            f"The processes of this machine may hold {needed} database connections, and PostgreSQL allows {allowed}.",
            hint="Lower WEB_PROCESSES, WEB_THREADS or RUN_THREADS, or raise max_connections: without a connection an "
            "alert is refused (503), and the tracker cannot recover what broke off.",
            id="tradehub.W002",
        )
    ]


@register(Tags.caches)
def check_cache_is_shared(**options: Any) -> list[CheckMessage]:
    is_alone = settings.WEB_PROCESSES == 1 and not settings.TRUSTED_PROXIES
    if is_alone or "locmem" not in settings.CACHES["default"]["BACKEND"].lower():
        return []
    return [
        Warning(
            "Several processes or machines count throttles and prices each for itself.",
            hint="Set CACHE_URL to a Redis server that they share, e.g. rediscache://localhost:6379/1.",
            id="tradehub.W001",
        )
    ]
