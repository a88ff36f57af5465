"""Rows that are written without Django's preparation hold what Django would write."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from exchanges.enums import OrderType
from orders.models import Batch, Order
from orders.models.bulk_write import insert_all
from strategies.models import Strategy
from tests.factories import StrategyAccountFactory

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def compose(account, **fields):
    return Order.compose(
        account,
        market_type=account.strategy.market_type,
        leg=0,
        sequence=0,
        symbol="BTC/USDT:USDT",
        order_type=OrderType.LIMIT,
        created_at=NOW,
        price=Decimal("90000.5"),
        terms={"tag": "x"},
        **fields,
    )


def test_a_copied_order_is_stored_like_a_composed_one():
    first, second = StrategyAccountFactory(), StrategyAccountFactory()
    model = compose(first, side="buy")
    copied, composed = model.for_account(second, "ETH/USDT:USDT"), compose(second, side="buy")
    composed.symbol = "ETH/USDT:USDT"
    assert copied.strategy_account is second
    assert copied.account is second.account
    copied.strategy_id = composed.strategy_id

    for order in (copied, composed):
        order.batch = Batch.objects.create(strategy=second.strategy, created_at=NOW)
    insert_all([copied, composed], key=["client_order_id"], using="default")

    rows = [Order.objects.filter(pk=order.pk).values().get() for order in (copied, composed)]
    for row in rows:
        assert row.pop("id")
        assert row.pop("client_order_id")
        assert row.pop("batch_id")
    assert rows[0] == rows[1]
    assert copied.client_order_id != composed.client_order_id
    assert model.symbol == "BTC/USDT:USDT"


def test_copies_share_no_terms():
    account = StrategyAccountFactory()
    model = compose(account)
    copied = model.for_account(account, "BTC/USDT:USDT")
    copied.terms["tag"] = "y"
    assert model.terms == {"tag": "x"}


def test_a_field_that_sets_its_value_at_saving_is_refused():
    """Such a field would be written as NULL."""
    with pytest.raises(TypeError, match="created_at"):
        insert_all([Strategy(name="s")], key=[], using="default")
