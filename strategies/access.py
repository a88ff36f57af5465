"""A token's reach in a strategy: the table of owners, subscribers and strangers in SPEC section 5."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from exchanges.database.prepared import Query, Slot, read_together
from strategies import tokens
from strategies.models import Strategy, StrategyAccount, Subscription, WebhookToken


class NoAccess(Exception):
    """The token does not open this strategy."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a token and a group name lead to. `accounts` take part, and belong to the token's user or strategy."""

    token: WebhookToken | None
    strategy: Strategy | None
    accounts: list[StrategyAccount]

    def reachable(self) -> list[StrategyAccount]:
        """As `reachable_accounts`, mostly without a statement, for an entrance with token and strategy."""
        assert self.token is not None
        assert self.strategy is not None
        is_owner = self.token.user_id == self.strategy.owner_id
        is_open = self.token.strategy_id in (None, self.strategy.pk) and (is_owner or self.strategy.is_public)
        if is_open and self.accounts:  # an account of another user takes part only where this user follows
            return self.accounts
        return reachable_accounts(self.token, self.strategy)


def find_entrance(clear: str, group_name: str, *, now: datetime) -> Entrance:
    """Looks up a token by its clear text, and a strategy by its group name. One statement.

    As for `TokenQuerySet.find`, every wrong token costs the same steps. Without a valid token no account is read.
    """
    sought = WebhookToken.sought(clear)
    found, strategies, accounts = read_together(
        _TOKEN,
        _STRATEGY,
        _ACCOUNTS,
        prefix=sought.prefix,
        digest=sought.digest,
        group_name=group_name,
        now=now,
    )
    token = sought.proven(next(iter(found), None))
    accounts.sort(key=lambda row: (row.account.name, row.pk))
    return Entrance(token, next(iter(strategies), None), accounts)


def find_token(clear: str, *, now: datetime) -> WebhookToken | None:
    """Looks up a token by its clear text, as `find_entrance`. What has not the shape of a token costs no statement."""
    if not tokens.is_token(clear, tokens.WEBHOOK_MARK):
        return None
    sought = WebhookToken.sought(clear)
    return sought.proven(_TOKEN.first(prefix=sought.prefix, digest=sought.digest, now=now))


def find_strategy(group_name: str) -> Strategy | None:
    return _STRATEGY.first(group_name=group_name)


def _sought_token() -> QuerySet[WebhookToken]:
    return WebhookToken.objects.valid(now=Slot("now")).filter(prefix=Slot("prefix"), digest=Slot("digest"))


def _accounts_of_token() -> QuerySet[StrategyAccount]:
    reaches = Q(user=OuterRef("strategy__owner")) | Q(user=OuterRef("account__owner"))
    return StrategyAccount.objects.taking_part().filter(
        Exists(_sought_token().filter(reaches)), strategy__group_name=Slot("group_name")
    )


_TOKEN = Query(lambda: _sought_token().order_by())
_STRATEGY = Query(lambda: Strategy.objects.filter(group_name=Slot("group_name")).order_by())
_ACCOUNTS = Query(lambda: _accounts_of_token().order_by())


def reachable_accounts(token: WebhookToken, strategy: Strategy) -> list[StrategyAccount]:
    """Returns the strategy accounts within a valid token's reach, sorted by account name. Raises NoAccess."""
    if token.strategy_id not in (None, strategy.pk):
        raise NoAccess
    strategy_accounts = StrategyAccount.objects.taking_part_in(strategy)
    if token.user_id == strategy.owner_id:
        return list(strategy_accounts)
    if not _follows_strategy(token.user_id, strategy):
        raise NoAccess
    return list(strategy_accounts.owned_by(token.user_id))


def former_accounts(token: WebhookToken, strategy: Strategy, pks: Iterable[int]) -> list[StrategyAccount]:
    """Returns which of the strategy accounts `pks`, which still hold or work something, the token reaches.

    Exits and cancels reach them although they do not take part any more: all of them for the strategy's owner, else the
    user's own.
    """
    if token.strategy_id not in (None, strategy.pk):
        return []
    rows = StrategyAccount.objects.of_former_participants(strategy, pks)
    return list(rows if token.user_id == strategy.owner_id else rows.owned_by(token.user_id))


def opens_something(token: WebhookToken) -> bool:
    """Whether a valid token opens any strategy, active or not."""
    if token.strategy is not None:
        return is_member_of(token, token.strategy)
    owned = Strategy.objects.filter(owner=token.user_id)
    followed = Subscription.objects.active().filter(user=token.user_id, strategy__is_public=True)
    return owned.exists() or followed.exists()


def is_member_of(token: WebhookToken, strategy: Strategy) -> bool:
    """Whether a valid token opens the strategy, active or not: its owner's, or an active subscriber's."""
    if token.strategy_id not in (None, strategy.pk):
        return False
    return token.user_id == strategy.owner_id or _follows_strategy(token.user_id, strategy)


def _follows_strategy(user_id: int, strategy: Strategy) -> bool:
    return (
        strategy.is_public and Subscription.objects.active().filter(strategy=strategy, user=user_id).exists()
    )
