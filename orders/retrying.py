"""A further attempt: a new row, made only when the one before is proved not to exist.

An entry may wait for the next signal. An exit is still wanted, and nobody else will send it.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from exchanges.errors import ExchangeError, Throttled
from orders.ids import new_client_order_id
from orders.models import Batch, Order

_ATTEMPTS = 5
# Refusals that the next attempt may not meet: the clock is set by then, and what is held is looked up once more.
_PASSING = ("clock_skew", "reduce_only_rejected")
_KEPT = [
    "batch_id", "leg", "sequence", "strategy_id", "strategy_account_id", "account_id", "market_type", "symbol",
    "order_type", "qty_per", "qty", "price", "stop_price",
]  # fmt: skip


def deserves_another(order: Order, error: ExchangeError | None) -> bool:
    """Whether an order that was refused with this error is worth another attempt."""
    if isinstance(error, Throttled):
        # What was held back here, by a pause that began between its turn and its leaving, waits like those behind it.
        was_held_back = error.http_status is None
        return (order.is_closing or was_held_back) and order.attempt < _ATTEMPTS
    return error is not None and order.is_closing and error.code in _PASSING and order.attempt == 1


def deserves_another_after_absence(order: Order) -> bool:
    return order.is_closing and order.attempt < _ATTEMPTS


def store_attempts(orders: Sequence[Order], *, now: datetime) -> list[Order]:
    """The next attempt of each, stored and not sent: it takes its turn like any other.

    Call it in the transaction that ends the attempts before. Batches that are over are open again, so that whoever
    looks for abandoned ones finds them.
    """
    assert transaction.get_connection().in_atomic_block
    attempts = [_next_attempt(order, now) for order in orders]
    for attempt in attempts:
        attempt.save(force_insert=True)
    if attempts:
        Batch.objects.reopen({order.batch_id for order in orders})
    return attempts


def _next_attempt(order: Order, now: datetime) -> Order:
    again = Order(
        **{name: getattr(order, name) for name in _KEPT},
        side=order.side,
        attempt=order.attempt + 1,
        client_order_id=new_client_order_id(),
        created_at=now if order.is_closing else order.created_at,  # an entry grows old all the same
    )
    again.account, again.strategy_account = order.account, order.strategy_account
    return again
