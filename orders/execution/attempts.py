"""A further attempt: a new row, made only when the attempt before is proved not to exist.

An entry may wait for the next signal. An exit is still wanted, and nobody else will send the exit again.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS

from exchanges.enums import OrderType
from exchanges.errors import ExchangeError, Throttled
from orders.models import Batch, Order
from orders.models.bulk_insert import insert_all
from orders.transactions import require_transaction

_ATTEMPTS = 5
# Refusals that the next attempt may not meet: by then the clock is set, and the holding is looked up once more.
_PASSING = ("clock_skew", "reduce_only_rejected")


def deserves_another(order: Order, error: ExchangeError | None) -> bool:
    """Whether an order that was refused with this error is worth another attempt."""
    if isinstance(error, Throttled):
        # A pause began between this order's turn and its leaving: the order waits like the orders behind.
        was_held_back = error.http_status is None
        return (order.is_closing or was_held_back) and order.attempt < _ATTEMPTS
    return error is not None and order.is_closing and error.code in _PASSING and order.attempt == 1


def deserves_another_after_absence(order: Order) -> bool:
    return order.is_closing and order.attempt < _ATTEMPTS


def store_attempts(orders: Sequence[Order], *, now: datetime) -> list[Order]:
    """The next attempt of each order, stored and not sent: an attempt takes its turn like any other order.

    The caller holds the transaction that ends the attempts before. Batches that are over are open again, so that a
    search for abandoned batches finds them. Two statements, however many orders.
    """
    require_transaction()
    attempts = [_next_attempt(order, now) for order in orders]
    if attempts:
        insert_all(attempts, key=["client_order_id"], using=DEFAULT_DB_ALIAS)
        Batch.objects.reopen({order.batch_id for order in orders})
    return attempts


def _next_attempt(order: Order, now: datetime) -> Order:
    attempt = Order.compose(
        order.strategy_account,
        market_type=order.market_type,
        leg=order.leg,
        sequence=order.sequence,
        symbol=order.symbol,
        order_type=OrderType(order.order_type),
        side=order.side,
        qty_per=order.qty_per,
        qty=order.qty,
        price=order.price,
        stop_price=order.stop_price,
        attempt=order.attempt + 1,
        created_at=now if order.is_closing else order.created_at,  # an entry grows old all the same
    )
    attempt.batch_id = order.batch_id
    attempt.account = order.account
    return attempt
