"""Another process moves an order between our reading and our writing; two answers about one order come at once."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from exchanges.database.prepared import read_together
from exchanges.enums import MarketType
from exchanges.gateway import Call, gateway
from exchanges.vault import credentials_of
from orders.domain.enums import Evidence, OrderStatus
from orders.execution import client
from orders.execution.cancel_by_person import cancel_orders
from orders.models import Order, OrderEvent, Position
from orders.models.order import OrderQuerySet
from orders.models.transitions import Transition
from orders.reconciliation.audit import audit_books
from orders.turns import context, reads
from tests.crash import abandon_all, track
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, PERSON, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = {"path": "/fapi/v1/order"}


@pytest.fixture
def solo(paper):
    return open_desk(paper, "A1", group_name="solo")


@pytest.fixture
def overtake(monkeypatch):
    """Once, just before a cancel is written, another process moves the order."""
    cancel = OrderQuerySet.cancel

    def arm(target):
        def cancel_too_late(queryset, orders, **how):
            monkeypatch.setattr(OrderQuerySet, "cancel", cancel)
            row = Order.objects.latest("pk")
            Order.objects.transition([Transition(row, target, timezone.now(), Evidence.QUERY, "another")])
            cancel(queryset, orders, **how)

        monkeypatch.setattr(OrderQuerySet, "cancel", cancel_too_late)

    return arm


def test_an_order_that_fills_in_part_meanwhile_is_canceled_all_the_same(deliver, solo, overtake):
    deliver(solo.alert(BTC_LIMIT))
    overtake(OrderStatus.PARTIALLY_FILLED)

    (result,) = deliver(solo.alert(CANCEL_ALL)).json()["results"]

    assert (result["status"], result["order_status"]) == ("success", "canceled")
    assert [row["status"] for row in solo.ledger_orders("A1")] == ["CANCELED"]


def test_a_person_cancels_an_order_that_fills_in_part_meanwhile(deliver, solo, overtake):
    deliver(solo.alert(BTC_LIMIT))
    overtake(OrderStatus.PARTIALLY_FILLED)

    (order,) = cancel_orders(Order.objects.all(), actor=PERSON, clock=timezone.now)

    assert order.status == OrderStatus.CANCELED


def test_an_order_that_another_cancel_has_just_taken_has_its_result(deliver, solo, overtake):
    deliver(solo.alert(BTC_LIMIT))
    overtake(OrderStatus.PENDING_CANCEL)

    (result,) = deliver(solo.alert(CANCEL_ALL)).json()["results"]

    assert (result["leg"], result["order_status"]) == (0, "canceled")


def test_a_second_cancel_of_an_order_whose_cancel_is_under_way_has_its_result(deliver, paper, solo):
    deliver(solo.alert(BTC_LIMIT))
    for method in ("DELETE", "GET"):
        paper.fault(**ORDER, method=method, action="status", value=503, times=10)
    deliver(solo.alert(CANCEL_ALL))
    paper.clear_faults()

    results = deliver(solo.alert(orders=[CANCEL_ALL, BTC_MARKET])).json()["results"]

    assert {(row["leg"], row["order_status"]) for row in results} == {(0, "canceled"), (1, "filled")}


def test_a_refusal_that_could_not_be_written_down_is_not_told(deliver, paper, solo, monkeypatch):
    deliver(solo.alert(BTC_MARKET))
    paper.fault(**ORDER, method="POST", action="code", value=-1021)

    with monkeypatch.context() as patch:
        patch.setattr(client, "store_attempts", fail)
        (told,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    assert (told["status"], told["order_status"]) == ("pending", "submitted")
    abandon_all()
    for after_s in (12, 24, 36, 90, 91):
        track(after_s=after_s)
    assert solo.held("A1") == "0"


def fail(*args, **how):
    raise DatabaseError("gone")


@pytest.mark.parametrize("liquidity", [None, "0.4"], ids=["filled", "filled in part"])
def test_two_answers_about_one_order_at_once_count_its_fills_once(
    deliver, paper, solo, settings, edge, runs, liquidity
):
    deliver(solo.alert(BTC_LIMIT))
    if liquidity:
        paper.set_liquidity({"BTCUSDT": liquidity})
    paper.set_prices({"BTCUSDT": "89999"})
    both = edge.hold("fetch_order_fills", times=2)
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100

    deliver(solo.alert(BTC_CLOSE))
    both.wait_for(2)
    both.release()
    assert runs[-1].finished.wait(40)

    entry = Order.objects.earliest("pk")
    (trade,) = entry.trades.all()
    assert (entry.filled, entry.average, entry.unknown_since) == (trade.quantity, trade.price, None)
    assert Position.objects.get().quantity == 0
    assert audit_books(now=timezone.now()).problems == []


def test_two_answers_that_an_order_is_over_are_one_change(deliver, paper, solo, settings, edge, runs):
    deliver(solo.alert(BTC_MARKET))
    deliver(solo.alert(BTC_LIMIT))
    resting = Order.objects.latest("pk")
    cancel_at_exchange(resting)
    both = edge.hold("fetch_order", times=2)
    settings.WEBHOOK_ANSWER_BUDGET_MS = 100

    deliver(solo.alert(BTC_CLOSE))
    both.wait_for(2)
    both.release()
    assert runs[-1].finished.wait(40)

    ends = OrderEvent.objects.filter(order=resting, to_status=OrderStatus.CANCELED)
    assert ends.count() == 1
    assert audit_books(now=timezone.now()).problems == []


def cancel_at_exchange(order):
    credentials = credentials_of(order.account)
    gateway.call(Call("paper", MarketType.FUTURES, "cancel_order", (order.key,), credentials))


def test_a_database_from_before_the_first_release_is_refused_with_a_sentence(db):
    recorder = MigrationRecorder(connection)
    recorder.record_applied("orders", "0002_events_are_append_only")

    with pytest.raises(CommandError, match="before release"):
        call_command("migrate", verbosity=0)

    recorder.record_unapplied("orders", "0002_events_are_append_only")


def test_an_exit_reads_the_doubts_and_the_positions_in_one_statement(deliver, paper, solo, monkeypatch):
    """On PostgreSQL fills may be booked between two statements: the exit must find the doubt, or the position."""
    statements = []

    def note_and_read(*queries, **values):
        statements.append(queries)
        return read_together(*queries, **values)

    monkeypatch.setattr(context, "read_together", note_and_read)
    deliver(solo.alert(BTC_MARKET))
    statements.clear()

    (close,) = deliver(solo.alert(BTC_CLOSE)).json()["results"]

    (queries,) = statements
    assert {reads.UNKNOWN_OUTCOMES, reads.OWN_ORDERS, reads.POSITIONS} <= set(queries)
    assert close["order_status"] == "filled"


def test_what_fills_while_a_limit_is_counted_counts(deliver, paper, solo, monkeypatch):
    deliver(solo.alert(BTC_MARKET))
    solo.strategy.strategy_accounts.update(max_symbols=5)
    seen = []

    def fill_and_read(strategy_accounts, found):
        read_open_orders(strategy_accounts, found)
        Position.objects.get_or_create(
            strategy_account_id=strategy_accounts[0], symbol="ETH/USDT:USDT", defaults={"quantity": 7}
        )
        seen.append(found)

    read_open_orders = context._read_open_orders
    monkeypatch.setattr(context, "_read_open_orders", fill_and_read)
    deliver(solo.alert(BTC_CLOSE))

    (exposure,) = seen[-1].exposures.values()
    assert exposure.held["ETH/USDT:USDT"] == 7
    Position.objects.filter(symbol="ETH/USDT:USDT").delete()
