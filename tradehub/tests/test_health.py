from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from orders.models import BookAudit
from tradehub import health

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def asked_anew():
    cache.clear()


@contextmanager
def only_to_be_read():
    on, off = {
        "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
        "postgresql": ("SET default_transaction_read_only = on", "RESET default_transaction_read_only"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(on)
        try:
            yield
        finally:
            cursor.execute(off)


def audited(minutes, problems):
    at = timezone.now() - timedelta(minutes=minutes)
    BookAudit.objects.create(at=at, checked_orders=1, problems=problems)


@pytest.mark.parametrize(
    ("audits", "books"),
    [
        ([], "not audited"),
        ([(1, [])], "ok"),
        ([(1, ["alice's A1: 3 orders"])], "problems"),
        ([(5, ["x"]), (1, [])], "ok"),
        ([(11, [])], "stale"),
    ],
)
def test_health_tells_how_the_books_are_and_nothing_of_what_is_in_them(client, audits, books):
    for audit in audits:
        audited(*audit)

    response = client.get("/api/health")

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "database": "ok", "books": books}
    assert BookAudit.objects.count() == len(audits)


def test_a_database_that_takes_no_delivery_is_no_health(client):
    with only_to_be_read():
        response = client.get("/api/health/")

    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": "unavailable"}


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.parametrize("place", ["_write_test_row", "_books_state"])
def test_a_database_that_is_gone_is_no_health(client, monkeypatch, place, error):
    def gone():
        raise error("gone")

    monkeypatch.setattr(health, place, gone)

    assert client.get("/api/health").status_code == 503


def test_asking_often_costs_one_write_in_the_time_that_an_answer_is_kept(client, monkeypatch):
    assert health.KEPT_S == 1
    monkeypatch.setattr(health, "KEPT_S", 3600)
    written = []
    monkeypatch.setattr(health, "_write_test_row", lambda: written.append(1))

    assert {client.get("/api/health").status_code for _ in range(5)} == {200}
    assert written == [1]
