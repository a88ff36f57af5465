"""Admission of a delivery: checks the strategy, the token, and the strategy accounts within the token's reach."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext

from exchanges.vault import CredentialsUnreadable
from orders.exits.reach import Holdings, held_or_worked
from strategies.access import (
    Entrance,
    NoAccess,
    find_entrance,
    find_strategy,
    find_token,
    former_accounts,
    is_member_of,
    opens_something,
    reachable_accounts,
)
from strategies.models import Strategy, StrategyAccount, WebhookToken
from webhooks import throttle
from webhooks.errors import WebhookError
from webhooks.message.payload import Delivery
from webhooks.senders import neighborhood_of
from webhooks.signatures import BadSignature, Signed, verify_signature

logger = logging.getLogger(__name__)


class Lookups:
    """Finds tokens and strategies for one delivery, each once: a text is looked through before it is read."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._tokens: dict[str, WebhookToken | None] = {}
        self._strategies: dict[str, Strategy | None] = {}
        self._entrance: Entrance | None = None

    def enter(self, clear: str, group_name: str) -> None:
        """Looks up both, and the accounts behind them, in one statement."""
        self._entrance = entrance = find_entrance(clear, group_name, now=self._now)
        self._tokens[clear] = entrance.token
        self._strategies[group_name] = entrance.strategy

    def reachable(self, token: WebhookToken, strategy: Strategy) -> list[StrategyAccount]:
        """The strategy accounts within the token's reach. Raises NoAccess."""
        entrance = self._entrance
        if entrance is not None and (entrance.token, entrance.strategy) == (token, strategy):
            return entrance.reachable()
        return reachable_accounts(token, strategy)

    def token(self, clear: str) -> WebhookToken | None:
        if clear not in self._tokens:
            self._tokens[clear] = find_token(clear, now=self._now)
        return self._tokens[clear]

    def strategy(self, group_name: str) -> Strategy | None:
        if group_name not in self._strategies:
            self._strategies[group_name] = find_strategy(group_name)
        return self._strategies[group_name]


@dataclass(frozen=True, slots=True)
class Admission:
    strategy: Strategy
    token: WebhookToken
    strategy_accounts: list[StrategyAccount]  # that take part now
    former_accounts: list[StrategyAccount]  # that only exits and cancels reach
    holdings: Holdings  # what the former accounts hold or work
    signed_id: str = ""  # the sender's name for this message, where a valid signature proves the name

    def of_own_accounts(self) -> "Admission":
        """The same, within the accounts of the token's user: what a dry run may tell about."""
        own = self.token.user_id
        return replace(
            self,
            strategy_accounts=[row for row in self.strategy_accounts if row.account.owner_id == own],
            former_accounts=[row for row in self.former_accounts if row.account.owner_id == own],
        )


def admit_delivery(delivery: Delivery, signed: Signed, lookups: Lookups, *, address: str) -> Admission:
    """Returns the admission. Raises WebhookError: throttled, invalid_token, strategy_not_found or no_accounts.

    The token is looked up first and for every delivery. Who has none hears the same for an unknown strategy as for a
    known strategy, after the same steps. Every wrong token counts against the sender's address. Above the limit a
    delivery with a wrong token is refused as `throttled` and leaves no row, also when many such deliveries arrive at
    once. A right token passes even then: many senders use TradingView's addresses, and a stranger's wrong tokens must
    not cost an alert. Every delivery with a right token counts against the token's own limit, also for an unknown
    strategy.
    """
    token = lookups.token(delivery.token)
    signed_id = ""
    if token is not None and token.must_be_signed:
        token, signed_id = _signed_by(token, signed)
    if token is not None:
        throttle.spend_attempt("token", str(token.pk), settings.WEBHOOK_TOKEN_RATE_PER_MINUTE)
        if not token.scope.opens_for(address):
            raise out_of_scope(address)
    strategy = lookups.strategy(delivery.group_name)
    if token is None:
        _count_failure(address)
        raise WebhookError("invalid_token")
    if strategy is None or not (strategy.is_active or delivery.only_leaves):
        raise _not_found(delivery, token, strategy, address)
    return _admission(delivery, token, strategy, lookups, address, signed_id)


def _not_found(
    delivery: Delivery, token: WebhookToken, strategy: Strategy | None, address: str
) -> WebhookError:
    """Only a token that opens something is told that nothing active has this name; all others hear the same 401."""
    is_told = opens_something(token) if strategy is None else is_member_of(token, strategy)
    if is_told:
        return WebhookError("strategy_not_found", group_name=delivery.group_name)
    _count_failure(address)
    return WebhookError("invalid_token")


def out_of_scope(address: str, *, leg: int | None = None) -> WebhookError:
    """The refusal of a right token outside its scope, which counts as a wrong token. Raises WebhookError (throttled).

    `leg` is the place of the leg that is out of scope; without `leg` the sender's address is. Only staff read why.
    """
    _count_failure(address)
    error = WebhookError("invalid_token")
    error.note = (
        gettext("The token does not open for the address %(address)s.") % {"address": address or "?"}
        if leg is None
        else gettext("orders[%(leg)s] is outside the token's scope.") % {"leg": leg}
    )
    return error


def _signed_by(token: WebhookToken, signed: Signed) -> tuple[WebhookToken | None, str]:
    """Returns the token and the message's name; without a valid signature None and "", as the token opens nothing."""
    try:
        return token, verify_signature(signed, token.signing_secret)
    except BadSignature:
        return None, ""
    except CredentialsUnreadable:
        logger.error("signing secret unreadable token=%s", token.pk)  # noqa: TRY400 - the trace adds nothing
        return None, ""


def _count_failure(address: str) -> None:
    """Counts a failure against the sender's address. Raises WebhookError (throttled) above the limit."""
    throttle.spend_attempt("failed-auth", neighborhood_of(address), settings.WEBHOOK_FAILED_AUTH_PER_MINUTE)


def _admission(
    delivery: Delivery,
    token: WebhookToken,
    strategy: Strategy,
    lookups: Lookups,
    address: str,
    signed_id: str,
) -> Admission:
    """The accounts that the delivery reaches: whoever takes part, and for exits and cancels whoever holds something."""
    is_member, taking_part = True, []
    try:
        taking_part = lookups.reachable(token, strategy)
    except NoAccess:
        is_member = False
    if not strategy.is_active:
        taking_part = []
    former, holdings = [], {}
    if delivery.leaves:
        known = {strategy_account.pk for strategy_account in taking_part}
        holdings = {pk: symbols for pk, symbols in held_or_worked(strategy.pk).items() if pk not in known}
        former = former_accounts(token, strategy, holdings) if holdings else []
    own_former = [row for row in former if row.account.owner_id == token.user_id]
    if not (taking_part or own_former or (delivery.leaves and _has_accounts_of_others(strategy, token))):
        raise _refusal(token, strategy, address, is_member=is_member)
    return Admission(strategy, token, taking_part, former, holdings, signed_id)


def _has_accounts_of_others(strategy: Strategy, token: WebhookToken) -> bool:
    """Whether an owner's exit may reach accounts of others that left. Whether these hold something is not told."""
    if token.user_id != strategy.owner_id or token.strategy_id not in (None, strategy.pk):
        return False
    rows = StrategyAccount.objects.filter(strategy=strategy)
    return rows.exclude(account__owner=token.user_id).exists()


def _refusal(token: WebhookToken, strategy: Strategy, address: str, *, is_member: bool) -> WebhookError:
    if not is_member:
        _count_failure(address)
        return WebhookError("invalid_token")
    if not strategy.is_active:
        return WebhookError("strategy_not_found", group_name=strategy.group_name)
    return WebhookError("no_accounts", group_name=strategy.group_name)
