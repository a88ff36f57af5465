"""Says of entries which protective exits they asked for, and where each of these exits is now."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from exchanges.amounts import plain
from exchanges.enums import MarketType
from exchanges.gateway import gateway
from orders.domain.enums import ProtectionState
from orders.domain.lifecycle import FINAL
from orders.domain.protection import STOP, wants_stop
from orders.domain.terms import Protection as Wanted
from orders.models import ExitGoal, Order, Protection
from orders.protection.registration import PROTECTION, asks_for_protection

PENDING, WATCHED = "pending", "watched"  # of an exit that has no exit goal yet
Json = dict[str, Any]
_Goals = Mapping[tuple[int, int], ExitGoal]  # the newest goal by protection and step


def protections_of(orders: Iterable[Order]) -> dict[int, Json]:
    """Returns what is known now of the protection of each entry that asked for one, by primary key.

    An entry that bought nothing and is over is left out. Two statements, and none where no entry asked.
    """
    asking = [order for order in orders if order.pk is not None and _has_protection(order)]
    if not asking:
        return {}
    rows = {row.entry_id: row for row in Protection.objects.filter(entry__in=[order.pk for order in asking])}
    listed = ExitGoal.objects.filter(protection__in=list(rows.values()), step__isnull=False).order_by("pk")
    goals = {(goal.protection_id, goal.step): goal for goal in listed}
    return {order.pk: _protection_json(order, rows.get(order.pk), goals) for order in asking}  # type: ignore[arg-type]


def _has_protection(order: Order) -> bool:
    is_void = order.status in FINAL and not order.filled
    return asks_for_protection(order) and not is_void


def _protection_json(order: Order, row: Protection | None, goals: _Goals) -> Json:
    asked = order.terms[PROTECTION]
    wanted = Wanted.from_json(asked)
    pk = row.pk if row is not None else 0
    without_goal = _state_without_goal(row)
    is_watched = without_goal == PENDING and row is not None and _watches_take_profits(order, row, wanted)
    stop = {name: distance for name, distance in asked.items() if name != "take_profits"}
    return {
        "state": str(row.state) if row is not None else str(ProtectionState.WAITING),
        "stop": _exit_json(stop, goals.get((pk, STOP)), without_goal) if stop else None,
        "take_profits": [
            _exit_json(step, goals.get((pk, number)), WATCHED if is_watched else without_goal)
            for number, step in enumerate(asked["take_profits"], start=1)
        ],
    }


def _state_without_goal(row: Protection | None) -> str:
    return str(row.state) if row is not None and row.state == ProtectionState.OVER else PENDING


def _watches_take_profits(order: Order, row: Protection, wanted: Wanted) -> bool:
    """Whether take profits wait here for their price, because the exchange cannot hold them beside the stop."""
    abilities = gateway.capabilities(order.account.exchange, MarketType(order.market_type))
    return row.state == ProtectionState.ACTIVE and wants_stop(wanted) and not abilities.has_reduce_only


def _exit_json(asked: Json, goal: ExitGoal | None, without_goal: str) -> Json:
    known = {"state": without_goal, "price": None, "quantity": None, "error": None, "error_code": None}
    if goal is not None:
        known = {
            "state": str(goal.state),
            "price": _number_text(goal.stop_price or goal.price),
            "quantity": _number_text(goal.wanted),
            "error": goal.reason_text or None,
            "error_code": goal.reason or None,
        }
    return {"asked": asked, **known}


def _number_text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
