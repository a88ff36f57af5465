"""What needs the present keys of an account: with the keys of another account nobody would close or cancel it."""

from exchanges.models import Account
from orders.models import ExitGoal, Order, Position


def holds_or_works_something(account: Account) -> bool:
    """Whether the account has a position, an order that waits, works or is in doubt, or an exit that is pursued."""
    orders = Order.objects.filter(account=account)
    return (
        Position.objects.held().filter(strategy_account__account=account).exists()
        or (orders.open() | orders.waiting()).exists()
        or ExitGoal.objects.pursued().filter(strategy_account__account=account).exists()
    )
