"""A page that reads too long gives up, on both databases."""

import time

import pytest
from django.db import connection
from django.http import HttpResponse

from staff import page_limits, site

pytestmark = pytest.mark.django_db
ENDLESS = {
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SET LOCAL statement_timeout = 100; SELECT pg_sleep(20)",
}


def read(request, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return HttpResponse(str(cursor.fetchone()[0]))


def test_a_statement_without_end_is_given_up(rf, monkeypatch):
    monkeypatch.setattr(site, "STATEMENT_S", 0.1)
    began = time.monotonic()

    response = site._bounded(read)(rf.get("/"), ENDLESS[connection.vendor])

    assert response.status_code == 503
    assert time.monotonic() - began < 5


def test_each_statement_has_the_whole_time_and_other_pages_none_of_it(rf, monkeypatch):
    monkeypatch.setattr(page_limits, "_CHECK_EVERY", 1)
    with page_limits.statements_within(0.2):
        time.sleep(0.3)
        inside = read(rf.get("/"), "SELECT 1")

    time.sleep(0.1)

    assert (inside.content, read(rf.get("/"), "SELECT 2").content) == (b"1", b"2")
