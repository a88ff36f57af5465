"""What leaves for Binance is what ccxt would send."""

from decimal import Decimal
from itertools import product

import pytest

from exchanges.adapters.protocol import OrderRequest
from exchanges.enums import OrderType, Side
from tests.fuzz.replies import KINDS, NAME, SYMBOLS, Desk

PLAIN = [OrderType.MARKET, OrderType.LIMIT]


@pytest.fixture(scope="module")
def desk():
    desk = Desk()
    yield desk
    desk.loop.close()


@pytest.mark.parametrize(
    ("kind", "order_type", "side", "reduce_only"), list(product(KINDS, PLAIN, Side, [False, True]))
)
def test_a_plain_order_is_the_one_that_ccxt_makes(desk, kind, order_type, side, reduce_only):
    quantity, price = (
        Decimal("0.010000000000000000"),
        Decimal("95000.100000000000000000"),
    )  # as columns keep them
    limit = price if order_type.needs_price else None
    request = OrderRequest(
        NAME, SYMBOLS[kind], side, order_type, quantity, limit, reduce_only=reduce_only and kind == "futures"
    )
    adapter = desk.adapter(kind, desk.templates[kind])

    ours = adapter._order_parameters(request)

    extras = {"reduceOnly": True} if request.reduce_only else {}
    theirs = adapter.client.create_order_request(
        request.symbol,
        order_type.value.lower(),
        side.value,
        "0.01",
        None if limit is None else "95000.1",
        {"clientOrderId": NAME, **extras},
    )
    assert ours == theirs
