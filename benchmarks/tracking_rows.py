"""The rows and orders of benchmarks/tracking.py. Import this module after django.setup()."""

import time
from datetime import UTC, datetime
from decimal import Decimal

from django.core.management import call_command
from django.db.models import Min
from django.utils import timezone
from fanout import rows

from exchanges import vault
from exchanges.adapters.protocol import OrderRequest
from exchanges.enums import MarketType, OrderType, Side
from exchanges.gateway import Call, gateway
from exchanges.market_data import catalog
from exchanges.paper.remote import PaperControl
from orders.domain.enums import OrderStatus
from orders.models import Batch, Order
from strategies.models import StrategyAccount

# Each rests far below the market: symbol, highest price, quantity.
SYMBOLS = [
    ("BTC/USDT:USDT", 90_000, "0.01"),
    ("ETH/USDT:USDT", 3_000, "0.1"),
    ("SOL/USDT:USDT", 100, "1"),
    ("XRP/USDT:USDT", 1, "100"),
]
AT_ONCE = 200
FIRST_TO_FILL = 94_000


def place_orders(paper: PaperControl, *, accounts: int, orders: int, symbols: int, fills: int) -> int:
    """Places orders that rest, one more in each of the first `fills` accounts. Returns the number of open orders."""
    call_command("migrate", verbosity=0)
    rows.issue_token()
    made = rows.make_accounts(f"account-{number:03}" for number in range(accounts))
    rows.make_strategy("tracked", made)
    for account in made:
        keys = vault.credentials_of(account)
        paper.open_account(keys.api_key, keys.secret)
    catalog.open_catalog("paper", MarketType.FUTURES, now=timezone.now())
    parts = list(StrategyAccount.objects.select_related("account", "strategy").order_by("pk"))
    batch = Batch.objects.create(
        strategy=parts[0].strategy, created_at=timezone.now(), finished_at=timezone.now()
    )
    wanted = [
        _order(part, batch, number, *SYMBOLS[number % symbols]) for part in parts for number in range(orders)
    ]
    wanted += [_order(part, batch, orders, "BTC/USDT:USDT", FIRST_TO_FILL, "0.01") for part in parts[:fills]]
    for start in range(0, len(wanted), AT_ONCE):
        _place(wanted[start : start + AT_ONCE])
    Order.objects.bulk_create(wanted, batch_size=1000)
    return len(wanted)


def _order(
    part: StrategyAccount, batch: Batch, number: int, symbol: str, highest: int, quantity: str
) -> Order:
    order = Order.compose(
        part,
        market_type=MarketType.FUTURES,
        leg=number,
        sequence=number,
        symbol=symbol,
        order_type=OrderType.LIMIT,
        side=Side.BUY,
        price=Decimal(highest) * (1000 - number) / 1000,
        created_at=timezone.now(),
    )
    order.batch, order.quantity = batch, Decimal(quantity)
    order.submitted_at = order.released_at = timezone.now()
    order.status = OrderStatus.ACCEPTED
    return order


def _place(orders: list[Order]) -> None:
    calls = [
        Call(
            "paper",
            MarketType.FUTURES,
            "place_order",
            (
                OrderRequest(
                    order.client_order_id,
                    order.symbol,
                    Side(order.side),
                    OrderType.LIMIT,
                    order.quantity or Decimal(0),
                    order.price,
                ),
            ),
            vault.credentials_of(order.account),
        )
        for order in orders
    ]
    for order, outcome in zip(orders, gateway.call_all(calls), strict=True):
        order.exchange_order_id = outcome.unwrap().order_id


def wait_for_first_round(*, limit_s: float) -> float | None:
    """Returns the seconds until an answer came about every open order."""
    began = time.monotonic()
    while Order.objects.open().filter(answered_at__isnull=True).exists():
        if time.monotonic() - began > limit_s:
            return None
        time.sleep(0.5)
    return time.monotonic() - began


def oldest_answer_s() -> float:
    """The age of the oldest last answer about an open order; of an order without an answer, since its sending."""
    open_orders = Order.objects.open()
    oldest: datetime = open_orders.aggregate(at=Min("answered_at"))["at"] or datetime.now(UTC)
    never: datetime | None = open_orders.filter(answered_at=None).aggregate(at=Min("submitted_at"))["at"]
    return (datetime.now(UTC) - min(oldest, never or oldest)).total_seconds()


def time_fills(paper: PaperControl, *, limit_s: float = 180) -> float:
    """Fills the highest orders, and returns the seconds until all are booked."""
    highest = Order.objects.filter(price__gt=SYMBOLS[0][1], symbol=SYMBOLS[0][0])
    paper.set_prices({"BTCUSDT": str(SYMBOLS[0][1] + 1000)})
    began = time.monotonic()
    while highest.exclude(status=OrderStatus.FILLED).exists() and time.monotonic() - began < limit_s:
        time.sleep(0.1)
    return time.monotonic() - began
