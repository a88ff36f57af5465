"""The audit finds what is wrong, and nothing where nothing is."""

from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from orders.audit import audit
from orders.models import Order, OrderEvent, Position, Trade
from tests.desk import BTC_LIMIT, BTC_MARKET

pytestmark = pytest.mark.django_db(transaction=True)


def test_books_in_order_are_clean(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    deliver(test1.alert(BTC_LIMIT))

    result = audit(now=timezone.now())

    assert (result.checked_orders, result.problems) == (4, [])


BREAKS = {
    "filled": (lambda: Order.objects.filter(filled__gt=0).update(filled=1), "its trades sum up to"),
    "status": (
        lambda: Order.objects.filter(order_type="LIMIT").update(status="canceled"),
        "its events end with",
    ),
    "position": (lambda: Position.objects.update(quantity=Decimal(7)), "position"),
    "lost trade": (lambda: Trade.objects.first().delete(), "its trades sum up to"),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_rule_is_reported(deliver, test1, paper, what):
    deliver(test1.alert(BTC_MARKET))
    deliver(test1.alert(BTC_LIMIT))
    do, expected = BREAKS[what]
    do()

    problems = audit(now=timezone.now()).problems

    assert any(expected in problem for problem in problems)
    wipe(paper)


def wipe(paper):
    """What was broken on purpose must not fail the rules that are checked after every test."""
    for model in (Trade, Position, OrderEvent, Order):
        model.objects.all()._raw_delete("default")
    paper.reset()


def test_an_order_that_only_the_exchange_has_is_reported(deliver, test1):
    deliver(test1.alert(BTC_LIMIT))
    row = Order.objects.get(account__name="A1")
    Order.objects.filter(pk=row.pk).update(client_order_id="renamed")

    problems = audit(now=timezone.now()).problems

    Order.objects.filter(pk=row.pk).update(client_order_id=row.client_order_id)
    assert any("which no row of ours names" in problem for problem in problems)


def test_the_command_prints_the_problems_and_fails(deliver, test1, capsys):
    deliver(test1.alert(BTC_MARKET))
    Position.objects.update(quantity=Decimal(7))

    with pytest.raises(CommandError, match="problems in 2 orders"):
        call_command("audit_books")

    assert "position" in capsys.readouterr().err
    Position.objects.update(quantity=Trade.objects.first().quantity)


def test_the_command_says_that_all_is_well(deliver, test1, capsys):
    deliver(test1.alert(BTC_LIMIT))

    call_command("audit_books", days=1)

    assert "2 orders checked, no problems." in capsys.readouterr().out
