"""The database itself refuses to change what happened to an order."""

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from audit.actions import Action
from audit.actor import Actor
from audit.models import AuditEntry
from audit.trail import record, verify_trail
from orders.models import OrderEvent
from tests import triggers
from tests.desk import BTC_LIMIT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def guarded():
    """The triggers again, which the tests' set-up dropped."""
    triggers.put_back()
    yield
    triggers.drop()


def execute(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


CHANGES = {
    "UPDATE": lambda: OrderEvent.objects.update(actor="somebody else"),
    "DELETE": lambda: OrderEvent.objects.all().delete(),
    "DELETE one": lambda: OrderEvent.objects.first().delete(),
}
CHANGES_OF = {
    "sqlite": {
        "INSERT OR REPLACE": lambda: execute(
            "INSERT OR REPLACE INTO orders_orderevent SELECT * FROM orders_orderevent"
        ),
        "REPLACE one": lambda: execute(
            "REPLACE INTO orders_orderevent SELECT * FROM orders_orderevent LIMIT 1"
        ),
        "UPDATE OR REPLACE": lambda: execute("UPDATE OR REPLACE orders_orderevent SET id = 1"),
    },
    "postgresql": {
        "TRUNCATE": lambda: execute("TRUNCATE orders_orderevent"),
        "TRUNCATE orders": lambda: execute("TRUNCATE orders_order CASCADE"),
    },
}


@pytest.mark.parametrize("change", [*CHANGES, *CHANGES_OF[connection.vendor]])
def test_an_event_can_be_added_and_neither_changed_nor_deleted(deliver, test1, guarded, change):
    deliver(test1.alert(BTC_LIMIT))
    before = list(OrderEvent.objects.values())

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        (CHANGES | CHANGES_OF[connection.vendor])[change]()

    assert before
    assert list(OrderEvent.objects.values()) == before


@pytest.mark.parametrize("change", ["UPDATE", "DELETE"])
def test_an_audit_entry_can_be_added_and_neither_changed_nor_deleted(guarded, change):
    with transaction.atomic():
        record(Action.SIGNED_OUT, None, actor=Actor.of_service("test"), now=timezone.now())

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.update(label="") if change == "UPDATE" else AuditEntry.objects.all().delete()

    assert verify_trail().problems == []
