"""What a token opens beside its strategy: a side, symbols, a size and senders' addresses."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from exchanges.errors import Unavailable
from orders.models import Order
from strategies.models import WebhookToken
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, ETH_MARKET
from webhooks import services
from webhooks.models import WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)

ETH_LIMIT = {"symbol": "ETH/USDT", "side": "buy", "order_type": "LIMIT", "price": "3000", "qty_per": 5}
SELL = {"side": "sell", "price": "100000"}
SHORT = {"symbol": "BTC/USDT", "market_position": "short", "qty_per": 5}
HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"


def limit_token(**scope):
    WebhookToken.objects.update(**scope)


def first_result(response):
    assert response.status_code == 200, response.content
    return next(row for row in response.json()["results"] if row["account_name"] == "A1")


OUTSIDE = {
    "the other side": ({"only_side": "buy"}, BTC_LIMIT | SELL),
    "another symbol": ({"only_symbols": "ETH/USDT"}, BTC_LIMIT),
    "one leg of another symbol": (
        {"only_symbols": "BTCUSDT.P"},
        {"orders": [BTC_LIMIT, ETH_LIMIT]},
    ),
    "an exit of another symbol": ({"only_symbols": "ETH/USDT"}, BTC_CLOSE),
    "a cancel of another symbol": ({"only_symbols": "ETH/USDT"}, CANCEL_ALL | {"symbol": "BTC/USDT"}),
    "a target of another symbol": ({"only_symbols": "ETH/USDT"}, {"symbol": "BTC/USDT", "target_per": 5}),
    "another address": ({"only_addresses": ELSEWHERE}, BTC_LIMIT),
    "an exit from another address": ({"only_addresses": "10.0.0.0/8"}, BTC_CLOSE),
    "a dry run from another address": ({"only_addresses": "tradingview"}, BTC_LIMIT | {"dry_run": True}),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_outside_of_the_scope_is_refused_as_a_wrong_token_and_sends_nothing(
    deliver, paper, test1, name
):
    scope, alert = OUTSIDE[name]
    limit_token(**scope)
    wrong = deliver(test1.alert(BTC_LIMIT, token="th_" + "x" * 43)).json()

    response = deliver(test1.alert(alert))

    assert response.status_code == 401
    assert response.json() | {"webhook_id": 0} == wrong | {"webhook_id": 0}
    assert paper.requests() == []
    assert not Order.objects.exists()
    row = WebhookLog.objects.latest("pk")
    assert row.error_code == "invalid_token"
    assert row.error != wrong["error"]  # staff read why


INSIDE = {
    "the side": ({"only_side": "buy"}, BTC_LIMIT),
    "the symbol as a chart writes it": ({"only_symbols": "ETH/USDT, BTCUSDT.P"}, BTC_LIMIT),
    "the address": ({"only_addresses": f"{ELSEWHERE}, 127.0.0.0/8"}, BTC_LIMIT),
    "the size": ({"max_notional": Decimal(1_000_000)}, BTC_LIMIT),
}


@pytest.mark.parametrize("name", INSIDE)
def test_what_is_inside_of_the_scope_goes_out(deliver, test1, name):
    scope, alert = INSIDE[name]
    limit_token(**scope)

    assert first_result(deliver(test1.alert(alert)))["status"] == "success"


@pytest.mark.parametrize(
    "alert", [BTC_CLOSE, SHORT | {"market_position": "flat"}, SHORT, SHORT | {"side": "sell"}]
)
def test_a_side_and_a_size_never_keep_an_exit_in(deliver, test1, alert):
    assert first_result(deliver(test1.alert(BTC_MARKET)))["status"] == "success"
    limit_token(only_side="buy", max_notional=Decimal(1), only_symbols="BTC/USDT")

    assert deliver(test1.alert(alert)).status_code == 200

    assert Decimal(test1.held("A1")) == 0


def test_a_message_of_a_position_opens_nothing_on_the_other_side(deliver, test1):
    limit_token(only_side="buy")

    result = first_result(deliver(test1.alert(SHORT)))

    assert (result["status"], result["error_code"]) == ("failed", "token_side")
    assert test1.posts("A1") == []


@pytest.mark.parametrize("alert", [BTC_LIMIT, BTC_MARKET, {"symbol": "BTC/USDT", "target_per": 5}])
def test_an_entry_above_the_tokens_size_is_denied_with_the_numbers(deliver, test1, alert):
    """5 % of 20,000,000 USDT."""
    limit_token(max_notional=Decimal(500_000))

    result = first_result(deliver(test1.alert(alert)))

    assert (result["status"], result["error_code"]) == ("failed", "token_notional")
    assert "500000 USDT" in result["error"]
    assert test1.posts("A1") == []


def test_the_entry_of_a_reversal_keeps_the_tokens_size(deliver, test1, runs):
    deliver(test1.alert(BTC_MARKET))
    limit_token(max_notional=Decimal(500_000))

    deliver(test1.alert(SHORT))
    assert all(run.finished.wait(20) for run in runs)

    assert Decimal(test1.held("A1")) == 0
    assert Order.objects.filter(account__name="A1", reason="token_notional", part=1).exists()


def working(test1):
    return {row["symbol"] for row in test1.ledger_orders("A1") if row["status"] == "NEW"}


@pytest.mark.parametrize("cancel", [CANCEL_ALL, {"order_type": "CANCEL", "tag": "mine"}], ids=["all", "tag"])
def test_a_cancel_of_everything_is_of_everything_in_the_scope(deliver, test1, cancel):
    deliver(test1.alert(orders=[BTC_LIMIT | {"tag": "mine"}, ETH_LIMIT | {"tag": "mine"}]))
    assert working(test1) == {"BTCUSDT", "ETHUSDT"}
    limit_token(only_symbols="BTC/USDT, BTCUSDT", only_side="sell")

    assert deliver(test1.alert(cancel)).status_code == 200

    assert working(test1) == {"ETHUSDT"}


def test_a_cancel_by_id_reaches_no_other_symbol(deliver, test1):
    order = first_result(deliver(test1.alert(ETH_LIMIT)))["client_order_id"]
    limit_token(only_symbols="BTC/USDT")

    response = deliver(test1.alert(order_type="CANCEL", order_id=order))

    assert response.json()["code"] == "invalid_token"
    assert working(test1) == {"ETHUSDT"}


def test_a_stolen_token_at_another_address_is_throttled_like_a_wrong_one(deliver, test1, settings):
    settings.WEBHOOK_FAILED_AUTH_PER_MINUTE = 3
    limit_token(only_addresses=ELSEWHERE)

    codes = [deliver(test1.alert(BTC_LIMIT)).status_code for _ in range(5)]

    assert codes == [401, 401, 401, 429, 429]
    assert deliver(test1.alert(ETH_MARKET), REMOTE_ADDR=ELSEWHERE).status_code == 200


def test_an_unreadable_text_from_another_address_is_nobodys(deliver, test1):
    limit_token(only_addresses=ELSEWHERE)
    text = json.dumps(test1.alert(BTC_LIMIT))[:-1] + ",,}"

    deliver(text)
    deliver(text, REMOTE_ADDR=ELSEWHERE)

    assert [row.token_id is None for row in WebhookLog.objects.order_by("pk")] == [True, False]


def test_the_desk_sees_the_scope_and_a_new_token_ends_by_itself(client, test1):
    client.force_login(User.objects.create_superuser("desk"))
    limit_token(only_side="buy", only_symbols="BTC/USDT", max_notional=Decimal(1000))

    page = client.get(reverse("admin:strategies_webhooktoken_changelist")).content.decode()
    form = client.get(reverse("admin:strategies_webhooktoken_add")).context["adminform"].form

    assert "BTC/USDT \u00b7 \u2264 1000" in page
    ends = form.get_initial_for_field(form.fields["expires_at"], "expires_at")
    assert timedelta(days=179) < ends - timezone.now() <= timedelta(days=180)


@pytest.mark.parametrize(("days", "warned"), [(13, True), (15, False), (None, False)])
def test_the_end_of_a_token_is_told_two_weeks_before(deliver, test1, days, warned):
    ends = None if days is None else timezone.now() + timedelta(days=days)
    limit_token(expires_at=ends)

    answer = deliver(test1.alert(BTC_LIMIT), HTTP_ACCEPT_LANGUAGE="en").json()

    expected = (
        [f"The token of this message ends on {ends:%Y-%m-%d}. Give the sender another one before."]
        if warned
        else []
    )
    assert answer["warnings"] == WebhookLog.objects.get().warnings == expected


@pytest.mark.parametrize("words", ["BTC/USDT", "BTCUSDT.P", "BINANCE:BTCUSDT.P"])
@pytest.mark.parametrize("kind", ["all", "id", "tag"])
def test_a_cancel_within_the_scope_needs_no_list_of_markets(deliver, test1, monkeypatch, kind, words):
    """An exchange that is down, or a market that is gone: what is at work can still be canceled."""
    placed = first_result(deliver(test1.alert(BTC_LIMIT, tag="grid")))["client_order_id"]
    deliver(test1.alert(ETH_LIMIT))
    limit_token(only_symbols=words)
    down = Unavailable("down", code="markets_on_their_way")
    monkeypatch.setattr(services, "open_catalogs", lambda names, *args, **more: dict.fromkeys(names, down))
    cancel = {"all": CANCEL_ALL, "id": {"order_type": "CANCEL", "order_id": placed}}
    cancel["tag"] = {"order_type": "CANCEL", "tag": "grid"}

    response = deliver(test1.alert(cancel[kind]))

    assert response.status_code == 200, response.content
    working = Order.objects.filter(account__name="A1", status="accepted")
    assert [order.symbol for order in working] == ["ETH/USDT:USDT"]
