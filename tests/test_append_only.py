"""The database itself refuses to change what happened to an order."""

from importlib import import_module

import pytest
from django.db import DatabaseError, connection, transaction

from orders.models import OrderEvent
from tests.desk import BTC_LIMIT

pytestmark = pytest.mark.django_db(transaction=True)

migration = import_module("orders.migrations.0002_events_are_append_only")


@pytest.fixture
def guarded():
    """SQLite's triggers again, which the tests' set-up dropped; PostgreSQL kept its own."""
    is_sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        for statement in migration.SQLITE if is_sqlite else ():
            cursor.execute(statement)
    yield
    with connection.cursor() as cursor:
        for statement in migration.SQLITE_BACK if is_sqlite else ():
            cursor.execute(statement)


@pytest.mark.parametrize(
    "change",
    [
        lambda: OrderEvent.objects.update(actor="somebody else"),
        lambda: OrderEvent.objects.all().delete(),
        lambda: OrderEvent.objects.first().delete(),
    ],
    ids=["UPDATE", "DELETE", "DELETE one"],
)
def test_an_event_can_be_added_and_neither_changed_nor_deleted(deliver, test1, guarded, change):
    deliver(test1.alert(BTC_LIMIT))
    before = list(OrderEvent.objects.values())

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        change()

    assert before
    assert list(OrderEvent.objects.values()) == before
