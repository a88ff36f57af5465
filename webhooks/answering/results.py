"""The answer's JSON (SPEC section 4). Results are built from rows, so a duplicate gets results of the same rows.

All rows here belong to accounts of the sender; `webhooks.answering.others` has the results of other users' accounts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from exchanges.amounts import exact, floor_to_step, plain
from orders.domain.enums import CancelType, GoalState, OrderStatus
from orders.domain.legs import Leg
from orders.domain.lifecycle import CANCELABLE, FAILED, OPEN
from orders.domain.positions import ALREADY_THERE
from orders.domain.reasons import reason_text
from orders.models import Cancellation, ExitGoal, Order
from webhooks.answering.others import NOT_SENT, SENT

SUCCESS, FAILED_RESULT, PENDING = "success", "failed", "pending"
# An alert handed to another user's account counts as a success.
_COUNTED_AS = {word: word for word in (SUCCESS, FAILED_RESULT, PENDING)} | {
    SENT: SUCCESS,
    NOT_SENT: FAILED_RESULT,
}
_AVERAGE_STEP = Decimal(1).scaleb(-18)
_UNSENT = (OrderStatus.INITIALIZED, OrderStatus.QUEUED)
EXIT_GOES_ON = gettext_lazy("The exit is tried again until the position is closed.")
EXIT_NEEDS_PERSON = gettext_lazy("The exit is before a person now; see the exit goals in the admin.")
Json = dict[str, Any]


def action_of(legs: Sequence[Leg]) -> str:
    kinds = {leg.leg_type for leg in legs}
    if kinds == {CancelType.CANCEL_ALL_ORDER}:
        return "cancel_all_orders"
    return "cancel_order" if kinds == {CancelType.CANCEL} else "orders_processed"


def order_results(orders: Iterable[Order], *, protections: Mapping[int, Json] | None = None) -> list[Json]:
    """Returns a result per leg and strategy account, two for a reversal, in run order, then by account.

    `protections` says what became of the protective exits of entries, by primary key.
    """
    attempts: dict[tuple[int, int, int], list[Order]] = defaultdict(list)
    for order in sorted(orders, key=lambda order: order.attempt):
        attempts[order.strategy_account_id, order.leg, order.part].append(order)
    legs = sorted(attempts.values(), key=lambda leg: (leg[-1].sequence, *_sort_key(leg[-1]), leg[-1].part))
    return [_leg_json(leg, protections or {}) for leg in legs]


def _leg_json(attempts: Sequence[Order], protections: Mapping[int, Json]) -> Json:
    """The result of a leg: the last attempt, with the amounts of an exit's attempts together."""
    last = attempts[-1]
    result = _result_json(last, last.leg, _order_outcome(last))
    before = [order for order in attempts[:-1] if order.filled]
    if before:
        result |= _amounts_of([*before, last])
    if last.pk in protections:
        result["protection"] = protections[last.pk]
    return result


@exact
def _amounts_of(attempts: Sequence[Order]) -> Json:
    filled = sum((order.filled for order in attempts), Decimal(0))
    paid = sum((order.filled * order.average for order in attempts if order.average is not None), Decimal(0))
    asked = filled - attempts[-1].filled + (attempts[-1].quantity or Decimal(0))
    return {
        "quantity": plain(asked),
        "filled": plain(filled),
        "average": plain(floor_to_step(paid / filled, _AVERAGE_STEP)),
    }


def cancel_results(cancellations: Iterable[Cancellation], orders: Iterable[Order]) -> list[Json]:
    """Returns a result per order in `orders`, the orders covered by the cancel instructions `cancellations`.

    An order keeps the name of the instruction that canceled the order first, which may be of an earlier delivery or a
    person's: such an order counts to the leg of its strategy account here.
    """
    listed = list(cancellations)
    legs = {cancellation.pk: cancellation.leg for cancellation in listed}
    by_account = {cancellation.strategy_account_id: cancellation.leg for cancellation in listed}
    ordered = sorted(orders, key=_sort_key)
    return [
        _result_json(
            order,
            legs.get(order.canceled_by_id or 0, by_account.get(order.strategy_account_id, 0)),
            _cancel_outcome(order),
        )
        for order in ordered
    ]


def target_results(
    cancellations: Iterable[Cancellation],
    targets: Iterable[Order],
    *,
    since: datetime,
    is_preview: bool = False,
) -> list[Json]:
    """Returns a result per order that a CANCEL leg names and no cancel touched.

    `since` is the time of receipt of the delivery with the legs. `is_preview`: the legs were not carried out.
    """
    legs = {cancellation.target_id: cancellation.leg for cancellation in cancellations}
    return [
        _result_json(order, legs.get(order.pk, 0), _target_outcome(order, since, is_preview))
        for order in sorted(targets, key=lambda order: order.pk)
    ]


def missing_results(legs: Iterable[Leg]) -> list[Json]:
    """Returns an `order_not_found` result per leg. `legs` are CANCEL legs without a single matching order."""
    return [
        {
            "account_name": None,
            "status": FAILED_RESULT,
            "leg": leg.index,
            "error": reason_text("order_not_found", {"order_id": leg.order_id or leg.tag}),
            "error_code": "order_not_found",
        }
        for leg in legs
    ]


def outcome_of(results: Sequence[Json]) -> str:
    """What became of a delivery: `pending` while anything is, else `all`, `some` or `none` of the results succeeded."""
    found = {_COUNTED_AS[result["status"]] for result in results}
    if PENDING in found:
        return PENDING
    if SUCCESS not in found:
        return "none"
    return "some" if FAILED_RESULT in found else "all"


def summary(trades: Sequence[Json], cancels: Sequence[Json], *, action: str, accounts: int) -> Json:
    counted: Json = {"total_accounts": accounts, "total_orders": len(trades) + len(cancels)}
    if action in ("orders_processed", "dry_run"):
        counted |= _count_results(trades, "trades")
    if action.startswith("cancel") or cancels:
        counted |= _count_results(cancels, "cancels")
    return counted


def _count_results(results: Sequence[Json], noun: str) -> Json:
    names = {SUCCESS: "successful", FAILED_RESULT: "failed", PENDING: "pending"}
    return {
        f"{word}_{noun}": sum(1 for result in results if _COUNTED_AS[result["status"]] == status)
        for status, word in names.items()
    }


def _sort_key(order: Order) -> tuple[str, int]:
    return order.account.name, order.pk or 0


def _order_outcome(order: Order) -> tuple[str, str | None, str | None]:
    """Returns status, error and error code for an order's result."""
    if order.goal is not None and order.pk is not None:
        return _exit_outcome(order, order.goal)
    if order.reason == ALREADY_THERE:
        return SUCCESS, None, None
    if order.status in FAILED or (order.status == OrderStatus.CANCELED and order.submitted_at is None):
        return FAILED_RESULT, order.reason_text, order.reason
    if order.status == OrderStatus.SUBMITTED and order.unknown_since:
        return PENDING, reason_text("outcome_unknown", {}), "outcome_unknown"
    is_preview = order.pk is None
    if order.status in (*_UNSENT, OrderStatus.SUBMITTED) and not is_preview:
        return PENDING, None, None
    return SUCCESS, None, None


def _exit_outcome(order: Order, goal: ExitGoal) -> tuple[str, str | None, str | None]:
    """An exit succeeds when its goal is reached, or when its order rests at the exchange."""
    said = goal.reason or (order.reason if order.status in FAILED else "")
    text = goal.reason_text or order.reason_text
    match goal.state:
        case GoalState.REACHED if "aim" in order.terms:  # to hold nothing is what was asked
            return SUCCESS, None, None
        case GoalState.REACHED | GoalState.RESTING if not goal.reason:
            return SUCCESS, None, None
        case GoalState.WORKING if order.status == OrderStatus.SUBMITTED and order.unknown_since:
            return PENDING, reason_text("outcome_unknown", {}), "outcome_unknown"
        case GoalState.WORKING:
            return PENDING, f"{text} {EXIT_GOES_ON}" if said else None, said or None
        case GoalState.NEEDS_PERSON:
            return FAILED_RESULT, f"{text} {EXIT_NEEDS_PERSON}", said
        case GoalState.SUPERSEDED:
            return FAILED_RESULT, reason_text("exit_superseded", {}), "exit_superseded"
    return FAILED_RESULT, text, said


def _left_to_close(order: Order) -> str | None:
    """What the goal of an exit still has to close, in base units."""
    goal = order.goal
    if goal is None:
        return None
    if (
        goal.state in (GoalState.WORKING, GoalState.RESTING)
        and order.quantity is not None
        and order.status in OPEN
    ):
        rest = (
            goal.remaining if goal.remaining is not None and not goal.rests else order.quantity - order.filled
        )
        return plain(rest)
    return _number_text(goal.remaining)


def gave_way_warnings(entries: Iterable[Order]) -> list[str]:
    """Returns a sentence per symbol for the entries that a full exit canceled first."""
    names: dict[str, list[str]] = {}
    for order in entries:
        names.setdefault(order.symbol, []).append(order.client_order_id)
    return [
        _("The exit of %(symbol)s canceled open entries first: %(orders)s.")
        % {"symbol": symbol, "orders": ", ".join(sorted(orders))}
        for symbol, orders in sorted(names.items())
    ]


def _target_outcome(order: Order, since: datetime, is_preview: bool) -> tuple[str, str | None, str | None]:
    """A CANCEL of an attempt that is over ends the goal of the attempt, where the goal is still pursued."""
    if _is_ended_since(order.goal, since) or (is_preview and _would_cancel(order)):
        return SUCCESS, None, None
    return (PENDING, None, None) if order.status in CANCELABLE else _not_open(order)


def _is_ended_since(goal: ExitGoal | None, since: datetime) -> bool:
    return (
        goal is not None
        and goal.state == GoalState.ENDED
        and goal.over_at is not None
        and goal.over_at >= since
    )


def _would_cancel(order: Order) -> bool:
    """Whether a CANCEL finds something to end: the order, or the goal whose attempt the order is."""
    return order.status in CANCELABLE or (order.goal is not None and not order.goal.is_over)


def _cancel_outcome(order: Order) -> tuple[str, str | None, str | None]:
    if order.status == OrderStatus.CANCELED:
        return SUCCESS, None, None
    if order.status == OrderStatus.PENDING_CANCEL:
        return PENDING, None, None
    return _not_open(order)


def _not_open(order: Order) -> tuple[str, str | None, str | None]:
    params = {"order_id": order.client_order_id, "status": str(OrderStatus(order.status).label)}
    return FAILED_RESULT, reason_text("order_not_open", params), "order_not_open"


def _result_json(order: Order, leg: int, outcome: tuple[str, str | None, str | None]) -> Json:
    status, error, error_code = outcome
    exit_fields = {} if order.goal is None else {"remaining": _left_to_close(order)}
    return {
        "account_name": order.account.name,
        "status": status,
        **exit_fields,
        "order_id": order.exchange_order_id or None,
        "client_order_id": order.client_order_id,
        "leg": leg,
        "symbol": order.symbol,
        "side": order.side or None,
        "order_type": order.order_type,
        "quantity": _number_text(order.quantity),
        "price": _number_text(order.price),
        "stop_price": _number_text(order.stop_price),
        "order_status": str(order.status),
        "filled": plain(order.filled),
        "average": _number_text(order.average),
        "error": error,
        "error_code": error_code,
    }


def _number_text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
