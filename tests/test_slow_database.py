"""A database that does not answer in time: 503 before the sender gives up, and never a 200 without a row."""

import sqlite3
import threading
import time
from contextlib import contextmanager

import psycopg2
import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from exchanges.enums import TradingState
from orders.controls.trading_state import set_trading_state
from orders.models import Order
from orders.reconciliation import audit
from orders.reconciliation.paper_audit import PaperAudit
from orders.transactions import transaction_within
from orders.turns.state_lock import shared_hold
from tests.desk import BTC_LIMIT, PERSON, order_posts
from tests.waiting import LONG_S, done_within
from webhooks.models import WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)

IS_SQLITE = connection.vendor == "sqlite"
only_postgresql = pytest.mark.skipif(IS_SQLITE, reason="SQLite has no such limit")
GIVES_UP_AFTER_S = 3


@contextmanager
def held(statement):
    """Another process has begun a transaction with this statement, and does not end it."""
    settings = connection.settings_dict
    if IS_SQLITE:
        other = sqlite3.connect(settings["NAME"], isolation_level=None, timeout=0, check_same_thread=False)
    else:
        other = psycopg2.connect(
            host=settings["HOST"],
            port=settings["PORT"],
            user=settings["USER"],
            password=settings["PASSWORD"],
            dbname=settings["NAME"],
        )
    try:
        other.cursor().execute(statement)
        yield other
        other.rollback()
    finally:
        other.close()


def locked(desk):
    row = f"SELECT 1 FROM strategies_strategy WHERE id = {desk.strategy.pk} FOR UPDATE"
    return held("BEGIN IMMEDIATE" if IS_SQLITE else row)


def test_a_locked_database_is_answered_503_in_time_and_the_alert_counts_once_afterwards(
    deliver, test1, paper, settings
):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 2500
    deliver(test1.alert(BTC_LIMIT, dry_run=True))  # the markets are known
    rows = WebhookLog.objects.count()
    alert = test1.alert(BTC_LIMIT, id="a")

    with locked(test1):
        refused = done_within(GIVES_UP_AFTER_S, lambda: deliver(alert))
        assert (WebhookLog.objects.count(), Order.objects.count(), order_posts(paper)) == (rows, 0, [])
    settings.WEBHOOK_ANSWER_BUDGET_MS = 30_000
    again, once_more = deliver(alert), deliver(alert)

    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert (again.status_code, again.json()["duplicate"], once_more.json()["duplicate"]) == (200, False, True)
    assert len(order_posts(paper)) == 2


def test_a_slow_sum_of_statements_is_over_in_time():
    done_within(1.2, execute_on_and_on)


def execute_on_and_on():
    with pytest.raises(OperationalError), transaction_within(0.6):
        execute_for_long()


def execute_for_long():
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1" if IS_SQLITE else "SELECT pg_sleep(0.1)")


def test_the_usual_limits_hold_again_after_a_transaction_with_a_deadline():
    before = limits()

    with transaction_within(1):
        within = limits()

    assert (within != before, limits()) == (True, before)


def limits():
    with connection.cursor() as cursor:
        if IS_SQLITE:
            return cursor.execute("PRAGMA busy_timeout").fetchall()
        cursor.execute("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
        return cursor.fetchall()


@only_postgresql
def test_a_background_statement_has_limits():
    assert limits() == [("30s", "2s")]


@only_postgresql
def test_a_background_statement_does_not_wait_long_for_a_lock(test1):
    def wait_for_the_lock():
        with pytest.raises(OperationalError, match="lock timeout"), transaction.atomic():
            type(test1.strategy).objects.locked(test1.strategy.pk)

    with locked(test1):
        done_within(GIVES_UP_AFTER_S, wait_for_the_lock)


@only_postgresql
def test_an_audit_has_no_limits(monkeypatch):
    seen = []

    def look(*args, **more):
        seen.append(limits())
        return PaperAudit()

    monkeypatch.setattr(audit, "audit_paper_books", look)

    audit.audit_books(now=timezone.now())

    assert (seen, limits()) == ([[("0", "0")]], [("30s", "2s")])


@only_postgresql
def test_a_migration_has_no_limits(monkeypatch):
    seen = []
    migrate = MigrationExecutor.migrate

    def noting(self, *args, **options):
        seen.append(limits())
        return migrate(self, *args, **options)

    monkeypatch.setattr(MigrationExecutor, "migrate", noting)

    call_command("migrate", verbosity=0)

    assert (seen, limits()) == ([[("0", "0")]], [("30s", "2s")])


@only_postgresql
def test_a_halt_waits_for_those_who_are_on_their_way_out(test1):
    begun, ended = threading.Event(), threading.Event()

    def send_for_longer_than_a_statement_may_wait():
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(shared_hold())
                begun.set()
                time.sleep(2.5)
                ended.set()
        finally:
            connection.close()

    sender = threading.Thread(target=send_for_longer_than_a_statement_may_wait)
    sender.start()
    assert begun.wait(LONG_S)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '1s'")

    set_trading_state(test1.strategy, TradingState.HALTED, reason="now", actor=PERSON, now=timezone.now())

    assert ended.is_set()
    with connection.cursor() as cursor:
        cursor.execute("RESET statement_timeout")
    sender.join()
    test1.strategy.refresh_from_db()
    assert test1.strategy.trading_state == TradingState.HALTED
