"""A person's decisions about exit goals: try again, close at the market's price, end."""

from collections.abc import Callable, Iterable
from datetime import datetime

from django.db import transaction

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from exchanges.enums import OrderType
from orders.domain.enums import GoalState
from orders.execution.cancel_by_person import cancel_orders
from orders.exits.pursuit import store_next_attempts
from orders.models import ExitGoal, Order
from orders.models.exit_goal import PURSUED


def try_again(goals: Iterable[ExitGoal], *, at_market: bool, actor: Actor, now: datetime) -> list[ExitGoal]:
    """Stores the next attempt of each goal that has no attempt under way; the tracker sends the attempts.

    `at_market`: the attempt is a MARKET order, whatever the goal asked for. Returns the goals that get an attempt.
    """
    pks = [goal.pk for goal in goals]
    with transaction.atomic():
        rows = ExitGoal.objects.pursued().without_attempt().select_related("strategy_account__account")
        waiting = list(rows.filter(pk__in=pks).select_for_update(of=("self",), no_key=True).order_by("pk"))
        store_next_attempts(waiting, OrderType.MARKET if at_market else None, now=now)
        ExitGoal.objects.filter(pk__in=[goal.pk for goal in waiting]).update(
            state=GoalState.WORKING, refusals=0, due_at=now
        )
        for goal in waiting:
            after = {"at_market": at_market}
            record(
                Action.GOALS_RETRIED, goal, actor=actor, now=now, before={"state": goal.state}, after=after
            )
    return waiting


def end_goals(goals: Iterable[ExitGoal], *, actor: Actor, clock: Callable[[], datetime]) -> list[ExitGoal]:
    """Ends the goals on a person's word and cancels their attempts. The positions stay. Returns the ended goals."""
    now = clock()
    over = {"state": GoalState.ENDED, "ended_by": actor.name, "over_at": now, "due_at": None}
    with transaction.atomic():
        ended = [
            goal
            for goal in sorted(goals, key=lambda goal: goal.pk)
            if ExitGoal.objects.filter(pk=goal.pk, state__in=PURSUED).update(**over)
        ]
        for goal in ended:
            before, after = {"state": goal.state, "remaining": goal.remaining}, {"state": GoalState.ENDED}
            record(Action.GOALS_ENDED, goal, actor=actor, now=now, before=before, after=after)
    attempts = Order.objects.filter(goal__in=[goal.pk for goal in ended])
    cancel_orders(attempts.open() | attempts.waiting(), actor=actor, clock=clock)
    return ended
