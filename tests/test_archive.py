"""Old deliveries and events move into a file; orders, trades and positions stay, and the audit still agrees."""

import gzip
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.utils import timezone

from orders import archive
from orders.domain.enums import Evidence, OrderStatus
from orders.models import ArchiveGate, AuditedPosition, AuditProgress, Order, OrderEvent, Position, Trade
from orders.models.transitions import Transition
from orders.reconciliation.audit import audit_books, audit_changes
from tests import triggers
from tests.desk import BTC_LIMIT, BTC_MARKET
from webhooks.models import WebhookLog
from webhooks.tasks import delete_deliveries

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def guarded():
    """The triggers again, which the tests' set-up dropped."""
    triggers.put_back()
    yield
    triggers.drop()


@pytest.fixture
def old(deliver, test1, guarded):
    """Filled orders and resting orders of long ago, and their deliveries."""
    deliver(test1.alert(BTC_MARKET, id="old"))
    deliver(test1.alert(BTC_LIMIT))
    long_ago = timezone.now() - timedelta(days=100)
    Order.objects.filter(closed_at__isnull=False).update(closed_at=long_ago)
    WebhookLog.objects.update(received_at=long_ago)
    yield test1
    # What every test asserts at its end replays all events.
    triggers.drop()
    for order in Order.objects.exclude(archived_as=""):
        for source, target in (("initialized", "submitted"), ("submitted", order.status)):
            event(order, source, target)
    triggers.put_back()


def event(order, source, target):
    OrderEvent.objects.create(
        order=order, at=timezone.now(), from_status=source, to_status=target, evidence="query", actor="test"
    )


def archived(path, days=40):
    call_command("archive", before=(timezone.now() - timedelta(days=days)).date().isoformat(), to=str(path))


def lines_of(path):
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def test_old_rows_move_into_the_file_and_the_books_stay_true(old, tmp_path, capsys):
    filled = Order.objects.filter(status="filled")
    events = OrderEvent.objects.filter(order__in=filled).count()
    kept = OrderEvent.objects.exclude(order__in=filled).count()

    archived(tmp_path / "old.jsonl.gz")

    lines = lines_of(tmp_path / "old.jsonl.gz")
    assert sum(len(line["rows"]) for line in lines if line.get("kind") == "events") == events
    assert [line.get("end") for line in lines] == [None, None, None, None, 4]
    assert (OrderEvent.objects.count(), WebhookLog.objects.count(), Trade.objects.count()) == (kept, 0, 2)
    assert set(filled.values_list("archived_as", flat=True)) == {"filled"}
    assert f"Deleted: {events} events, 2 deliveries." in capsys.readouterr().out
    assert [audit_books(now=timezone.now()).problems, audit_changes(now=timezone.now()).problems] == [[], []]
    assert not ArchiveGate.objects.exists()


def test_a_delivery_comes_again_after_the_archive(old, deliver, tmp_path):
    archived(tmp_path / "old.jsonl.gz")

    answer = deliver(old.alert(BTC_MARKET, id="old", dry_run=True)).json()

    assert answer["duplicate"] is False


def test_no_other_code_deletes_events_of_an_archived_order(old, tmp_path):
    archived(tmp_path / "old.jsonl.gz")
    event(Order.objects.filter(status="filled").first(), "filled", "filled")

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        OrderEvent.objects.filter(from_status="filled").delete()

    delete_by_hand(OrderEvent.objects.filter(from_status="filled"))


def delete_by_hand(events):
    triggers.drop()
    events.delete()
    triggers.put_back()


def test_late_evidence_after_the_archive_is_replayed_from_there(old, tmp_path):
    order = Order.objects.filter(order_type="LIMIT").first()
    closed = timezone.now() - timedelta(days=100)
    for target in (OrderStatus.PENDING_CANCEL, OrderStatus.CANCELED):
        change = Transition(order, target, closed, Evidence.LOCAL, "test", {"closed_at": closed})
        Order.objects.transition([change])
    archived(tmp_path / "old.jsonl.gz")
    order.refresh_from_db()
    Order.objects.filter(pk=order.pk).update(status="partially_filled")
    event(order, "canceled", "partially_filled")

    problems = audit_books(now=timezone.now()).problems

    assert not any("its events" in problem for problem in problems)
    triggers.drop()
    for model in (AuditedPosition, AuditProgress, Trade, Position, OrderEvent, Order):
        model.objects.all()._raw_delete("default")
    old.paper.reset()
    triggers.put_back()


def test_an_interrupted_run_goes_on(old, tmp_path, monkeypatch):
    path = tmp_path / "old.jsonl.gz"

    def interrupted(*args, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archive, "_delete_portion", interrupted)
        with pytest.raises(KeyboardInterrupt):
            archived(path)
    changed, same = Order.objects.filter(status="filled").order_by("pk")
    event(changed, "filled", "filled")

    archived(path)

    kept = OrderEvent.objects.filter(order=changed)
    assert (kept.count() > 1, OrderEvent.objects.filter(order=same).count()) == (True, 0)
    delete_by_hand(kept.filter(from_status="filled"))


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"{}\n")], ids=["empty", "text", "part"])
def test_a_file_that_is_no_complete_archive_deletes_nothing(old, tmp_path, content):
    (tmp_path / "old.jsonl.gz").write_bytes(content)
    before = OrderEvent.objects.count(), WebhookLog.objects.count()

    with pytest.raises(CommandError, match="no complete archive"):
        archived(tmp_path / "old.jsonl.gz")

    assert (OrderEvent.objects.count(), WebhookLog.objects.count()) == before


@pytest.mark.parametrize(
    ("before", "said"), [("soon", "no day"), ("2025-13-01", "no day"), ("2999-01-01", "30")]
)
def test_a_wrong_day_is_refused(db, tmp_path, before, said):
    with pytest.raises(CommandError, match=said):
        call_command("archive", before=before, to=str(tmp_path / "x"))


def test_times_keep_their_microseconds(old, tmp_path):
    moment = timezone.now().replace(microsecond=123456) - timedelta(days=100)
    WebhookLog.objects.update(received_at=moment)

    call_command("archive", before=str(timezone.now().date() - timedelta(days=31)), to=str(tmp_path / "a.gz"))

    with gzip.open(tmp_path / "a.gz", "rt") as file:
        lines = [json.loads(line) for line in file]
    (first, *_) = (row for line in lines if line.get("kind") == "delivery" for row in line["rows"])
    assert first["received_at"] == moment.isoformat()


def test_newer_deliveries_with_ids_of_the_file_stay(old):
    WebhookLog.objects.update(received_at=timezone.now())
    lines = [
        {"kind": "delivery", "rows": [{"id": pk}]} for pk in WebhookLog.objects.values_list("pk", flat=True)
    ]

    deleted = delete_deliveries(lines, before=timezone.now() - timedelta(days=31), pace=lambda: None)

    assert deleted == 0
    assert WebhookLog.objects.count() == len(lines)
