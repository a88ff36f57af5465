"""What the harness asks of the product's own database. Each runs in a child of the zygote; JSON in, JSON out."""

from collections import Counter
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django_q.models import Success

from exchanges.models import Account, ExchangePause
from exchanges.vault import credentials_of
from orders.domain.enums import GoalState, OrderStatus
from orders.domain.lifecycle import IllegalTransition, replay_events
from orders.models import Batch, ExitGoal, Order, Position, Trade
from orders.reconciliation.sharing import live_names
from tests.factories import AccountFactory, StrategyAccountFactory, StrategyFactory, UserFactory, issue_token
from webhooks.models import WebhookLog

Json = dict[str, Any]
UNDECIDED = (OrderStatus.INITIALIZED, OrderStatus.QUEUED, OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL)


def migrate() -> None:
    call_command("migrate", verbosity=0)


def seed(desks: list[Json]) -> list[Json]:
    """Strategies with accounts of their own: `{"name", "accounts", "market_type", "capital", "owner"}` each."""
    owners = {name: UserFactory(username=name) for name in {desk.get("owner", "alice") for desk in desks}}
    tokens = {name: issue_token(owner) for name, owner in owners.items()}
    return [
        _desk(owners[name], tokens[name], **desk) for desk in desks for name in [desk.pop("owner", "alice")]
    ]


def _desk(
    owner: User,
    token: str,
    *,
    name: str,
    accounts: int = 1,
    market_type: str = "FUTURES",
    capital: int = 1_000_000,
) -> Json:
    strategy = StrategyFactory(owner=owner, group_name=name, market_type=market_type)
    rows = [AccountFactory(owner=owner, name=f"{name}-{i}") for i in range(accounts)]
    for row in rows:
        StrategyAccountFactory(strategy=strategy, account=row, capital=capital)
    keys = [[credentials_of(row).api_key, credentials_of(row).secret] for row in rows]
    return {"name": name, "token": token, "keys": keys}


def end_pauses() -> None:
    ExchangePause.objects.all().delete()


def undecided() -> Json:
    """What is not over: batches, orders in flight, and cancels nobody carried out."""
    return {
        "batches": Batch.objects.unfinished().count()
        + ExitGoal.objects.filter(state=GoalState.WORKING).count(),
        "orders": list(
            Order.objects.filter(status__in=UNDECIDED).values_list("client_order_id", "status").order_by("pk")
        ),
    }


def exits() -> list[Json]:
    """The newest full exit of each strategy."""
    goals = ExitGoal.objects.full().order_by("pk").values("strategy__group_name", "state")
    return [{"strategy": goal["strategy__group_name"], "state": goal["state"]} for goal in goals]


def books() -> Json:
    return {
        "accounts": {account.name: credentials_of(account).api_key for account in Account.objects.all()},
        "orders": [
            _order(order)
            for order in Order.objects.select_related("account", "strategy")
            .prefetch_related("events")
            .order_by("pk")
        ],
        "trades": [
            _trade(trade) for trade in Trade.objects.select_related("account", "order").order_by("pk")
        ],
        "positions": [
            {
                "account": credentials_of(row.strategy_account.account).api_key,
                "symbol": _market(row.symbol),
                "quantity": str(row.quantity),
                "fees": str(row.fees),
            }
            for row in Position.objects.select_related("strategy_account__account")
        ],
        "deliveries": list(WebhookLog.objects.values("pk", "public_id", "status", "batch_id", "first_id")),
        "unfinished_batches": Batch.objects.unfinished().count(),
    }


def _order(order: Order) -> Json:
    events = list(order.events.all())
    try:
        replayed = replay_events(
            [(OrderStatus(e.from_status), OrderStatus(e.to_status)) for e in events]
        ).value
    except IllegalTransition as error:
        replayed = f"illegal: {error}"
    return {
        "account": credentials_of(order.account).api_key,
        "strategy": order.strategy.group_name,
        "client_order_id": order.client_order_id,
        "exchange_order_id": order.exchange_order_id,
        "symbol": _market(order.symbol),
        "side": order.side,
        "order_type": order.order_type,
        "status": order.status,
        "reason": order.reason,
        "quantity": str(order.quantity),
        "filled": str(order.filled),
        "average": str(order.average),
        "submitted_at": order.submitted_at.timestamp() if order.submitted_at else None,
        "closed_at": order.closed_at.timestamp() if order.closed_at else None,
        "replayed": replayed,
        "evidence": events[-1].evidence if events else "",
    }


def _trade(trade: Trade) -> Json:
    return {
        "account": credentials_of(trade.account).api_key,
        "client_order_id": trade.order.client_order_id,
        "trade_id": trade.trade_id,
        "symbol": _market(trade.symbol),
        "side": trade.side,
        "quantity": str(trade.quantity),
        "price": str(trade.price),
        "fee": str(trade.fee),
        "fee_currency": trade.fee_currency,
    }


def _market(symbol: str) -> str:
    """As the exchange writes it."""
    return symbol.partition(":")[0].replace("/", "")


def track_once() -> None:
    call_command("track_orders", once=True)


def enqueue_tracking() -> None:
    from django_q.tasks import async_task  # noqa: PLC0415

    async_task("orders.tasks.track_orders")


def queue_size() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_q_ormq")
        return cursor.fetchone()[0]


def task_counts() -> Json:
    """How often each scheduled task was done, by the name of the schedule."""
    return dict(Counter(Success.objects.values_list("group", flat=True)))


def live_trackers() -> int:
    return len(live_names(timezone.now()))


def last_delivery() -> Json:
    return WebhookLog.objects.values("pk", "status", "batch_id").latest("pk")


def rows_after(moment: float) -> int:
    since = timezone.datetime.fromtimestamp(moment, timezone.get_current_timezone())
    return WebhookLog.objects.filter(received_at__gte=since).exclude(batch=None).count()


def unreadable_accounts(keys: list[str]) -> list[str]:
    settings.CREDENTIAL_KEYS = keys
    broken = []
    for account in Account.objects.all():
        try:
            credentials_of(account)
        except Exception:  # noqa: BLE001 - whatever it was, it is not readable
            broken.append(account.name)
    return broken


def seals() -> list[str]:
    return list(Account.objects.order_by("pk").values_list("sealed_credentials", flat=True))


CALLS = {
    call.__name__: call
    for call in (
        migrate,
        seed,
        end_pauses,
        undecided,
        books,
        exits,
        track_once,
        enqueue_tracking,
        queue_size,
        task_counts,
        live_trackers,
        last_delivery,
        rows_after,
        unreadable_accounts,
        seals,
    )
}
