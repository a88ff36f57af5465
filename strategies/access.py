"""A token's reach in a strategy: the table of owners, subscribers and strangers in SPEC section 5."""

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


def _follows_strategy(user_id: int, strategy: Strategy) -> bool:
    return (
        strategy.is_public and Subscription.objects.active().filter(strategy=strategy, user=user_id).exists()
    )
