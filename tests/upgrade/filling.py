"""Fills a database by trading, and writes the rows down as the data of a release."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader
from django.test import Client
from django.utils import timezone

from exchanges.adapters.protocol import OrderRequest
from exchanges.enums import MarketType, OrderType, Side, TradingState
from exchanges.gateway import Call, gateway
from exchanges.models import Market
from exchanges.paper.testing import PaperControl, running_paper_exchange
from exchanges.state_reasons import StateReason
from exchanges.vault import credentials_of
from orders.controls.trading_state import change_trading_state
from orders.execution import batches
from orders.models import Order
from orders.reconciliation.audit import audit_books
from orders.reconciliation.sharing import Sharing
from orders.reconciliation.tracker import Tracker
from strategies.models import StrategyAccount, SystemRisk
from tests.desk import (
    BTC,
    BTC_CLOSE,
    BTC_LIMIT,
    BTC_MARKET,
    CANCEL_ALL,
    ETH_MARKET,
    PERSON,
    Desk,
    open_at,
    open_desk,
)
from tests.factories import (
    AccountFactory,
    StrategyAccountFactory,
    SubscriptionFactory,
    UserFactory,
    issue_api_token,
    issue_token,
)
from tests.upgrade.releases import APPS, FOLDER

ORDER = {"path": "/fapi/v1/order", "method": "POST"}


def write_release(version: str) -> None:
    """Fills the database of the settings, which is empty, and writes `VERSION.json`."""
    call_command("migrate", verbosity=0)
    with running_paper_exchange() as paper:
        settings.PAPER_EXCHANGE_URL = paper.url
        settings.WEBHOOK_ANSWER_BUDGET_MS = 30_000
        trade(paper)
    leaves = {app: name for app, name in MigrationLoader(connection).graph.leaf_nodes() if app in APPS}
    kinds = [User, *(model for app in APPS for model in apps.get_app_config(app).get_models())]
    rows = {model._meta.label: rows_of(model) for model in kinds if not model._meta.proxy}
    assert all(rows.values()), [label for label, found in rows.items() if not found]
    text = json.dumps(
        {"migrations": leaves, "rows": rows}, cls=DjangoJSONEncoder, ensure_ascii=False, indent=1
    )
    (FOLDER / f"{version}.json").write_text(text + "\n")


def rows_of(model: type[models.Model]) -> list[dict[str, object]]:
    names = [field.attname for field in model._meta.concrete_fields]
    rows = list(model._base_manager.order_by("pk").values(*names))
    return rows[:4] if model is Market else rows  # an exchange lists hundreds, each with a long record


def trade(paper: PaperControl) -> None:
    """At least one row of every kind, and orders in every stage of their lives."""
    desk = open_desk(paper, "A1", "A2", group_name="test1")
    spot = open_desk(paper, "A1", group_name="spot1", market_type=MarketType.SPOT)
    follow(desk)
    enter_and_leave(desk, spot)
    leave_doubts(paper, desk)
    batches.shut_down()
    SystemRisk.objects.get_or_create(pk=1)
    StrategyAccount.objects.filter(account__name="A2").update(max_open_orders=40, max_drawdown_percent="12.5")
    change_trading_state(
        StrategyAccount.objects.filter(account__name="A2").get(),
        TradingState.REDUCE_ONLY,
        reason=StateReason.of("daily_loss", loss="12.5", allowed="10"),
        actor=PERSON,
        clock=timezone.now,
    )
    audit_books(now=timezone.now())
    Sharing("tracker:filling:1").note_turn(now=timezone.now())


def follow(desk: Desk) -> None:
    bob = UserFactory(username="bob")
    SubscriptionFactory(user=bob, strategy__group_name="follow1", strategy__owner=desk.strategy.owner)
    account = AccountFactory(owner=bob, name="S1")
    open_at(desk.paper, account)
    StrategyAccountFactory(strategy=bob.subscriptions.get().strategy, account=account)
    issue_api_token(bob)
    send({"group_name": "follow1", "token": issue_token(bob), **BTC_LIMIT})


def enter_and_leave(desk: Desk, spot: Desk) -> None:
    send(desk.alert(BTC_LIMIT, id="first"))
    send(desk.alert(BTC_LIMIT, id="first"))  # a duplicate
    send(desk.alert(BTC_LIMIT, dry_run=True))
    send(desk.alert(BTC_LIMIT, price=None))  # refused
    send(desk.alert(orders=[BTC_MARKET, ETH_MARKET]))
    send(desk.alert(BTC_CLOSE, qty_per=-50))
    send(desk.alert(CANCEL_ALL))
    send(desk.alert(BTC_LIMIT, qty_per="0.0000001"))  # denied
    send(spot.alert(symbol="ETH/USDT", side="buy", order_type="MARKET", qty="1.23456"))
    send(
        desk.alert(symbol="BTC/USDT", side="sell", order_type="STOP_MARKET", stop_price="80000", qty_per=-100)
    )


def leave_doubts(paper: PaperControl, desk: Desk) -> None:
    """A refused order, an order of unknown outcome, orders and holdings that are not ours, a pause."""
    paper.fault(**ORDER, api_key=desk.key("A1"), action="code", value=-2019)
    send(desk.alert(ETH_MARKET))
    place_by_hand(desk)
    Tracker(clock=lambda: timezone.now() + timedelta(minutes=1)).pass_once()
    paper.fault(**ORDER, api_key=desk.key("A1"), action="drop", when="after")
    paper.fault(path="/fapi/v1/order", method="GET", action="status", value=503, times=100)
    paper.fault(**ORDER, api_key=desk.key("A2"), action="status", value=429, retry_after=3600)
    send(desk.alert(BTC_LIMIT, price="70000"))
    assert Order.objects.of_unknown_outcome().exists()


def place_by_hand(desk: Desk) -> None:
    """An order that rests and an order that fills, without a row of ours."""
    for number, (kind, price) in enumerate([(OrderType.LIMIT, Decimal(91000)), (OrderType.MARKET, None)]):
        request = OrderRequest(f"by-hand-{number}", BTC, Side.BUY, kind, Decimal("0.5"), price)
        credentials = credentials_of(desk.accounts["A1"])
        gateway.call(Call("paper", MarketType.FUTURES, "place_order", (request,), credentials))


def send(alert: dict[str, Any]) -> None:
    response = Client().post("/api/webhook", json.dumps(alert), content_type="application/json")
    assert response.status_code in (200, 400), response.content
