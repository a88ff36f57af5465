"""What the tests of every app may ask for. Tests that trade take `paper`: a real exchange on this machine."""

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from exchanges.gateway import gateway
from exchanges.market_data import catalog
from exchanges.paper.testing import PaperControl, running_paper_exchange
from orders.execution import batches
from orders.execution.batch_run import BatchRun
from tests.desk import Desk, open_desk
from tests.factories import UserFactory
from tests.rules import assert_rules_hold
from webhooks import throttle

RUN_S = 30


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Order events refuse DELETE and TRUNCATE, also those that empty the tables between tests."""
    guard = import_module("orders.migrations.0001_initial")
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        is_sqlite = connection.vendor == "sqlite"
        for statement in guard.SQLITE_BACK if is_sqlite else guard.POSTGRESQL_BACK:
            cursor.execute(statement)
    yield
    for pool in batches._pool.values():
        pool.shutdown()  # a database in use cannot be dropped
    batches._pool.clear()


@pytest.fixture(scope="session")
def paper_server() -> Iterator[PaperControl]:
    with running_paper_exchange() as paper:
        yield paper


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BatchRun]]:
    """The batches that this test ran; their threads are done before the database is emptied."""
    started: list[BatchRun] = []
    start = batches.start_run

    def start_and_note(run: BatchRun) -> None:
        started.append(run)
        start(run)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "start_run", start_and_note)
        yield started
        assert all(run.finished.wait(RUN_S) for run in started), "a batch never ended"


@pytest.fixture
def paper(
    paper_server: PaperControl, settings: Any, db: None, runs: list[BatchRun]
) -> Iterator[PaperControl]:
    settings.PAPER_EXCHANGE_URL = paper_server.url
    settings.WEBHOOK_ANSWER_BUDGET_MS = 30_000  # answers come when orders are settled, on a slow machine too
    paper_server.reset()
    forget_exchanges()
    cache.clear()
    yield paper_server
    paper_server.clear_faults()
    assert all(run.finished.wait(RUN_S) for run in runs), "a batch never ended"
    assert_rules_hold(paper_server)


def forget_exchanges() -> None:
    """As a new process starts: no catalog, clients or pauses in memory."""
    catalog.forget_catalogs()
    for memory in (gateway._templates, gateway._capabilities, gateway._paused_until, gateway._used):
        memory.clear()


@pytest.fixture
def new_process(paper: PaperControl) -> Callable[[], None]:
    return forget_exchanges


@pytest.fixture
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute in which throttles count begins now, and does not end before the test does."""
    cache.clear()
    monkeypatch.setattr(throttle, "_key", lambda scope, name: f"throttle:{scope}:{name}")


@pytest.fixture
def alice(db: None) -> Any:
    return UserFactory(username="alice")


@pytest.fixture
def bob(db: None) -> Any:
    return UserFactory(username="bob")


@pytest.fixture
def charlie(db: None) -> Any:
    return UserFactory(username="charlie")


@pytest.fixture
def test1(paper: PaperControl) -> Desk:
    """alice's private futures strategy on two accounts with 20,000,000 USDT each, as the demo has it."""
    return open_desk(paper, "A1", "A2", group_name="test1")


@pytest.fixture
def deliver(client: Client) -> Callable[..., Any]:
    """POSTs an alert, or a body as it is, and returns the response."""

    def post(
        body: Any, path: str = "/api/webhook", content_type: str = "application/json", **more: Any
    ) -> Any:
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        return client.post(path, content, content_type=content_type, **more)

    return post
