"""Comparisons for steps that wait: an exchange that does not answer one owner holds up no other owner."""

import threading

import pytest
from django.utils import timezone

from exchanges.enums import MarketType
from orders.execution import evidence
from tests.desk import BTC, open_desk

pytestmark = pytest.mark.django_db(transaction=True)


def compare_soon(account, **more):
    evidence.compare_soon([account], MarketType.FUTURES, [BTC], clock=timezone.now, **more)


def test_comparisons_of_one_owner_that_hang_leave_a_thread_to_others(paper, test1, bob, monkeypatch):
    other = open_desk(paper, "B1", group_name="other", owner=bob).accounts["B1"].pk
    hanging, over, compared = [test1.accounts["A1"].pk, test1.accounts["A2"].pk], threading.Event(), []

    def compare(accounts, *args, **more):
        if other not in accounts:
            over.wait(30)
        compared.append(accounts)

    monkeypatch.setattr(evidence, "compare_now", compare)
    done = threading.Event()
    for account in hanging * 4:  # of eight alerts
        compare_soon(account, owner=1, notify=lambda: None)
    compare_soon(other, owner=2, notify=done.set)

    try:
        assert done.wait(5)  # so long an entry waits for its comparison, and then is denied
    finally:
        over.set()
