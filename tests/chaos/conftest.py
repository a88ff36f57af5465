"""One database for each stack, on the server that the test run is given: SQLite, or TEST_DATABASE_URL."""

import os
from collections.abc import Iterator

import pytest

from tests.chaos.databases import (
    PostgresCluster,
    postgres_binaries,
    postgres_cluster,
    postgres_database,
    sqlite_database,
)

SERVER = os.environ.get("TEST_DATABASE_URL", "")
IS_POSTGRES = SERVER.startswith("postgres")


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    with postgres_database(SERVER) if IS_POSTGRES else sqlite_database() as url:
        yield url


@pytest.fixture
def database_url_of_its_own() -> Iterator[str]:
    with postgres_database(SERVER) if IS_POSTGRES else sqlite_database() as url:
        yield url


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    """A PostgreSQL server of the test's own, to be stopped."""
    if not IS_POSTGRES or postgres_binaries() is None:
        pytest.skip("Only where the tests run on PostgreSQL.")
    with postgres_cluster() as running:
        yield running
