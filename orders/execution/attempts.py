"""A further attempt is a new order row, stored only when the attempt before is proved not to exist at the exchange.

An entry may wait for the next signal. An exit is still wanted, and nobody else will send the exit again.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS
from django.db.models import prefetch_related_objects

from exchanges.enums import OrderType
from exchanges.errors import ExchangeError, Throttled
from orders.models import Batch, Order
from orders.models.bulk_insert import insert_all
from orders.transactions import require_transaction

_MAX_ATTEMPTS = 5
# The next attempt may avoid these refusals: by then the gateway has set the clock, and sizing reads the position anew.
_PASSING_CODES = ("clock_skew", "reduce_only_rejected")


def deserves_another(order: Order, error: ExchangeError | None) -> bool:
    """Whether an order deserves another attempt after the exchange, or a pause, refused the order with this error."""
    if isinstance(error, Throttled):
        # A pause began after the order's turn and held back the call: the order waits like the orders behind.
        was_held_back = error.http_status is None
        return (order.is_closing or was_held_back) and order.attempt < _MAX_ATTEMPTS
    return error is not None and order.is_closing and error.code in _PASSING_CODES and order.attempt == 1


def deserves_another_after_absence(order: Order) -> bool:
    """Whether an order deserves another attempt after the proof that the order never reached the exchange."""
    return order.is_closing and order.attempt < _MAX_ATTEMPTS


def store_attempts(orders: Sequence[Order], *, now: datetime) -> list[Order]:
    """Stores the next attempt of each order and sends nothing: an attempt takes its turn like any other order.

    The caller holds the transaction that ends the former attempts. A finished batch of these orders becomes unfinished,
    so that the tracker's search for abandoned batches finds the batch. Two statements write up to 500 attempts.
    """
    require_transaction()
    prefetch_related_objects(
        list(orders), "strategy_account__account"
    )  # at once, where the caller has not read these
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
        # An entry keeps the first attempt's time, and so expires no later.
        created_at=now if order.is_closing else order.created_at,
    )
    attempt.batch_id = order.batch_id
    attempt.account = order.account
    return attempt
