"""A second attempt for exits: a new row, made only when the answer proves that the first does not exist."""

from datetime import datetime

from exchanges.errors import ExchangeError, Throttled
from orders.ids import new_client_order_id
from orders.models import Order

_ATTEMPTS = 5
_KEPT = [
    "batch_id", "leg", "sequence", "strategy_id", "strategy_account_id", "account_id", "market_type", "symbol",
    "order_type", "qty_per", "qty", "price", "stop_price",
]  # fmt: skip


def deserves_another(order: Order, error: ExchangeError | None) -> bool:
    """An entry may wait for the next signal; an exit that was only told to come later is still wanted."""
    return order.is_closing and isinstance(error, Throttled) and order.attempt < _ATTEMPTS


def next_attempt(order: Order, *, now: datetime) -> Order:
    """Stored, and not sent: it takes its turn like any other, once the exchange's pause is over."""
    again = Order(
        **{name: getattr(order, name) for name in _KEPT},
        side=order.side,
        attempt=order.attempt + 1,
        client_order_id=new_client_order_id(),
        created_at=now,
    )
    again.account, again.strategy_account = order.account, order.strategy_account
    again.save(force_insert=True)
    return again
