"""Automatic stops."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from exchanges.enums import TradingState
from orders.controls import circuit_breaker
from orders.controls.circuit_breaker import drawdown, net_result, trip_circuit_breakers
from orders.controls.trading_state import set_trading_state
from orders.models import Adjustment, Trade
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


def trade(profit, fee="0"):
    return Trade(
        symbol="BTC/USDT:USDT",
        realized_profit=Decimal(profit),
        fee=Decimal(fee),
        fee_currency="USDT",
        executed_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


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
    assert drawdown([trade(profit) for profit in profits]) == Decimal(expected)


def test_a_payment_counts_in_the_order_of_execution():
    paid = Adjustment(amount=Decimal(-3), fee=Decimal(1))

    assert (net_result([trade("10"), paid]), drawdown([trade("10"), paid])) == (6, 4)


def test_fees_count_against_the_result():
    assert net_result([trade("10", "1"), trade("-2", "0.5")]) == Decimal("6.5")


def test_a_halt_by_a_person_in_the_meantime_is_not_loosened(deliver, test1, monkeypatch):
    limit(test1, max_daily_loss=Decimal(1000))
    lose(deliver, test1)

    def after_a_halt(level, state, **how):
        StrategyAccount.objects.filter(pk=level.pk).update(trading_state=TradingState.HALTED)
        return set_trading_state(level, state, **how)

    monkeypatch.setattr(circuit_breaker, "set_trading_state", after_a_halt)

    assert trip_circuit_breakers(now=that_day()) == []
    assert test1.strategy_account("A1").trading_state == TradingState.HALTED
