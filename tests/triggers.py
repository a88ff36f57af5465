"""The triggers that keep order events, adjustments and audit entries as they are. The tests' set-up drops them."""

from importlib import import_module

from django.db import connection

first = import_module("orders.migrations.0001_initial")
growth = import_module("orders.migrations.0007_growth")
audit = import_module("audit.migrations.0001_initial")


def put_back():
    """As the migrations leave the triggers: of the first, with the archive's gate of the later one."""
    _run(first.POSTGRESQL, first.SQLITE)
    _run(growth.POSTGRESQL, growth.SQLITE)
    _run(audit.POSTGRESQL, audit.SQLITE)


def drop():
    _run(first.POSTGRESQL_BACK, first.SQLITE_BACK)
    _run(audit.POSTGRESQL_BACK, audit.SQLITE_BACK)


def _run(on_postgresql, on_sqlite):
    with connection.cursor() as cursor:
        for statement in on_sqlite if connection.vendor == "sqlite" else on_postgresql:
            cursor.execute(statement)
