"""The triggers that keep order events and adjustments as they are. The tests' set-up drops them."""

from importlib import import_module

from django.db import connection

first = import_module("orders.migrations.0001_initial")
growth = import_module("orders.migrations.0007_growth")


def put_back():
    """As the migrations leave the triggers: of the first, with the archive's gate of the later one."""
    _run(first.POSTGRESQL, first.SQLITE)
    _run(growth.POSTGRESQL, growth.SQLITE)


def drop():
    _run(first.POSTGRESQL_BACK, first.SQLITE_BACK)


def _run(on_postgresql, on_sqlite):
    with connection.cursor() as cursor:
        for statement in on_sqlite if connection.vendor == "sqlite" else on_postgresql:
            cursor.execute(statement)
