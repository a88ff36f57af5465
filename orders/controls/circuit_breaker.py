"""The circuit breaker: stops a strategy account at the automatic limits.

A loss or a drawdown sets `reduce_only`; rejected orders in a row set `halted`.
"""

import logging
from datetime import datetime
from decimal import Decimal

from audit.actor import Actor
from exchanges.amounts import plain
from exchanges.enums import TradingState
from exchanges.state_reasons import StateReason
from orders.controls.results import Results, read_results
from orders.controls.trading_state import set_trading_state
from orders.domain.enums import OrderStatus
from orders.models import Order
from strategies.models import Limits, StrategyAccount, SystemRisk

logger = logging.getLogger(__name__)

BREAKER = Actor.of_service("circuit breaker")
Verdict = tuple[TradingState, StateReason]
_PERCENT = Decimal(100)
_ANSWERED = (OrderStatus.REJECTED, OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED)


def trip_circuit_breakers(*, now: datetime) -> list[StrategyAccount]:
    """Applies the automatic limits to every active strategy account, and returns the stopped strategy accounts.

    Orders, trades and adjustments from before the last change of the trading state do not count again.
    """
    system = SystemRisk.current()
    rows = StrategyAccount.objects.filter(is_active=True).exclude(trading_state=TradingState.HALTED)
    limited = [(row, Limits.of(row, row.strategy, system)) for row in rows.select_related("strategy")]
    results = read_results([row for row, limits in limited if _limits_losses(limits)])
    return [row for row, limits in limited if _stop_if_due(row, limits, results.get(row.pk), now)]


def _limits_losses(limits: Limits) -> bool:
    return limits.max_daily_loss is not None or limits.max_drawdown_percent is not None


def _stop_if_due(
    strategy_account: StrategyAccount, limits: Limits, results: Results | None, now: datetime
) -> bool:
    verdict = _verdict_on_errors(strategy_account, limits) or _verdict_on_loss(
        strategy_account, limits, results, now
    )
    if verdict is None or TradingState(strategy_account.trading_state).strictness >= verdict[0].strictness:
        return False
    state, reason = verdict
    # A halt by a person in the meantime must not be loosened.
    before = strategy_account.trading_state
    if not set_trading_state(
        strategy_account, state, reason=reason, actor=BREAKER, now=now, only_from=before
    ):
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


def _verdict_on_loss(
    strategy_account: StrategyAccount, limits: Limits, results: Results | None, now: datetime
) -> Verdict | None:
    if results is None:
        return None
    today = results.on(now.date())
    if limits.max_daily_loss is not None and -today > limits.max_daily_loss:
        numbers = {"loss": plain(-today), "allowed": plain(limits.max_daily_loss)}
        return TradingState.REDUCE_ONLY, StateReason.of("daily_loss", **numbers)
    return _verdict_on_drawdown(strategy_account, limits, results)


def _verdict_on_drawdown(
    strategy_account: StrategyAccount, limits: Limits, results: Results
) -> Verdict | None:
    if limits.max_drawdown_percent is None or not strategy_account.capital:
        return None
    percent = (results.drawdown * _PERCENT / strategy_account.capital).quantize(Decimal("0.01"))
    if percent <= limits.max_drawdown_percent:
        return None
    numbers = {"percent": plain(percent), "allowed": plain(limits.max_drawdown_percent)}
    return TradingState.REDUCE_ONLY, StateReason.of("drawdown", **numbers)
