"""The benchmark's database rows. Import this module after django.setup()."""

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from exchanges.adapters.protocol import Credentials
from exchanges.enums import MarketType
from exchanges.models import Account
from orders.domain.enums import OrderStatus
from orders.models import Batch, Order
from strategies.models import Strategy, StrategyAccount, SystemRisk, WebhookToken

POLL_S = 0.002
_SENT = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED)
# High limits of every kind: each is checked, and no order meets one.
LIMITS = {
    "max_order_notional": 10**12,
    "max_position_notional": 10**15,
    "max_price_distance_percent": 90,
    "max_open_orders": 1_000_000,
    "max_orders_per_minute": 1_000_000,
    "max_symbols": 1_000,
    "max_daily_loss": 10**12,
    "max_drawdown_percent": 99,
    "max_errors_in_a_row": 50,
}


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The orders of a strategy. What the exchange refused, or never got, is not sent."""

    sent: int
    unknown: int
    not_sent: int


def migrate_database() -> None:
    call_command("migrate", verbosity=0)


def lift_budgets() -> None:
    """Lets a token send as many orders as it can."""
    most = dict.fromkeys(
        ("token_orders_per_minute", "user_orders_per_minute", "all_orders_per_minute"), 2_000_000_000
    )
    SystemRisk.objects.update_or_create(pk=1, defaults=most)


def set_limits() -> None:
    SystemRisk.objects.update_or_create(pk=1, defaults=LIMITS)


def note_comparisons() -> None:
    """Makes all comparisons young. Entries need one of the last ten minutes, and the benchmark may run no tracker."""
    Account.objects.update(compared_at=timezone.now())


def database_version() -> str:
    with connection.cursor() as cursor:
        name = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[connection.vendor]
        cursor.execute(
            "SHOW server_version" if connection.vendor == "postgresql" else "SELECT sqlite_version()"
        )
        return f"{name} {cursor.fetchone()[0]}"


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


def outcomes(group_name: str) -> Outcomes:
    orders = Order.objects.filter(strategy__group_name=group_name)
    unknown = orders.filter(unknown_since__isnull=False).count()
    sent = orders.filter(unknown_since__isnull=True, status__in=_SENT).count()
    return Outcomes(sent, unknown, orders.count() - sent - unknown)


def wait_until_over(*, limit_s: float) -> None:
    """Returns when every batch is over, or at the limit at last."""
    deadline = time.perf_counter() + limit_s
    while Batch.objects.unfinished().exists() and time.perf_counter() < deadline:
        time.sleep(0.1)
