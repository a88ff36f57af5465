"""What runs on a timer or behind a page, one by one. Import this module after django.setup()."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orders import tasks
from orders.controls.circuit_breaker import trip_circuit_breakers
from orders.controls.heartbeat import note_silence
from orders.models import Position
from orders.outside.books import read_books
from orders.outside.subjects import symbols_in_use
from orders.reconciliation.audit import audit_books
from orders.reconciliation.following import _read_followed
from orders.reconciliation.tracker import Tracker
from webhooks.tasks import drop_old_deliveries

Work = Callable[[], object]


def first_reads() -> dict[str, Work]:
    """What is slow once, after an update of a database with a long history."""
    return {
        "whole audit": lambda: audit_books(now=timezone.now()),
        "circuit breakers": lambda: trip_circuit_breakers(now=timezone.now()),
    }


def repeated_reads() -> dict[str, Work]:
    tracker = Tracker(clock=timezone.now)
    accounts = set(Position.objects.values_list("strategy_account__account_id", flat=True))
    return {
        "audit of a minute": tasks.audit_books,
        "tracker: abandoned batches": tracker._resume_abandoned,
        "tracker: orders to look up": lambda: [
            tracker._unsure_orders(),
            _read_followed(lambda account: True),
        ],
        "tracker: goals and protections": lambda: [tracker._pursue_goals(), tracker._keep_protections({})],
        "comparison: books": lambda: [
            symbols_in_use(accounts),
            read_books(accounts, now=timezone.now()),
        ],
        "circuit breakers": lambda: trip_circuit_breakers(now=timezone.now()),
        "heartbeat": lambda: note_silence(now=timezone.now()),
        "retention of deliveries": drop_old_deliveries,
    }


def page_opener() -> Callable[[str], Any]:
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(User.objects.create_superuser("clerk"))

    def open_page(path: str) -> None:
        answer = client.get(f"/admin/{path}", secure=True)
        if answer.status_code != 200:
            raise SystemExit(f"/admin/{path}: HTTP {answer.status_code}")

    return open_page
