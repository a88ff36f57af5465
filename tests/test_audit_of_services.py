"""Entries that the service leaves on its own, or at the command line, and entries written side by side."""

import threading
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from audit.actions import Action
from audit.models import AuditEntry
from audit.trail import verify_trail
from exchanges.enums import TradingState
from exchanges.models import Account
from orders.controls.circuit_breaker import trip_circuit_breakers
from orders.controls.trading_state import set_trading_state
from orders.models import Order, Position, Trade
from orders.reconciliation.comparison import compare_accounts
from strategies.models import Strategy, StrategyAccount
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, PERSON
from tests.forms import change_page, submitted
from tests.restore import restore_from_before

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_circuit_breaker_tells_what_it_stopped(deliver, test1):
    StrategyAccount.objects.update(max_daily_loss=Decimal(1000))
    deliver(test1.alert(BTC_MARKET))
    test1.paper.set_prices({"BTCUSDT": "94000"})
    deliver(test1.alert(BTC_CLOSE))

    trip_circuit_breakers(now=Trade.objects.latest("executed_at").executed_at)

    entry = AuditEntry.objects.filter(action=Action.STATE_CHANGED).latest("number")
    assert (entry.actor, entry.right) == ("circuit breaker", "service")
    assert (entry.before["trading_state"], entry.after["trading_state"]) == ("active", "reduce_only")
    assert "daily_loss" in entry.after["state_reason"]


def test_an_alert_leaves_no_entry(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    deliver(test1.alert(BTC_CLOSE))

    assert not AuditEntry.objects.exists()


def test_what_the_service_books_by_itself_is_told(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    test1.paper.hand(test1.key("A1"), "futures", "BTCUSDT", "SELL", "1")
    compare_accounts(clock=lambda: timezone.now() + timedelta(minutes=1))

    entry = AuditEntry.objects.get(action=Action.ADJUSTED)
    assert (entry.actor, entry.right, entry.target) == ("rule", "service", "A1")
    assert [booked["quantity"] for booked in entry.after["booked"]] == ["-1"]


def test_adopted_orders_are_told_with_who_adopted_them(deliver, test1):
    deliver(test1.alert(BTC_LIMIT))
    names = set(Order.objects.values_list("client_order_id", flat=True))
    restore_from_before()

    call_command("adopt", do=True)

    entries = AuditEntry.objects.filter(action=Action.ADOPTED)
    assert {entry.actor for entry in entries} == {"command:adopt"}
    assert names <= {
        Order.objects.get(pk=entry.target_id).client_order_id for entry in entries if entry.target_id
    }


def test_new_encryption_and_exports_are_told(test1, tmp_path):
    call_command("rotate_credentials")
    call_command("export_audit", to=tmp_path / "trail")

    acts = list(AuditEntry.objects.order_by("number").values_list("action", "actor", "right"))
    assert (Action.CREDENTIALS_ROTATED, "command:rotate_credentials", "command line") in acts
    assert acts[-1] == (Action.EXPORTED, "command:export_audit", "command line")


ACTS = 6


def halt_again_and_again(level):
    for turn in range(ACTS):
        state = TradingState.HALTED if turn % 2 else TradingState.ACTIVE
        set_trading_state(level, state, reason="drill", actor=PERSON, now=timezone.now())


def editing(client, strategy):
    """Saves the strategy's page again and again, with an inline row."""
    page, sent = change_page(strategy), submitted(client, strategy)
    (capital,) = [name for name in sent if name.endswith("0-capital")]

    def edit():
        for turn in range(ACTS):
            changed = {"name": f"drill {turn}", capital: f"{turn + 1}000000"}
            assert client.post(page, sent | changed).status_code == 302

    return edit


def beside(act, failures):
    def run():
        try:
            act()
        except Exception as error:  # noqa: BLE001 - the test tells of it
            failures.append(error)
        finally:
            connection.close()

    return threading.Thread(target=run)


def test_acts_side_by_side_with_trading_make_one_whole_chain(admin_client, deliver, test1):
    """A halt waits for the chain while the halt holds the state lock: whoever has the chain must want nothing more."""
    levels = [test1.strategy, *StrategyAccount.objects.all(), *Account.objects.all()]
    acts = [
        editing(admin_client, test1.strategy),
        *(partial(halt_again_and_again, level) for level in levels),
    ]
    failures = []

    threads = [beside(act, failures) for act in acts]
    for thread in threads:
        thread.start()
    for _ in range(3):
        deliver(test1.alert(BTC_MARKET))
    for thread in threads:
        thread.join()

    assert failures == []
    assert verify_trail().problems == []
    assert AuditEntry.objects.filter(action=Action.STATE_CHANGED).count() == ACTS * len(levels)
    assert AuditEntry.objects.filter(action=Action.ROW_CHANGED).count() == ACTS * 2
    assert Strategy.objects.get().trading_state == TradingState.HALTED
    assert not Position.objects.filter(quantity__lt=0).exists()
