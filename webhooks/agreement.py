"""What a message presumes, and what the strategy says of it: dialect, percents of a balance, market, leverage."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from strategies.access import NoAccess, reachable_accounts
from strategies.models import Strategy, WebhookToken
from webhooks.admission import Admission
from webhooks.errors import WebhookError
from webhooks.message.payload import Delivery
from webhooks.message.unreadable import group_of


@dataclass(frozen=True, slots=True)
class Sender:
    strategy: Strategy
    token: WebhookToken


def dialect_of(body: bytes) -> str:
    """The dialect that the strategy's owner has set for the group name in the body; "" lets the message's marks decide.

    One statement, where the body names a group at all.
    """
    group = group_of(body.decode("utf-8", errors="replace"))
    if not group:
        return ""
    return Strategy.objects.filter(group_name=group).values_list("dialect", flat=True).first() or ""


def check_agreement(delivery: Delivery, admission: Admission) -> None:
    """Refuses a message that presumes something else than the strategy. Raises WebhookError (unsupported_field).

    Exits go on: what a percent of a balance or a leverage would be does not matter for them.
    """
    strategy = admission.strategy
    if delivery.market_type and delivery.market_type != strategy.market_type:
        raise WebhookError(
            "unsupported_field",
            field="market_type",
            reason=_("the message is for %s") % delivery.market_type,
        )
    if delivery.is_exit_or_cancel:
        return
    if delivery.percent_of_balance and not strategy.percent_of_capital:
        raise WebhookError(
            "unsupported_field",
            field="percent",
            reason=_(
                "a percent of a balance is not known here; the strategy's owner may let it mean a percent of capital"
            ),
        )
    leverages = {strategy_account.leverage for strategy_account in admission.strategy_accounts}
    if delivery.leverage is not None and leverages - {delivery.leverage}:
        raise WebhookError(
            "unsupported_field",
            field="leverage",
            reason=_("the leverage of an account is set in the strategy account, and differs"),
        )


def sender_of_unread(error: WebhookError, *, now: datetime) -> Sender | None:
    """The strategy and the token that a text names which cannot be read; None where the token does not open it."""
    token = WebhookToken.objects.find(error.token_found, now=now) if error.token_found else None
    strategy = Strategy.objects.filter(group_name=error.group_found).first()
    if token is None or strategy is None or token.must_be_signed:
        return None
    try:
        reachable_accounts(token, strategy)
    except NoAccess:
        return None
    return Sender(strategy, token)
