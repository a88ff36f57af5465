from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from audit.actions import Action
from audit.actor import Actor
from audit.chain import plain_value
from audit.models import AuditEntry, AuditHead
from audit.trail import changes, record, verify_trail

NOW = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
ANNA = Actor("user:7", "orders.change_order", label="anna", address="192.0.2.7")

pytestmark = pytest.mark.django_db


TRACKER = Actor.of_service("tracker")


def acted(count=1, **more):
    with transaction.atomic():
        return [record(Action.STATE_CHANGED, None, actor=ANNA, now=NOW, **more) for _ in range(count)]


def sql(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_an_entry_says_who_by_what_right_before_and_after():
    acted(
        before={"limit": Decimal("1.50"), "at": NOW},
        after={"limit": Decimal(2), "at": None},
        reason="too small",
    )

    entry = AuditEntry.objects.get()
    assert (entry.number, entry.actor, entry.label, entry.address) == (1, "user:7", "anna", "192.0.2.7")
    assert (entry.right, entry.reason) == ("orders.change_order", "too small")
    assert entry.before == {"limit": "1.5", "at": "2026-01-31T12:00:00.123456+00:00"}
    assert entry.after == {"limit": "2", "at": None}


def test_a_whole_trail_is_whole_whatever_it_holds():
    acted(
        before={"a": "\0\ud800 ü 한국 'x'", "b": [1, None, True, {"c": Decimal("0.10")}]}, reason="\0\ud800"
    )
    acted(3)

    verdict = verify_trail()
    assert verdict.problems == []
    assert verdict.number == 4


@pytest.mark.django_db(transaction=True)
def test_an_act_without_a_transaction_leaves_no_entry():
    with pytest.raises(RuntimeError):
        record(Action.STATE_CHANGED, None, actor=ANNA, now=NOW)

    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        ("DELETE FROM audit_auditentry WHERE number = 2", "Between #1 and #3"),
        ("DELETE FROM audit_auditentry WHERE number = 1", "Between #0 and #2"),
        ("DELETE FROM audit_auditentry WHERE number = 3", "must be #3"),
        ("DELETE FROM audit_auditentry", "must be #3"),
        ("UPDATE audit_auditentry SET reason = 'other' WHERE number = 3", "#3 was changed"),
        ("UPDATE audit_auditentry SET label = 'bert' WHERE number = 1", "#1 was changed"),
        ("UPDATE audit_audithead SET number = 2", "must be #2"),
    ],
)
def test_a_missing_or_changed_entry_shows(tampering, said):
    acted(3)
    sql(tampering)

    assert any(said in problem for problem in verify_trail().problems)


def test_a_trail_that_was_written_anew_differs_from_the_anchor():
    """Who can write the database can compute hashes, but not change what was noted outside."""
    acted(3)
    anchor = AuditEntry.objects.values_list("number", "hash").get(number=2)
    AuditEntry.objects.all().delete()
    AuditHead.objects.all().delete()
    acted(3, reason="a better story")

    assert verify_trail().problems == []
    assert any("noted outside" in problem for problem in verify_trail(anchor=anchor).problems)
    assert any("missing" in problem for problem in verify_trail(anchor=(9, anchor[1])).problems)


def test_values_become_what_every_database_returns_unchanged():
    values = {"kind": Action.SIGNED_OUT, "names": {"b", "a"}, "pair": (1, Decimal("1E+2")), 5: TRACKER.right}

    assert plain_value(values) == {
        "kind": "sign_out",
        "names": ["a", "b"],
        "pair": [1, "100"],
        "5": "service",
    }


def test_a_lost_head_stops_no_act():
    acted(3)
    AuditHead.objects.all().delete()

    acted(1)

    assert verify_trail().problems == []
    assert AuditEntry.objects.count() == 4


def test_changes_names_only_what_differs():
    before, after = changes({"a": 1, "b": Decimal("2.0"), "c": None}, {"a": 1, "b": Decimal(2), "c": "x"})

    assert (before, after) == ({"c": None}, {"c": "x"})


def test_the_command_prints_an_anchor_and_fails_on_a_problem(capsys):
    acted(2)
    call_command("verify_audit")
    anchor = capsys.readouterr().out.rpartition("Anchor: ")[2].strip()
    call_command("verify_audit", "--anchor", anchor)

    sql("UPDATE audit_auditentry SET action = 'sign_out' WHERE number = 1")
    with pytest.raises(CommandError, match="not whole"):
        call_command("verify_audit")
    assert "#1 was changed" in capsys.readouterr().err


def test_the_export_is_enough_to_check_the_chain(tmp_path):
    acted(2, before={"limit": Decimal("1.5")})
    path = tmp_path / "trail.jsonl"
    call_command("export_audit", "--to", str(path), "--since", "2026-01-31", "--until", "2026-01-31")

    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(CommandError, match="new file"):
        call_command("export_audit", "--to", str(path))
    call_command("export_audit", "--to", str(tmp_path / "none"), "--until", "2026-01-30")
    assert (tmp_path / "none").read_text() == ""
