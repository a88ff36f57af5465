"""Money keeps every digit on its way through the database, whichever it is."""

from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orders.models import Order, Position
from strategies.models import StrategyAccount
from tests.desk import BTC_LIMIT, open_desk
from tests.factories import StrategyAccountFactory

DIGITS = [
    "0.000000000000000001",
    "123456789012345678.123456789012345678",
    "99999999999999999999.999999999999999999",
    "0.1",
    "1000000",
    "0",
]


@pytest.mark.django_db
@pytest.mark.parametrize("digits", DIGITS)
def test_a_number_comes_back_as_it_went_in(digits):
    strategy_account = StrategyAccountFactory(capital=Decimal(digits))

    assert StrategyAccount.objects.get(pk=strategy_account.pk).capital == Decimal(digits)


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.decimals(min_value="-1e19", max_value="1e19", places=18, allow_nan=False, allow_infinity=False))
def test_every_number_of_eighteen_places_comes_back(position, number):
    Position.objects.filter(pk=position.pk).update(cost=number)

    assert Position.objects.get(pk=position.pk).cost == number


@pytest.fixture
def position(db):
    return Position.objects.create(strategy_account=StrategyAccountFactory(), symbol="BTC/USDT")


@pytest.mark.django_db
@pytest.mark.parametrize("digits", [digits for digits in DIGITS if digits != "0"])
def test_a_position_is_held_unless_it_is_exactly_zero(position, digits):
    Position.objects.update(quantity=Decimal(digits))
    held = Position.objects.held().count()
    Position.objects.update(quantity=Decimal("0.0"))

    assert (held, Position.objects.held().count()) == (1, 0)


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_more_filled_than_ordered(deliver, paper):
    desk = open_desk(paper, "A1")
    deliver(desk.alert(BTC_LIMIT))
    for filled in ("11.1110001", "1000", "-1"):
        with pytest.raises(IntegrityError), transaction.atomic():
            Order.objects.update(filled=Decimal(filled))

    assert Order.objects.get().filled == 0


@pytest.mark.django_db(transaction=True)
def test_capital_of_many_digits_sizes_exactly(deliver, paper):
    desk = open_desk(paper, "A1", capital=Decimal("12345678.901234567890123456"))

    (row,) = deliver(desk.alert(BTC_LIMIT, qty_per="99.999999999999999999", price="90000")).json()["results"]

    assert row["quantity"] == "137.174"
