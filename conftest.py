"""What the tests of every app may ask for. Tests that trade take `paper`: a real exchange on this machine."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management.commands import flush as flush_command
from django.db import connection
from django.test import Client
from xdist.scheduler import LoadScopeScheduling

from exchanges import gateway as gateway_module
from exchanges.market_data import catalog
from exchanges.paper.testing import PaperControl, running_paper_exchange
from exchanges.paper.wire import limits
from orders.execution import batches, evidence
from orders.execution.batch_run import BatchRun
from strategies.models import SystemRisk
from tests.desk import Desk, open_desk
from tests.edge import Edge, forget_exchanges
from tests.factories import UserFactory
from tests.rules import assert_rules_hold
from tests.waiting import LONG_S
from webhooks import throttle

LONG_RUNS = "tests/chaos/"
# Of the product as a whole, and alike on every database: addresses, words, files and what an answer says.
ALIKE = (
    "tests/chaos/test_door.py",
    "tests/test_access_table.py",
    "tests/test_cookies.py",
    "tests/test_documents.py",
    "tests/test_extension_points.py",
    "tests/test_korean.py",
    "tests/test_leaks.py",
    "tests/test_lock.py",
    "tests/test_scripts.py",
)
APPEND_ONLY = [  # the migrations with triggers
    "orders.migrations.0001_initial",
    "orders.migrations.0003_goals_of_open_exits",
    "audit.migrations.0001_initial",
]
# What migrate makes, and tests with transactions of their own leave alone.
KEPT = {
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "django_content_type",
    "django_q_schedule",
}
RUN_S, BOOKED_S, NEVER_ENDING_MS = 60, 5, 10**15


class Scheduler(LoadScopeScheduling):
    """Hands tests out one by one; a module of LONG_RUNS as a whole, since its tests judge one long run.

    The groups of pytest-xdist 3.8 do not work with pytest 9.2, which takes no other name for a test.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith(LONG_RUNS) else nodeid


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest begins first. A second database runs only what may notice the database."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG_RUNS))
    if connection.vendor != "sqlite" and len(items) > 1:
        alike = [item for item in items if not _may_notice_database(item)]
        config.hook.pytest_deselected(items=alike)
        left_out = set(alike)
        items[:] = [item for item in items if item not in left_out]


def _may_notice_database(item: pytest.Item) -> bool:
    """Whether the test is one of the product's as a whole, or uses the database."""
    names = getattr(item, "fixturenames", ())
    if item.nodeid.startswith(ALIKE):
        return False
    is_whole = item.nodeid.startswith(("tests/", "benchmarks/"))
    return (
        is_whole
        or item.get_closest_marker("django_db") is not None
        or "db" in names
        or "transactional_db" in names
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    return Scheduler(config, log)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Append-only tables refuse DELETE and TRUNCATE, also those that empty the tables between tests."""
    guards = [import_module(name) for name in APPEND_ONLY]
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        is_sqlite = connection.vendor == "sqlite"
        for guard in guards:
            for statement in guard.SQLITE_BACK if is_sqlite else guard.POSTGRESQL_BACK:
                cursor.execute(statement)
    flush = connection.ops.sql_flush if is_sqlite else _deletes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection.ops, "sql_flush", partial(_without_kept, flush))
        patch.setattr(flush_command, "emit_post_migrate_signal", _make_rows_of_migrate)
        yield
    batches.shut_down()  # a database in use cannot be dropped


def _without_kept(
    flush: Callable[..., list[str]], style: Any, tables: list[str], **options: Any
) -> list[str]:
    """What `migrate` writes into KEPT stays: to write it anew takes 0.3 s after each test."""
    left = [table for table in tables if table not in KEPT]
    return flush(style, left, **options) if left else []


def _make_rows_of_migrate(*args: Any, **kwargs: Any) -> None:
    SystemRisk.objects.get_or_create(pk=1)


def _deletes(style: Any, tables: list[str], **options: Any) -> list[str]:
    """Empties the tables, which hold a few rows, by DELETE: TRUNCATE takes PostgreSQL 0.2 s after each test.

    A replica's session checks no foreign keys, so the order of the tables does not matter.
    """
    emptied = ("DELETE FROM " + connection.ops.quote_name(table) for table in tables)  # noqa: S608 - of Django's models
    return ["SET LOCAL session_replication_role = replica", *emptied]


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
    paper_server: PaperControl, settings: Any, db: None, runs: list[BatchRun], monkeypatch: pytest.MonkeyPatch
) -> Iterator[PaperControl]:
    settings.PAPER_EXCHANGE_URL = paper_server.url
    monkeypatch.setattr(catalog, "FIRST_LIST_WITHIN_S", LONG_S)  # a slow machine lists its markets late
    settings.WEBHOOK_ANSWER_BUDGET_MS = 30_000  # answers come when orders are settled, on a slow machine too
    paper_server.reset()
    forget_exchanges()
    cache.clear()
    yield paper_server
    paper_server.clear_faults()
    assert all(run.finished.wait(RUN_S) for run in runs), "a batch never ended"
    evidence.shut_down()
    assert_rules_hold(paper_server)


@pytest.fixture
def new_process(paper: PaperControl) -> Callable[[], None]:
    return forget_exchanges


@pytest.fixture
def edge(paper: PaperControl, settings: Any) -> Iterator[Edge]:
    """Answers of the exchange take as long as the test wants, and so do its pauses."""
    settings.EXCHANGE_TIMEOUT_S = 10 * LONG_S
    with pytest.MonkeyPatch.context() as patch:
        edge = Edge(patch)
        yield edge
        edge.let_go()


@pytest.fixture(autouse=True)
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute in which throttles count begins with the test, and does not end before the test does."""
    now = time.time() // 60 * 60
    cache.clear()
    monkeypatch.setattr(throttle, "time", SimpleNamespace(time=lambda: now))


@pytest.fixture
def exchange_minute(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The minutes in which request weight counts: ours is the number in the list, the exchange's never ends.

    The gateway's clock stands still otherwise, so that pauses keep their length.
    """
    minute, now = [1000], time.monotonic()
    clock = SimpleNamespace(time=lambda: 60 * minute[0], monotonic=lambda: now)
    monkeypatch.setattr(gateway_module, "time", clock)
    monkeypatch.setattr(limits, "MINUTE_MS", NEVER_ENDING_MS)
    return minute


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
def deliver(client: Client, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """POSTs an alert, or a body as it is, and returns the response; the books agree with the response by then."""
    started = request.getfixturevalue("runs") if "runs" in request.fixturenames else []

    def post(
        body: Any, path: str = "/api/webhook", content_type: str = "application/json", **more: Any
    ) -> Any:
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        response = client.post(path, content, content_type=content_type, **more)
        for run in started:
            if run.completed.is_set():  # answered in full: the books follow within a second
                run.finished.wait(BOOKED_S)
        return response

    return post
