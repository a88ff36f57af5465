"""The circuit breaker: stops a strategy account at the automatic limits.

A loss or a drawdown sets `reduce_only`; rejected orders in a row set `halted`.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from exchanges.amounts import exact, plain
from exchanges.enums import TradingState
from exchanges.state_reasons import StateReason
from orders.controls.trading_state import set_trading_state
from orders.domain.enums import OrderStatus
from orders.models import Adjustment, Order, Trade
from strategies.models import Limits, StrategyAccount, SystemRisk

logger = logging.getLogger(__name__)

Verdict = tuple[TradingState, StateReason]
Result = Trade | Adjustment
_PERCENT = Decimal(100)
_ANSWERED = (OrderStatus.REJECTED, OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED)


def trip_circuit_breakers(*, now: datetime) -> list[StrategyAccount]:
    """Applies the automatic limits to every active strategy account, and returns the stopped strategy accounts.

    Orders, trades and adjustments from before the last change of the trading state do not count again.
    """
    system = SystemRisk.current()
    strategy_accounts = StrategyAccount.objects.filter(is_active=True).exclude(
        trading_state=TradingState.HALTED
    )
    return [
        strategy_account
        for strategy_account in strategy_accounts.select_related("strategy")
        if _stop_if_due(strategy_account, system, now)
    ]


def _stop_if_due(strategy_account: StrategyAccount, system: SystemRisk, now: datetime) -> bool:
    limits = Limits.of(strategy_account, strategy_account.strategy, system)
    verdict = _verdict_on_errors(strategy_account, limits) or _verdict_on_loss(strategy_account, limits, now)
    if verdict is None or TradingState(strategy_account.trading_state).strictness >= verdict[0].strictness:
        return False
    state, reason = verdict
    # A halt by a person in the meantime must not be loosened.
    before = strategy_account.trading_state
    if not set_trading_state(strategy_account, state, reason=reason, now=now, only_from=before):
        return False
    logger.warning(
        "trading stopped strategy_account=%s state=%s reason=%r", strategy_account.pk, state, reason
    )
    return True


def _verdict_on_errors(strategy_account: StrategyAccount, limits: Limits) -> Verdict | None:
    allowed = limits.max_errors_in_a_row
    if not allowed:
        return None
    # A refusal with `throttled` only asks for a pause, and tells nothing about this strategy account.
    rows = Order.objects.filter(strategy_account=strategy_account, status__in=_ANSWERED).exclude(
        reason="throttled"
    )
    if strategy_account.state_changed_at:
        rows = rows.filter(created_at__gt=strategy_account.state_changed_at)
    last = list(rows.order_by("-submitted_at", "-pk").values_list("status", flat=True)[:allowed])
    if len(last) == allowed and set(last) == {OrderStatus.REJECTED}:
        return TradingState.HALTED, StateReason.of("errors_in_a_row", count=str(allowed))
    return None


def _verdict_on_loss(strategy_account: StrategyAccount, limits: Limits, now: datetime) -> Verdict | None:
    if limits.max_daily_loss is None and limits.max_drawdown_percent is None:
        return None
    results = _counted_results(strategy_account)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    today = net_result([result for result in results if result.executed_at >= midnight])
    if limits.max_daily_loss is not None and -today > limits.max_daily_loss:
        numbers = {"loss": plain(-today), "allowed": plain(limits.max_daily_loss)}
        return TradingState.REDUCE_ONLY, StateReason.of("daily_loss", **numbers)
    return _verdict_on_drawdown(strategy_account, limits, results)


def _verdict_on_drawdown(
    strategy_account: StrategyAccount, limits: Limits, results: Sequence[Result]
) -> Verdict | None:
    if limits.max_drawdown_percent is None or not strategy_account.capital:
        return None
    percent = (drawdown(results) * _PERCENT / strategy_account.capital).quantize(Decimal("0.01"))
    if percent <= limits.max_drawdown_percent:
        return None
    numbers = {"percent": plain(percent), "allowed": plain(limits.max_drawdown_percent)}
    return TradingState.REDUCE_ONLY, StateReason.of("drawdown", **numbers)


def _counted_results(strategy_account: StrategyAccount) -> list[Result]:
    """Trades and adjustments since the last change of the trading state, in the order of execution."""
    since = strategy_account.state_changed_at
    counted = Q(recorded_at__gt=since) if since else Q()
    trades = Trade.objects.filter(counted, strategy_account=strategy_account).order_by("executed_at", "pk")
    adjustments = Adjustment.objects.filter(counted, strategy_account=strategy_account)
    results: list[Result] = [*trades, *adjustments.order_by("executed_at", "pk")]
    return sorted(results, key=lambda result: result.executed_at)


@exact
def net_result(results: Sequence[Result]) -> Decimal:
    """Realized profit and received payments less the fees paid in quote currency."""
    return sum((result.net_profit for result in results), Decimal(0))


@exact
def drawdown(results: Sequence[Result]) -> Decimal:
    """Returns the distance of the net result below the best net result so far; never negative, in quote currency.

    `results` are in the order of execution.
    """
    net = best = Decimal(0)
    for result in results:
        net += result.net_profit
        best = max(best, net)
    return best - net
