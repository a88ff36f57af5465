"""A database of every release comes to today's schema with its books, and no landed migration is edited."""

import os
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.db import connection

from tests.upgrade.releases import landed, migrations, versions
from tradehub.environment import BASE_DIR


@pytest.fixture
def empty_database(tmp_path, db) -> Iterator[str]:
    """The URL of a database of the kind that this run tests, for a process of its own."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path}/upgrade.sqlite3"
        return
    name, known = f"upgrade_{uuid4().hex[:12]}", connection.settings_dict
    with connection.copy().temporary_connection() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        yield f"postgres://{known['USER']}:{known['PASSWORD']}@{known['HOST']}:{known['PORT']}/{name}"
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("version", versions())
def test_a_filled_database_of_a_release_is_upgraded_with_its_books(empty_database, version):
    ran = subprocess.run(
        [sys.executable, "-m", "tests.upgrade", "check", version],
        cwd=BASE_DIR,
        env=os.environ
        | {"TEST_DATABASE_URL": empty_database, "DJANGO_SETTINGS_MODULE": "tests.process_settings"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_there_is_a_release():
    assert "0.1.0" in versions()


def test_no_landed_migration_is_edited_or_removed():
    """A new migration is noted by `python -m tests.upgrade landed`, in the commit that adds it."""
    assert migrations() == landed()
