"""What an answer says about accounts of other users than the sender: nothing that depends on what an account holds.

An owner's alert reaches subscribers' accounts. The owner learns whether the alert was handed to an account. What came
of the alert there depends on positions, balances, capital and limits, and is the subscriber's own to know.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from exchanges.enums import TradingState
from orders.domain.enums import CancelType, OrderStatus
from orders.domain.legs import Leg
from orders.execution.planner import Plan
from orders.models import Order
from strategies.models import StrategyAccount

SENT, NOT_SENT, PENDING = "sent", "not_sent", "pending"
# Denials of the exchange's markets, of the alert's age and of the sender's own budget. None looks at an account.
_OF_MARKET = frozenset({"unknown_symbol", "markets_unavailable"})
_OF_ALERT = frozenset({"stale_signal", "superseded", "order_budget"})
_STATE_CODES = {TradingState.HALTED: "halted", TradingState.REDUCE_ONLY: "reduce_only"}
Json = dict[str, Any]


class Handed(NamedTuple):
    """An order of the alert for an account of others: what denied the order at once, "" for nothing, and its kind."""

    denial: str
    may_close: bool


# By strategy account.
HandedOver = Mapping[int, Sequence[Handed]]


def handed_over(orders: Iterable[Order], *, viewer_id: int) -> HandedOver:
    """The orders for accounts of others, before their turn: at its turn an order may be denied for what is hidden."""
    found: dict[int, list[Handed]] = defaultdict(list)
    for order in orders:
        if order.account.owner_id != viewer_id:
            found[order.strategy_account_id].append(_handed(order))
    return found


def _handed(order: Order) -> Handed:
    # An order whose kind follows from what is held may turn out an exit, which no alert is too old for.
    may_close = order.is_closing or "aim" in order.terms
    known = _OF_MARKET if may_close else _OF_MARKET | _OF_ALERT
    is_denied = order.status == OrderStatus.DENIED and order.reason in known
    return Handed(order.reason if is_denied else "", may_close)


def others_results(
    accounts: Iterable[StrategyAccount],
    legs: Collection[Leg],
    plan: Plan,
    handed: HandedOver,
    *,
    viewer_id: int,
    state: TradingState,
    is_started: bool,
) -> list[Json]:
    """Returns a result per account of others that takes part and that a leg concerns, by shown name.

    `state` is the strictest trading state of the system and the strategy, which the viewer may know.
    """
    canceled = {row.strategy_account_id for row in plan.cancellations if row.target_id is None}
    results = []
    for account in accounts:
        if account.account.owner_id == viewer_id:
            continue
        codes = [_code_of(order, state) for order in handed.get(account.pk, ())]
        codes += _cancel_codes(legs, has_instruction=account.pk in canceled)
        if codes:
            results.append(_result(account.account.opaque_name, codes, is_started))
    return sorted(results, key=lambda result: str(result["account_name"]))


def _code_of(order: Handed, state: TradingState) -> str:
    """Why the order does not go out; "" where the order goes on."""
    is_let_through = state == TradingState.ACTIVE or (order.may_close and state == TradingState.REDUCE_ONLY)
    return order.denial or ("" if is_let_through else _STATE_CODES[state])


def _cancel_codes(legs: Iterable[Leg], *, has_instruction: bool) -> list[str]:
    """Legs that cancel everything, or a tag, concern every account. A leg that names an order concerns its owner."""
    kinds = {(leg.leg_type, bool(leg.tag)) for leg in legs if leg.is_cancel and not leg.order_id}
    codes = ["" for _kind, is_of_tag in kinds if is_of_tag]
    if (CancelType.CANCEL_ALL_ORDER, False) in kinds:
        codes.append("" if has_instruction else "unknown_symbol")
    return codes


def _result(name: str, codes: Sequence[str], is_started: bool) -> Json:
    if "" in codes:
        return {"account_name": name, "status": SENT if is_started else PENDING, "error_code": None}
    return {"account_name": name, "status": NOT_SENT, "error_code": codes[0]}
