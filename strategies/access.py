"""A token's reach in a strategy: the table of owners, subscribers and strangers in SPEC section 5."""

from collections.abc import Iterable

from strategies.models import Strategy, StrategyAccount, Subscription, WebhookToken


class NoAccess(Exception):
    """The token does not open this strategy."""


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


def _follows_strategy(user_id: int, strategy: Strategy) -> bool:
    return (
        strategy.is_public and Subscription.objects.active().filter(strategy=strategy, user=user_id).exists()
    )
