"""Automatic stops."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from exchanges.enums import TradingState
from orders.controls import circuit_breaker, results
from orders.controls.circuit_breaker import trip_circuit_breakers
from orders.controls.results import Results, read_results
from orders.controls.trading_state import set_trading_state
from orders.models import Adjustment, Order, ResultMark, Trade
from orders.reconciliation.comparison import compare_accounts
from strategies.models import StrategyAccount
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET

pytestmark = pytest.mark.django_db(transaction=True)


def lose(deliver, desk, to="94000"):
    """Buys at 95,000 and sells lower."""
    deliver(desk.alert(BTC_MARKET))
    desk.paper.set_prices({"BTCUSDT": to})
    deliver(desk.alert(BTC_CLOSE))


def that_day():
    """When the loss was made: a day may end just now."""
    return Trade.objects.latest("executed_at").executed_at


def limit(desk, **limits):
    StrategyAccount.objects.filter(pk=desk.strategy_account("A1").pk).update(**limits)


def test_a_daily_loss_leaves_exits_only(deliver, test1):
    limit(test1, max_daily_loss=Decimal(1000))
    lose(deliver, test1)

    stopped = trip_circuit_breakers(now=that_day())

    assert [strategy_account.account.name for strategy_account in stopped] == ["A1"]
    assert test1.strategy_account("A1").trading_state == TradingState.REDUCE_ONLY


def test_a_loss_within_the_limit_stops_nothing(deliver, test1):
    limit(test1, max_daily_loss=Decimal(1_000_000))
    lose(deliver, test1)

    assert trip_circuit_breakers(now=that_day()) == []


def test_yesterdays_loss_does_not_count_today(deliver, test1):
    limit(test1, max_daily_loss=Decimal(1000))
    lose(deliver, test1)

    assert trip_circuit_breakers(now=that_day() + timedelta(days=1)) == []


def test_a_loss_by_hand_counts_like_a_trade(deliver, test1):
    limit(test1, max_daily_loss=Decimal(1000))
    deliver(test1.alert(BTC_MARKET))
    test1.paper.set_prices({"BTCUSDT": "94000"})
    test1.paper.hand(test1.key("A1"), "futures", "BTCUSDT", "SELL", "5")
    compare_accounts(clock=lambda: timezone.now() + timedelta(minutes=1))

    stopped = trip_circuit_breakers(now=Adjustment.objects.get().executed_at)

    assert [strategy_account.account.name for strategy_account in stopped] == ["A1"]


def test_a_drawdown_leaves_exits_only(deliver, test1):
    limit(test1, max_drawdown_percent=Decimal("0.01"))
    lose(deliver, test1)

    trip_circuit_breakers(now=timezone.now())

    assert test1.strategy_account("A1").trading_state == TradingState.REDUCE_ONLY
    assert json.loads(test1.strategy_account("A1").state_reason)[0] == "drawdown"


def test_errors_in_a_row_halt(deliver, test1):
    limit(test1, max_errors_in_a_row=2)
    test1.paper.fault(action="code", value=-2019, api_key=test1.key("A1"), method="POST", times=2)
    for _ in range(2):
        deliver(test1.alert(BTC_LIMIT))

    trip_circuit_breakers(now=timezone.now())

    assert test1.strategy_account("A1").trading_state == TradingState.HALTED


def test_an_exchange_that_wants_a_pause_halts_nobody(deliver, test1):
    limit(test1, max_errors_in_a_row=1)
    test1.paper.fault(action="code", value=-1015, status=429, retry_after=1, method="POST", times=2)
    deliver(test1.alert(BTC_LIMIT))

    assert trip_circuit_breakers(now=timezone.now()) == []


def test_what_a_person_activated_is_not_stopped_for_the_same_errors_again(deliver, test1):
    limit(test1, max_errors_in_a_row=1)
    test1.paper.fault(action="code", value=-2019, api_key=test1.key("A1"), method="POST")
    deliver(test1.alert(BTC_LIMIT))
    limit(test1, state_changed_at=timezone.now())

    assert trip_circuit_breakers(now=timezone.now()) == []


TODAY, YESTERDAY = date(2026, 1, 2), date(2026, 1, 1)


@pytest.mark.parametrize(
    ("profits", "expected"),
    [
        ([], "0"),
        (["10", "5"], "0"),
        (["10", "-4", "-3", "1"], "6"),
        (["-5"], "5"),
        (["3", "-1", "5", "-2"], "2"),
    ],
)
def test_the_drawdown_is_the_distance_from_the_best_result(profits, expected):
    summed = Results()
    for profit in profits:
        summed.add(Decimal(profit), TODAY)

    assert summed.drawdown == Decimal(expected)


def test_a_days_result_is_of_that_day_and_later():
    summed = Results()
    for net, day in ((5, YESTERDAY), (-3, TODAY), (7, YESTERDAY), (-1, TODAY)):
        summed.add(Decimal(net), day)

    assert (summed.on(TODAY), summed.on(TODAY + timedelta(days=1)), summed.net) == (-4, 0, 8)


def book(desk, *profits, day=TODAY, fee="1", recorded_at=None):
    """Trades of A1 that earned these profits, without their positions."""
    order = Order.objects.filter(account=desk.accounts["A1"]).first()
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    first = Trade.objects.count()
    for number, profit in enumerate(profits, start=first):
        Trade.objects.create(
            order=order, strategy_account=order.strategy_account, account=order.account, market_type="FUTURES",
            symbol=order.symbol, trade_id=f"booked-{number}", side="buy", quantity=1, price=1, fee=Decimal(fee),
            fee_currency="USDT", realized_profit=Decimal(profit), executed_at=at, recorded_at=recorded_at or at,
        )  # fmt: skip


@pytest.fixture
def booked(deliver, test1, paper):
    deliver(test1.alert(BTC_LIMIT))
    yield partial(book, test1)
    Trade.objects.all().delete()


def results_of(desk):
    row = desk.strategy_account("A1")
    return read_results([row])[row.pk]


def test_what_was_read_once_is_remembered(booked, test1):
    booked("10", "-4")
    first = results_of(test1)
    booked("-3", "1")

    row = test1.strategy_account("A1")
    with CaptureQueriesContext(connection) as captured:
        again = read_results([row])[row.pk]
    plain_reads = [query["sql"] for query in captured if '"orders_trade"."id" > 0' in query["sql"]]

    assert (first.net, first.drawdown, first.on(TODAY)) == (4, 5, 4)
    assert (again.net, again.drawdown, again.on(TODAY)) == (0, 9, 0)
    assert plain_reads == []


def test_payments_count_beside_trades(booked, test1):
    booked("10")
    row, at = test1.strategy_account("A1"), datetime(2026, 1, 2, 13, tzinfo=UTC)
    adjustment = Adjustment.objects.create(
        strategy_account=row, account=row.account, market_type="FUTURES", symbol="BTC/USDT:USDT", kind="funding",
        amount=Decimal(-3), fee=Decimal(1), executed_at=at, recorded_at=at,
    )  # fmt: skip

    summed = results_of(test1)

    assert (summed.net, summed.drawdown) == (5, 4)
    adjustment.delete()


def test_results_begin_anew_when_the_trading_state_changes(booked, test1):
    booked("10", "-40")
    results_of(test1)
    since = datetime(2026, 1, 3, tzinfo=UTC)
    limit(test1, state_changed_at=since)
    booked("-2", recorded_at=since + timedelta(seconds=1))

    assert [results_of(test1).net for _ in range(2)] == [-3, -3]


def test_what_may_still_be_overtaken_is_read_again(booked, test1, monkeypatch):
    monkeypatch.setattr(results, "settled_keys", lambda patience_s: None)
    booked("10")

    assert [results_of(test1).net for _ in range(2)] == [9, 9]
    assert not ResultMark.objects.exists()


def test_a_halt_by_a_person_in_the_meantime_is_not_loosened(deliver, test1, monkeypatch):
    limit(test1, max_daily_loss=Decimal(1000))
    lose(deliver, test1)

    def after_a_halt(level, state, **how):
        StrategyAccount.objects.filter(pk=level.pk).update(trading_state=TradingState.HALTED)
        return set_trading_state(level, state, **how)

    monkeypatch.setattr(circuit_breaker, "set_trading_state", after_a_halt)

    assert trip_circuit_breakers(now=that_day()) == []
    assert test1.strategy_account("A1").trading_state == TradingState.HALTED
