"""Brings the filled database of a release to today's schema, and checks the books afterwards."""

from typing import Any

from django.apps import apps as today
from django.conf import settings
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from exchanges.vault import credentials_of
from orders.reconciliation.audit import audit_books
from tests.upgrade.releases import release

NOWHERE = "http://127.0.0.1:9"  # the exchange that the rows speak of is long gone


def check_upgrade(version: str) -> None:
    """Works on the database of the settings, which is empty. Raises AssertionError."""
    data = release(version)
    executor = MigrationExecutor(connection)
    ours = set(data["migrations"])
    others = [leaf for leaf in executor.loader.graph.leaf_nodes() if leaf[0] not in ours]
    state = executor.migrate([*others, *data["migrations"].items()])
    insert_rows(state.apps, data["rows"])
    call_command("migrate", verbosity=0)
    call_command("migrate", check_unapplied=True, verbosity=0)
    check_books(data["rows"])


def insert_rows(apps: Any, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Through the models as they were at the release; foreign keys are checked at the commit."""
    with transaction.atomic():
        for label, found in rows.items():
            model = apps.get_model(label)
            model._base_manager.bulk_create(
                model(**{name: model._meta.get_field(name).to_python(value) for name, value in row.items()})
                for row in found
            )
        reset = connection.ops.sequence_reset_sql(no_style(), [apps.get_model(label) for label in rows])
        with connection.cursor() as cursor:
            for statement in reset:
                cursor.execute(statement)


def check_books(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Nothing was lost, the rules hold, keys are readable, order events are still append-only."""
    counts = {label: today.get_model(label)._base_manager.count() for label in rows}
    assert counts == {label: len(found) for label, found in rows.items()}
    settings.PAPER_EXCHANGE_URL = NOWHERE
    problems = audit_books(now=timezone.now()).problems
    assert problems == [], problems
    for account in today.get_model("exchanges.Account").objects.sealed():
        assert credentials_of(account).api_key == f"key-of-{account.name}"
    try:
        with transaction.atomic():
            today.get_model("orders.OrderEvent").objects.update(actor="somebody else")
    except DatabaseError:
        return
    raise AssertionError("an order event could be changed")
