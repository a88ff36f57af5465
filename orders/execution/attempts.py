"""A further attempt of an entry that a pause of the exchange overtook: a new order row. Exit goals pursue exits."""

from collections.abc import Sequence

from django.db import DEFAULT_DB_ALIAS
from django.db.models import prefetch_related_objects

from exchanges.enums import OrderType
from exchanges.errors import ExchangeError, Throttled
from orders.domain.terms import RELATIVE, still_relative
from orders.models import Batch, Order
from orders.models.bulk_write import insert_all
from orders.transactions import require_transaction

_MAX_ATTEMPTS = 5


def deserves_another(order: Order, error: ExchangeError | None) -> bool:
    """Whether an entry deserves another attempt, because a pause began after its turn and held back the call.

    Nothing left to the exchange, and the entry waits like the orders behind.
    """
    was_held_back = isinstance(error, Throttled) and error.http_status is None
    return was_held_back and order.goal_id is None and order.attempt < _MAX_ATTEMPTS


def store_attempts(orders: Sequence[Order]) -> list[Order]:
    """Stores the next attempt of each order and sends nothing: an attempt takes its turn like any other order.

    The caller holds the transaction that ends the former attempts. A finished batch of these orders becomes unfinished,
    so that the tracker's search for abandoned batches finds the batch. Two statements write up to 500 attempts.
    """
    require_transaction()
    prefetch_related_objects(
        list(orders), "strategy_account__account"
    )  # at once, where the caller has not read these
    attempts = [_next_attempt(order) for order in orders]
    if attempts:
        insert_all(attempts, key=["client_order_id"], using=DEFAULT_DB_ALIAS)
        Batch.objects.reopen({order.batch_id for order in orders})
    return attempts


def _next_attempt(order: Order) -> Order:
    """The next attempt keeps the number that the turn of the former attempt made of a relative price."""
    terms = {name: part for name, part in order.terms.items() if name != RELATIVE}
    terms |= still_relative(order.terms, price=order.price, stop_price=order.stop_price)
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
        part=order.part,
        terms=terms,
        tag=order.tag,
        created_at=order.created_at,  # so the entry expires no later
    )
    attempt.batch_id = order.batch_id
    attempt.account = order.account
    return attempt
