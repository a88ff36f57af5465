"""The benchmark's database rows. Import this module after django.setup()."""

import secrets
import time
from collections.abc import Iterable
from decimal import Decimal

from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from exchanges.adapters.protocol import Credentials
from exchanges.enums import MarketType
from exchanges.models import Account
from orders.domain.enums import OrderStatus
from orders.models import Batch, Order
from strategies.models import Strategy, StrategyAccount, SystemRisk, WebhookToken

POLL_S = 0.002


def migrate_database() -> None:
    call_command("migrate", verbosity=0)


def lift_budgets() -> None:
    """Lets a token send as many orders as it can."""
    most = dict.fromkeys(
        ("token_orders_per_minute", "user_orders_per_minute", "all_orders_per_minute"), 2_000_000_000
    )
    SystemRisk.objects.update_or_create(pk=1, defaults=most)


def issue_token(owner: str = "alice") -> str:
    """Creates an owner and returns the owner's token in clear text."""
    return WebhookToken.objects.issue(user=User.objects.create(username=owner))[1]


def make_accounts(names: Iterable[str], *, owner: str = "alice") -> list[Account]:
    """Makes paper accounts. The API key of an account is the account's name."""
    user = User.objects.get(username=owner)
    # Entries need a young comparison, and the benchmark runs no tracker.
    accounts = [
        Account(owner=user, name=name, exchange="paper", compared_at=timezone.now()) for name in names
    ]
    for account in accounts:
        account.set_credentials(Credentials(account.name, secrets.token_hex(32)))
    return Account.objects.bulk_create(accounts)


def make_strategy(group_name: str, accounts: Iterable[Account], *, owner: str = "alice") -> None:
    user = User.objects.get(username=owner)
    strategy = Strategy.objects.create(
        owner=user, name=group_name, group_name=group_name, market_type=MarketType.FUTURES
    )
    StrategyAccount.objects.bulk_create(
        StrategyAccount(strategy=strategy, account=account, capital=Decimal(20_000_000))
        for account in accounts
    )


def latest_batch(group_name: str) -> int:
    batches = Batch.objects.filter(strategy__group_name=group_name)
    return batches.order_by("-pk").values_list("pk", flat=True).first() or 0


def wait_until_accepted(group_name: str, *, after: int, accounts: Iterable[Account], limit_s: float) -> float:
    """Polls until all accounts' orders of a batch later than `after` are accepted. Returns the `perf_counter`."""
    wanted = {account.pk for account in accounts}
    rows = Order.objects.filter(
        strategy__group_name=group_name,
        batch__gt=after,
        account__in=wanted,
        status=OrderStatus.ACCEPTED,
    )
    deadline = time.perf_counter() + limit_s
    while rows.count() < len(wanted):
        if time.perf_counter() > deadline:
            raise SystemExit("The orders were not accepted in time.")
        time.sleep(POLL_S)
    return time.perf_counter()


def wait_until_over(*, limit_s: float) -> None:
    """Returns when every batch is over, or at the limit at last."""
    deadline = time.perf_counter() + limit_s
    while Batch.objects.unfinished().exists() and time.perf_counter() < deadline:
        time.sleep(0.1)
