"""What a message presumes, and what the strategy says of it: dialect, percents of a balance, market, leverage."""

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from strategies.access import NoAccess, find_strategy, find_token, reachable_accounts
from strategies.models import Strategy, WebhookToken
from webhooks.admission import Admission, Lookups
from webhooks.errors import WebhookError
from webhooks.message.payload import Delivery
from webhooks.message.unreadable import group_of, tokens_of


@dataclass(frozen=True, slots=True)
class Sender:
    strategy: Strategy
    token: WebhookToken


def dialect_of(body: bytes, lookups: Lookups, *, bearer: str | None) -> str:
    """The dialect of a message that names none: of the token, else of the strategy; "" lets the marks decide.

    Token and group name are searched in the text, because nobody can read the text before the dialect is known. The
    token of the header counts where the text has none, as for the check of the token. At most two statements.
    """
    text = body.decode("utf-8", errors="replace")
    tokens, group = tokens_of(text) or {bearer or ""}, group_of(text)
    if group and len(tokens) == 1 and all(tokens):
        lookups.enter(next(iter(tokens)), group)
    return _dialect_of_token(tokens, lookups) or _dialect_of_strategy(group, lookups)


def _dialect_of_token(tokens: Set[str], lookups: Lookups) -> str:
    """Several tokens decide nothing: `check_agreement` refuses what was read in another dialect than the token's."""
    clear = next(iter(tokens)) if len(tokens) == 1 else ""
    token = lookups.token(clear) if clear else None
    return token.dialect if token else ""


def _dialect_of_strategy(group: str, lookups: Lookups) -> str:
    strategy = lookups.strategy(group) if group else None
    return strategy.dialect if strategy else ""


def check_agreement(delivery: Delivery, admission: Admission, *, default: str) -> None:
    """Refuses a message that presumes something else than token and strategy. Raises WebhookError (unsupported_field).

    `default` is the dialect that `dialect_of` found. Exits go on: what a percent of a balance or a leverage would be
    does not matter for them.
    """
    strategy, dialect = admission.strategy, admission.token.dialect
    if dialect not in ("", default, delivery.dialect):  # the token did not stand in the text as it is
        raise WebhookError("ambiguous_dialect", dialects=f"{delivery.dialect}, {dialect}")
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


def sender_of_unread(error: WebhookError, *, address: str, now: datetime) -> Sender | None:
    """The strategy and the token that a text names which cannot be read; None where the token does not open it."""
    token, strategy = find_token(error.token_found, now=now), find_strategy(error.group_found)
    if token is None or strategy is None or token.must_be_signed or not token.scope.opens_for(address):
        return None
    try:
        reachable_accounts(token, strategy)
    except NoAccess:
        return None
    return Sender(strategy, token)
