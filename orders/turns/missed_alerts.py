"""Records that one account lacks the position that an alert presumes, although the alerts are in sequence."""

import logging
from collections.abc import Sequence
from datetime import datetime

from orders.domain.positions import Decision, Situation
from orders.domain.terms import Aim, PositionWord
from orders.models import MissedAlert, Order
from strategies.models.strategy import OnGap

logger = logging.getLogger(__name__)


def missed_by_account(
    order: Order, aim: Aim, decision: Decision, situation: Situation, now: datetime
) -> list[MissedAlert]:
    """Returns the unsaved row for an account that lacks what the alert presumes, else nothing.

    A gap between the alerts themselves has its row for the whole strategy. An entry that still works at the exchange
    is no gap, because the position is on its way.
    """
    if not decision.is_gap or "gap" in order.terms:
        return []
    logger.warning(
        "alert missed order=%s symbol=%s before=%s", order.client_order_id, order.symbol, aim.before
    )
    if situation.working:
        return []
    missed = MissedAlert(
        batch_id=order.batch_id,
        leg=order.leg,
        strategy_id=order.strategy_id,
        strategy_account_id=order.strategy_account_id,
        symbol=order.symbol,
        known=_position_word(situation),
        said=aim.before_text,
        on_gap=order.terms.get("on_gap", OnGap.FOLLOW),
        noticed_at=now,
    )
    return [missed]


def store_missed(missed: Sequence[MissedAlert]) -> None:
    """Stores the rows. A leg leaves one row for each account, also where another process decides the leg again."""
    if missed:
        MissedAlert.objects.bulk_create(missed, ignore_conflicts=True)


def _position_word(situation: Situation) -> str:
    """What the account holds, without an amount: the amount is the business of the account's owner."""
    if not situation.held or situation.is_leaving:
        return PositionWord.FLAT.value
    return (PositionWord.LONG if situation.held > 0 else PositionWord.SHORT).value
