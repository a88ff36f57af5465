"""What a person at the desk does by the actions of the backoffice, posted by their names."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from exchanges.adapters.protocol import OrderRequest
from exchanges.enums import MarketType, OrderType, Side, TradingState
from exchanges.gateway import Call, gateway
from exchanges.vault import credentials_of
from orders.models import Order, Position, PositionDifference
from orders.reconciliation.comparison import compare_accounts
from staff import pages
from strategies.models import StrategyAccount, SystemRisk
from tests.desk import BTC, BTC_LIMIT, BTC_MARKET
from tests.forms import change_page, submitted

pytestmark = pytest.mark.django_db(transaction=True)

STATES = {
    "activate": TradingState.ACTIVE,
    "exits_only": TradingState.REDUCE_ONLY,
    "halt": TradingState.HALTED,
    "halt_and_cancel": TradingState.HALTED,
    "halt_cancel_and_close": TradingState.HALTED,
}
LEVELS = {
    "system": lambda desk: SystemRisk.objects.get_or_create(pk=1)[0],
    "strategy": lambda desk: desk.strategy,
    "account": lambda desk: desk.accounts["A1"],
    "strategy account": lambda desk: desk.strategy_account("A1"),
}


def act(client, name, row):
    page = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")
    response = client.post(page, {"action": name, "_selected_action": [row.pk]})
    assert response.status_code == 302
    row.refresh_from_db()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", STATES)
def test_an_action_sets_the_state_of_each_level(admin_client, test1, name, level):
    row = LEVELS[level](test1)
    other = TradingState.HALTED if name == "activate" else TradingState.ACTIVE
    type(row).objects.update(trading_state=other)

    act(admin_client, name, row)

    assert row.trading_state == STATES[name]
    assert "admin" in str(row.state_reason)
    assert row.state_changed_at is not None


def holdings(desk):
    orders = {
        (order.account.name, order.order_type, order.status)
        for order in Order.objects.select_related("account")
    }
    return orders, {row.strategy_account.account.name: row.quantity for row in Position.objects.held()}


BEFORE = {(name, *rest) for name in ("A1", "A2") for rest in (("MARKET", "filled"), ("LIMIT", "accepted"))}


def trade(deliver, desk):
    deliver(desk.alert(BTC_MARKET))
    deliver(desk.alert(BTC_LIMIT))


def test_a_halt_leaves_orders_and_positions(admin_client, deliver, test1):
    trade(deliver, test1)

    act(admin_client, "halt", test1.strategy_account("A1"))

    orders, held = holdings(test1)
    assert (orders, set(held)) == (BEFORE, {"A1", "A2"})


def test_a_halt_with_cancels_cancels_what_is_open_under_the_level(admin_client, deliver, test1):
    trade(deliver, test1)

    act(admin_client, "halt_and_cancel", test1.strategy_account("A1"))

    orders, held = holdings(test1)
    assert orders == BEFORE - {("A1", "LIMIT", "accepted")} | {("A1", "LIMIT", "canceled")}
    assert set(held) == {"A1", "A2"}
    assert [row["status"] for row in test1.ledger_orders("A1")] == ["FILLED", "CANCELED"]


def test_a_halt_that_closes_sells_what_is_held_under_the_level(admin_client, deliver, test1):
    trade(deliver, test1)

    act(admin_client, "halt_cancel_and_close", test1.strategy_account("A1"))

    orders, held = holdings(test1)
    assert ("A1", "LIMIT", "canceled") in orders
    assert (set(held), test1.held("A1"), test1.held("A2")) == ({"A2"}, "0", "10.526")


def look(minutes):
    """As the tracker does it, when trades of now are not fresh any more."""
    compare_accounts(clock=lambda: timezone.now() + timedelta(minutes=minutes))


def test_a_difference_is_declared_external_and_expected_from_then_on(admin_client, deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    request = OrderRequest("by-hand", BTC, Side.BUY, OrderType.MARKET, Decimal("0.5"))
    gateway.call(
        Call("paper", MarketType.FUTURES, "place_order", (request,), credentials_of(test1.accounts["A1"]))
    )
    for minutes in (1, 2, 3):
        look(minutes)
    row = PositionDifference.objects.get()
    frozen = deliver(test1.alert(BTC_LIMIT)).json()["results"][0]["error_code"]

    act(admin_client, "declare_external", row)

    assert (frozen, row.external, row.freezes) == ("position_differs", Decimal("0.5"), False)
    look(4)
    assert not PositionDifference.objects.unresolved().exists()
    assert deliver(test1.alert(BTC_LIMIT, price="90001")).json()["results"][0]["status"] == "success"


@pytest.mark.parametrize("level", ["strategy", "strategy account", "account"])
def test_a_page_that_was_loaded_before_a_halt_does_not_undo_the_halt(admin_client, test1, monkeypatch, level):
    row = LEVELS[level](test1)
    name = "capital" if level == "strategy account" else "name"
    sent = submitted(admin_client, row) | {name: "7"}
    lock = pages.locked_row

    def after_a_halt(loaded):
        type(loaded).objects.filter(pk=loaded.pk).update(trading_state=TradingState.HALTED)
        return lock(loaded)

    monkeypatch.setattr(pages, "locked_row", after_a_halt)

    response = admin_client.post(change_page(row), sent)

    row.refresh_from_db()
    assert (response.status_code, row.trading_state, str(getattr(row, name))) == (
        302,
        TradingState.HALTED,
        "7",
    )


def test_an_inline_row_that_was_loaded_before_a_halt_does_not_undo_the_halt(admin_client, test1, monkeypatch):
    row, lock = test1.strategy_account("A1"), pages.locked_row
    sent = submitted(admin_client, test1.strategy)
    (capital,) = [name for name in sent if name.endswith("0-capital")]

    def after_a_halt(loaded):
        StrategyAccount.objects.update(trading_state=TradingState.HALTED)
        return lock(loaded)

    monkeypatch.setattr(pages, "locked_row", after_a_halt)

    admin_client.post(change_page(test1.strategy), sent | {capital: "7"})

    row.refresh_from_db()
    assert (row.trading_state, row.capital) == (TradingState.HALTED, 7)
