import logging
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction

from audit import trail
from audit.actions import Action
from audit.actor import Actor
from audit.anchor import parse_anchor, verify_since_anchor
from audit.models import AuditEntry, AuditHead
from audit.trail import record

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(tmp_path):
    return tmp_path / "var" / "audit-anchor"


def acted(count=1, **more):
    with transaction.atomic():
        return [
            record(Action.SIGNED_IN, None, actor=Actor("user:7", "x"), now=NOW, **more) for _ in range(count)
        ]


def sql(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


def read_numbers(monkeypatch):
    numbers, in_order = [], trail.entries_in_order

    def noted(rows=None):
        for entry in in_order(rows):
            numbers.append(entry.number)
            yield entry

    monkeypatch.setattr(trail, "entries_in_order", noted)
    return numbers


def test_each_check_reads_what_is_new_and_leaves_the_anchor_in_the_file_and_the_log(
    path, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, "audit.anchor")
    numbers = read_numbers(monkeypatch)
    acted(2)
    first = verify_since_anchor(path)
    acted(1)

    second = verify_since_anchor(path)

    assert (first.problems, second.problems, numbers) == ([], [], [1, 2, 3])
    assert parse_anchor(path.read_text()) == (3, AuditEntry.objects.get(number=3).hash)
    assert path.stat().st_mode & 0o077 == 0
    assert f"anchor=3:{second.hash}" in caplog.text


def test_a_trail_without_entries_is_whole(path):
    assert [verify_since_anchor(path).problems for _ in range(2)] == [[], []]


def test_without_a_file_every_check_reads_everything(monkeypatch):
    numbers = read_numbers(monkeypatch)
    acted(2)

    assert [verify_since_anchor(None).problems for _ in range(2)] == [[], []]
    assert numbers == [1, 2, 1, 2]


def written_anew():
    AuditEntry.objects.all().delete()
    AuditHead.objects.all().delete()
    acted(3, reason="a better story")


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (written_anew, "missing or another"),
        (lambda: sql("DELETE FROM audit_auditentry WHERE number = 2"), "missing or another"),
        (lambda: sql("UPDATE audit_auditentry SET reason = 'x' WHERE number = 2"), "#2 was changed"),
        (lambda: sql("UPDATE audit_auditentry SET reason = 'x' WHERE number = 3"), "#3 was changed"),
        (lambda: sql("DELETE FROM audit_auditentry WHERE number = 3"), "must be #3"),
    ],
)
def test_a_problem_is_an_error_at_every_check_until_a_person_has_looked(path, caplog, tamper, said):
    acted(2)
    verify_since_anchor(path)
    anchor = path.read_text()
    acted(1)
    tamper()

    verdicts = [verify_since_anchor(path) for _ in range(2)]

    assert all(any(said in problem for problem in verdict.problems) for verdict in verdicts)
    assert path.read_text() == anchor
    assert {record.levelname for record in caplog.records} == {"ERROR"}


@pytest.mark.parametrize("text", ["", "7", "7:xyz", "-1:" + "0" * 64])
def test_a_file_that_holds_no_anchor_is_a_problem(path, text):
    acted(1)
    path.parent.mkdir()
    path.write_text(text)

    assert "holds no anchor" in verify_since_anchor(path).problems[0]
    assert path.read_text() == text
