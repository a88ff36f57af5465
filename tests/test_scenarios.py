"""The four scenarios of the webhook document's section 10, as the answer, the rows and the exchange see them."""

from decimal import Decimal

import pytest

from orders.models import Cancellation, Order, Position, Trade
from tests.desk import BTC, BTC_CLOSE, BTC_LIMIT, CANCEL_ALL, ETH, ETH_MARKET, open_desk
from webhooks.models import WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)

METRICS = {
    "validation_time_ms",
    "preprocessing_time_ms",
    "trade_processing_time_ms",
    "total_processing_time_ms",
}


def scrubbed(answer):
    """The answer without what differs between runs, each of which is checked to be there and well-formed."""
    metrics = answer.pop("performance_metrics")
    assert set(metrics) == METRICS
    assert all(isinstance(value, float) and value >= 0 for value in metrics.values())
    assert answer.pop("webhook_id") == WebhookLog.objects.latest("pk").public_id
    for result in answer["results"]:
        assert result.pop("order_id").isdigit()
        assert result.pop("client_order_id").startswith("th")
    return answer


def result(name, **fields):
    plain = {
        "account_name": name,
        "status": "success",
        "leg": 0,
        "symbol": BTC,
        "side": "buy",
        "order_type": "LIMIT",
        "quantity": "11.111",
        "price": "90000",
        "stop_price": None,
        "order_status": "accepted",
        "filled": "0",
        "average": None,
        "error": None,
        "error_code": None,
    }
    return plain | fields


def test_scenario_1_a_limit_order_rests_at_both_accounts(deliver, test1):
    response = deliver(test1.alert(BTC_LIMIT))

    assert response.status_code == 200
    assert scrubbed(response.json()) == {
        "success": True,
        "outcome": "all",
        "action": "orders_processed",
        "strategy": "test1",
        "duplicate": False,
        "warnings": [],
        "results": [result("A1"), result("A2")],
        "summary": {
            "total_accounts": 2,
            "total_orders": 2,
            "successful_trades": 2,
            "failed_trades": 0,
            "pending_trades": 0,
        },
    }
    for name in ("A1", "A2"):
        row = Order.objects.get(account=test1.accounts[name])
        (order,) = test1.ledger_orders(name)
        assert (str(order["orderId"]), order["clientOrderId"]) == (row.exchange_order_id, row.client_order_id)
        assert (order["symbol"], order["side"], order["type"], order["status"]) == (
            "BTCUSDT",
            "BUY",
            "LIMIT",
            "NEW",
        )
        assert (order["price"], order["origQty"], order["market"]) == ("90000", "11.111", "futures")


def test_scenario_2_a_batch_runs_both_legs_by_priority(deliver, test1):
    legs = [BTC_LIMIT | {"priority": 1}, ETH_MARKET | {"priority": 2}]

    answer = scrubbed(deliver(test1.alert(orders=legs)).json())

    filled = {"symbol": ETH, "side": "sell", "order_type": "MARKET", "leg": 1, "quantity": "571.428"}
    filled |= {"price": None, "order_status": "filled", "filled": "571.428", "average": "3500"}
    assert answer["results"] == [
        result("A1"),
        result("A2"),
        result("A1", **filled),
        result("A2", **filled),
    ]
    assert answer["summary"] == {
        "total_accounts": 2,
        "total_orders": 4,
        "successful_trades": 4,
        "failed_trades": 0,
        "pending_trades": 0,
    }
    for name in ("A1", "A2"):
        assert [row["symbol"] for row in test1.ledger_orders(name)] == ["BTCUSDT", "ETHUSDT"]
        assert test1.held(name, "ETHUSDT") == "-571.428"
        assert Position.objects.get(strategy_account=test1.strategy_account(name)).quantity == Decimal(
            "-571.428"
        )


def test_scenario_3_a_cancel_leaves_other_strategies_orders_alone(deliver, paper, test1):
    other = open_desk(paper, "A1", group_name="other")
    deliver(other.alert(BTC_LIMIT))
    deliver(test1.alert(BTC_LIMIT))

    answer = scrubbed(deliver(test1.alert(CANCEL_ALL, symbol="BTC/USDT")).json())

    assert answer == {
        "success": True,
        "outcome": "all",
        "action": "cancel_all_orders",
        "strategy": "test1",
        "duplicate": False,
        "warnings": [],
        "results": [result("A1", order_status="canceled"), result("A2", order_status="canceled")],
        "summary": {
            "total_accounts": 2,
            "total_orders": 2,
            "successful_cancels": 2,
            "failed_cancels": 0,
            "pending_cancels": 0,
        },
    }
    survivor = Order.objects.get(strategy=other.strategy)
    statuses = {row["clientOrderId"]: row["status"] for row in test1.ledger_orders("A1")}
    mine = Order.objects.get(strategy=test1.strategy, account=test1.accounts["A1"])
    assert statuses == {survivor.client_order_id: "NEW", mine.client_order_id: "CANCELED"}
    assert survivor.status == "accepted"
    assert [row["status"] for row in test1.ledger_orders("A2")] == ["CANCELED"]
    assert not Cancellation.objects.unreleased().exists()


def test_scenario_4_a_position_is_closed_to_exactly_zero(deliver, paper, test1):
    deliver(test1.alert(BTC_CLOSE | {"side": "buy", "qty_per": 0.001}))
    paper.set_prices({"BTCUSDT": "96000"})

    answer = scrubbed(deliver(test1.alert(BTC_CLOSE)).json())

    closed = {"side": "sell", "order_type": "MARKET", "quantity": "0.002", "price": None}
    closed |= {"order_status": "filled", "filled": "0.002", "average": "96000", "remaining": "0"}
    assert answer["results"] == [result("A1", **closed), result("A2", **closed)]
    for name in ("A1", "A2"):
        assert test1.held(name) == "0"
        position = Position.objects.get(strategy_account=test1.strategy_account(name), symbol=BTC)
        assert (position.quantity, position.cost) == (0, 0)
        assert position.realized_profit == 2  # 0.002 BTC from 95,000 to 96,000
        assert position.fees == Decimal("0.191")  # 0.05 % of 190 and of 192
        trades = test1.ledger(name)["trades"]
        assert [Decimal(trade["realizedPnl"]) for trade in trades] == [0, 2]
        assert [row.price for row in Trade.objects.filter(account=test1.accounts[name]).order_by("pk")] == [
            95000,
            96000,
        ]


def test_scenario_4_closing_what_is_closed_says_so_for_each_account(deliver, test1):
    response = deliver(test1.alert(BTC_CLOSE))

    answer = response.json()
    assert response.status_code == 200
    assert answer["success"] is True
    assert [(row["account_name"], row["status"], row["error_code"]) for row in answer["results"]] == [
        ("A1", "failed", "no_long_position"),
        ("A2", "failed", "no_long_position"),
    ]
    assert answer["summary"]["failed_trades"] == 2
    assert test1.posts("A1") == test1.posts("A2") == []
