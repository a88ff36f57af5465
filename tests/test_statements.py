"""Statements per delivery do not grow with the number of accounts. On PostgreSQL a trip with several counts as one."""

import threading

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper

from orders.execution import answers
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, open_desk
from tests.waiting import LONG_S
from webhooks import budgets

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def statements(monkeypatch, settings):
    """Every statement of every thread, in groups that a slow machine does not split."""
    settings.PRICE_MAX_AGE_S = 3600  # a price that grew old meanwhile would cost an order another turn
    settings.EXCHANGE_TIMEOUT_S = LONG_S
    settings.PREPARE_STATEMENTS = False  # else the texts are names of plans
    monkeypatch.setattr(budgets, "_KNOWN_FOR_S", 10 * LONG_S)
    monkeypatch.setattr(answers, "IDLE_S", 30)
    monkeypatch.setattr(answers, "LONGEST_S", 60)
    seen, lock = [], threading.Lock()
    for name in ("execute", "executemany"):
        monkeypatch.setattr(CursorWrapper, name, noting(getattr(CursorWrapper, name), seen, lock))
    return seen


def noting(original, seen, lock):
    def execute(self, sql, *args, **kwargs):
        with lock:
            seen.append(sql)
        return original(self, sql, *args, **kwargs)

    return execute


def count(deliver, desk, statements, runs, alert):
    statements.clear()
    response = deliver(alert)
    assert runs[-1].finished.wait(LONG_S)
    # How often a run looks for a price and renews its lease depends on time, not on accounts.
    counted = [sql for sql in statements if not is_by_time(sql)]
    assert response.status_code == 200
    return len(counted)


def agree(measure, *accounts):
    """Whether the counts for these numbers of accounts are equal, in one of three tries.

    On a busy machine a run looks once more at a goal or a price. What grows with the accounts differs in every try.
    """
    return any(
        len({measure(number, f"{number}-{attempt}") for number in accounts}) == 1 for attempt in range(3)
    )


def is_by_time(sql):
    return sql.startswith(('UPDATE "orders_batch"', 'SELECT "exchanges_exchangepause"'))


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite splits long statements")
@pytest.mark.parametrize(("alert", "at_most"), [(BTC_LIMIT, 7), (BTC_MARKET, 9)], ids=["LIMIT", "MARKET"])
def test_a_delivery_takes_as_many_statements_for_2_as_for_200_accounts(
    deliver, paper, settings, runs, statements, alert, at_most
):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 1000 * LONG_S
    counts = {}
    for accounts in (2, 20, 200):
        names = [f"A{number}" for number in range(accounts)]
        desk = open_desk(paper, *names, group_name=f"of-{accounts}", capital=100_000)
        deliver(desk.alert(alert, dry_run=True))  # markets, prices and budgets are known from here on
        deliver(desk.alert(CANCEL_ALL))
        counts[accounts] = [
            count(deliver, desk, statements, runs, desk.alert(alert)),
            count(deliver, desk, statements, runs, desk.alert(CANCEL_ALL)),
        ]

    assert counts[2] == counts[20] == counts[200]
    sent, canceled = counts[200]
    assert sent <= at_most
    assert canceled <= 10


RESTING = BTC_CLOSE | {"order_type": "LIMIT", "price": "120000", "qty_per": -50}
BATCH = {"orders": [BTC_LIMIT | {"price": str(90000 + number)} for number in range(5)]}
# What comes before, the alert, and the most statements on PostgreSQL and on SQLite.
KINDS = {
    "LIMIT": ((), BTC_LIMIT, 7, 19),
    "MARKET": ((), BTC_MARKET, 9, 30),
    "CANCEL_ALL": ((BTC_LIMIT,), CANCEL_ALL, 10, 21),
    "EXIT": ((BTC_MARKET,), BTC_CLOSE, 12, 32),
    "EXIT with resting orders": ((BTC_MARKET, RESTING), BTC_CLOSE, 16, 40),
    "BATCH of 5": ((), BATCH, 19, 47),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_alert_has_its_number_of_statements_for_2_as_for_12_accounts(
    deliver, paper, settings, runs, statements, kind
):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 1000 * LONG_S
    before, alert, on_postgresql, on_sqlite = KINDS[kind]
    at_most = on_sqlite if connection.vendor == "sqlite" else on_postgresql

    def measure(accounts, name):
        names = [f"A{number}" for number in range(accounts)]
        desk = open_desk(paper, *names, group_name=f"{kind[:4]}-of-{name}", capital=100_000)
        deliver(
            desk.alert(BTC_LIMIT)
        )  # markets, prices, budgets and the symbol's alerts are known from here on
        deliver(desk.alert(CANCEL_ALL))
        for earlier in before:
            deliver(desk.alert(earlier))
        return count(deliver, desk, statements, runs, desk.alert(alert))

    found = [(measure(2, f"2-{attempt}"), measure(12, f"12-{attempt}")) for attempt in range(2)]
    assert any(few == many <= at_most for few, many in found), found


def test_refused_exits_and_their_further_attempts_take_as_many_statements_for_2_as_for_12_accounts(
    deliver, paper, settings, runs, statements
):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 1000 * LONG_S

    def measure(accounts, name):
        names = [f"A{number}" for number in range(accounts)]
        desk = open_desk(paper, *names, group_name=f"exits-of-{name}", capital=100_000)
        deliver(desk.alert(BTC_MARKET))
        paper.fault(path="/fapi/v1/order", method="POST", action="code", value=-1021, times=accounts)
        counted = count(deliver, desk, statements, runs, desk.alert(BTC_CLOSE))
        paper.clear_faults()
        assert {desk.held(name) for name in names} == {"0"}
        return counted

    assert agree(measure, 2, 12)


def test_positions_take_as_many_statements_for_2_as_for_12_accounts(
    deliver, paper, settings, runs, statements
):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 1000 * LONG_S
    sizes = {"market_position": "long", "market_position_size": 1, "prev_market_position_size": 0}
    long = {"symbol": "BTC/USDT", "qty": 1, "prev_market_position": "flat", **sizes}
    short = long | {
        "market_position": "short",
        "prev_market_position": "long",
        "prev_market_position_size": 1,
    }
    flat = short | {"market_position": "flat", "prev_market_position": "short"}

    def measure(accounts, name):
        names = [f"A{number}" for number in range(accounts)]
        desk = open_desk(paper, *names, group_name=f"position-by-{name}", capital=100_000)
        deliver(desk.alert(long))  # reads the markets and the price
        deliver(desk.alert(flat))
        legs = (long, short | {"qty": 2}, flat)
        counted = tuple(count(deliver, desk, statements, runs, desk.alert(leg)) for leg in legs)
        assert {desk.held(name) for name in names} == {"0"}
        return counted

    assert agree(measure, 2, 12)


def test_exits_of_who_left_take_as_many_statements_for_2_as_for_12_accounts(
    deliver, paper, settings, runs, statements
):
    settings.WEBHOOK_ANSWER_BUDGET_MS = 1000 * LONG_S

    def measure(accounts, name):
        names = [f"A{number}" for number in range(accounts)]
        desk = open_desk(paper, *names, group_name=f"left-by-{name}", capital=100_000)
        deliver(desk.alert(BTC_MARKET))
        desk.strategy.strategy_accounts.exclude(account__name="A0").update(is_active=False)
        counted = tuple(
            count(deliver, desk, statements, runs, desk.alert(leg)) for leg in (CANCEL_ALL, BTC_CLOSE)
        )
        assert {desk.held(name) for name in names} == {"0"}
        return counted

    assert agree(measure, 2, 12)
