"""A connection whose server has gone is noticed without a question, and replaced before it is used."""

import pytest
from django.db import connection, connections

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no server"),
]


@pytest.fixture
def kept():
    """A kept connection of its own, at the begin of the next request."""
    kept = connections.create_connection("default")
    kept.settings_dict = {**kept.settings_dict, "CONN_MAX_AGE": None}
    kept.ensure_connection()
    kept.close_if_unusable_or_obsolete()
    yield kept
    kept.close()


def pid_of(database):
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


@pytest.fixture
def asked(monkeypatch, kept):
    times = []
    really = kept.is_usable
    monkeypatch.setattr(kept, "is_usable", lambda: times.append(1) or really())
    return times


def test_a_connection_in_use_is_not_asked(kept, asked):
    assert pid_of(kept) == kept.connection.info.backend_pid
    assert asked == []


def test_a_connection_that_the_server_ended_is_replaced(kept, asked):
    gone = kept.connection.info.backend_pid
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [gone])

    assert pid_of(kept) not in (gone, None)
    assert asked == [1]


def test_a_connection_that_was_silent_for_longer_is_asked(kept, asked, monkeypatch):
    monkeypatch.setattr(kept, "_answered_at", kept._answered_at - 5)

    assert pid_of(kept) == kept.connection.info.backend_pid
    kept.close_if_unusable_or_obsolete()
    pid_of(kept)
    assert asked == [1]
