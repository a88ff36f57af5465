"""Every row of the contract's table of errors: status, code, shape, and the row that a refusal leaves."""

import json

import pytest
from django.apps import apps
from django.db import DatabaseError, connection

from exchanges.enums import MarketType
from exchanges.vault import credentials_of
from tests.desk import BTC_LIMIT, open_desk
from webhooks import services
from webhooks.models import WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)


def without(*names):
    return lambda alert: {name: value for name, value in alert.items() if name not in names}


def having(**fields):
    return lambda alert: alert | fields


CASES = {
    "not JSON": (lambda alert: "{buy!", 400, "invalid_json"),
    "not an object": (lambda alert: [1], 400, "invalid_json"),
    "NUL": (lambda alert: b'{"group_name": "te\x00st1", "token": "th_wrong"}', 400, "invalid_json"),
    "empty": (lambda alert: b"", 400, "invalid_json"),
    "too large": (lambda alert: json.dumps(alert | {"note": "x" * 65536}), 413, "payload_too_large"),
    "no group_name": (without("group_name"), 400, "missing_field"),
    "no token": (without("token"), 400, "missing_field"),
    "no order_type": (without("order_type"), 400, "missing_field"),
    "no symbol": (without("symbol"), 400, "missing_field"),
    "no side": (without("side"), 400, "missing_field"),
    "no size": (without("qty_per"), 400, "missing_field"),
    "unknown strategy": (having(group_name="nowhere"), 404, "strategy_not_found"),
    "wrong token": (having(token="th_" + "x" * 43), 401, "invalid_token"),
    "no price": (without("price"), 400, "price_required"),
    "no stop price": (having(order_type="STOP_LIMIT"), 400, "stop_price_required"),
    "no stop price for a market stop": (having(order_type="STOP_MARKET"), 400, "stop_price_required"),
    "order type": (having(order_type="ICEBERG"), 400, "invalid_order_type"),
    "side": (having(side="up"), 400, "invalid_side"),
    "number": (having(price="cheap"), 400, "invalid_number"),
    "qty_per of zero": (having(qty_per=0), 400, "invalid_number"),
    "qty_per of NaN": (having(qty_per="NaN"), 400, "invalid_number"),
    "qty_per below -100": (having(qty_per="-100.01"), 400, "invalid_number"),
    "qty and qty_per": (having(qty=1), 400, "invalid_number"),
    "unknown symbol": (having(symbol="NO/SUCH"), 400, "invalid_symbol"),
    "delayed feed": (having(symbol="BINANCE_DLY:BTCUSDT.P"), 400, "invalid_symbol"),
    "31 legs": (having(orders=[BTC_LIMIT] * 31), 400, "batch_too_large"),
    "one bad leg": (having(orders=[BTC_LIMIT, BTC_LIMIT | {"side": "up"}]), 400, "invalid_side"),
}
COST_NO_ROW = {"payload_too_large", "throttled", "unavailable"}


def assert_refused(response, status, code):
    answer = response.json()
    assert (response.status_code, answer["code"]) == (status, code)
    assert set(answer) == {"success", "error", "code", "webhook_id"}
    assert answer["success"] is False
    assert isinstance(answer["error"], str)
    assert answer["error"]
    assert response["Content-Type"] == "application/json"


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_has_its_status_code_and_shape_and_sends_nothing(deliver, paper, test1, name):
    change, status, code = CASES[name]

    response = deliver(change(test1.alert(BTC_LIMIT)))

    assert_refused(response, status, code)
    assert paper.requests() == []
    rows = WebhookLog.objects.values_list("public_id", "status", "error_code")
    webhook_id = response.json()["webhook_id"]
    assert list(rows) == ([] if code in COST_NO_ROW else [(webhook_id, "refused", code)])


@pytest.mark.parametrize(
    ("symbol", "meant"),
    [("BTC-USDT", "BTC/USDT:USDT"), ("BTCUDST", "BTC/USDT:USDT"), ("XBTUSD", "BTC/USDT:USDT")],
)
def test_an_unknown_symbol_sends_nothing_and_names_a_symbol_that_can_be_sent(
    deliver, paper, test1, symbol, meant
):
    refused = deliver(test1.alert(BTC_LIMIT, symbol=symbol))
    posts_before = len(paper.requests())
    accepted = deliver(test1.alert(BTC_LIMIT, symbol=meant))

    assert_refused(refused, 400, "invalid_symbol")
    assert meant in refused.json()["error"]
    assert posts_before == 0
    assert {row["symbol"] for row in accepted.json()["results"]} == {meant}


def test_a_bad_leg_is_named(deliver, test1):
    legs = [BTC_LIMIT, BTC_LIMIT | {"side": "up"}]

    answer = deliver(test1.alert(orders=legs)).json()

    assert "orders[1]" in answer["error"]


def test_a_name_that_only_looks_a_bit_like_a_token_is_repeated_in_full(deliver, test1):
    answer = deliver(test1.alert(BTC_LIMIT, group_name="north_wind_strategy")).json()

    assert "north_wind_strategy" in answer["error"]


def test_an_inactive_strategy_is_unknown(deliver, test1):
    test1.strategy.is_active = False
    test1.strategy.save()

    assert_refused(deliver(test1.alert(BTC_LIMIT)), 404, "strategy_not_found")


def test_a_strategy_without_accounts_refuses(deliver, paper):
    desk = open_desk(paper)

    assert_refused(deliver(desk.alert(BTC_LIMIT)), 400, "no_accounts")


@pytest.mark.parametrize(
    ("place", "name"),
    [(services.batches, "store_batch"), (services, "_plan_batch"), (services, "admit_delivery")],
)
@pytest.mark.parametrize("error", [DatabaseError("disk full"), RuntimeError("a fault of ours")])
def test_what_cannot_be_stored_asks_to_be_sent_again_and_leaves_a_trace(
    deliver, test1, monkeypatch, caplog, place, name, error
):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(place, name, fail)

    response = deliver(test1.alert(BTC_LIMIT))

    assert_refused(response, 503, "unavailable")
    assert response.json()["webhook_id"] is None
    assert test1.posts("A1") == []
    (told,) = [record for record in caplog.records if record.name == "webhooks.services"]
    assert told.exc_info[1] is error


@pytest.mark.parametrize("path", ["/api/webhook", "/api/webhook/"])
@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "", "x"],
)
def test_both_slash_forms_and_any_content_type_are_served(deliver, test1, path, content_type):
    response = deliver(test1.alert(BTC_LIMIT), path=path, content_type=content_type, HTTP_ACCEPT="text/html")

    assert response.status_code == 200
    assert response.json()["summary"]["successful_trades"] == 2


@pytest.mark.parametrize("path", ["/api/webhook", "/api/webhook/"])
@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_other_methods_are_refused_in_the_same_shape(client, db, path, method):
    response = getattr(client, method)(path)

    assert_refused(response, 405, "method_not_allowed")
    assert response["Allow"].split(", ")[0] == "POST"


def test_a_token_in_the_url_opens_nothing(deliver, test1):
    alert = test1.alert(BTC_LIMIT)
    token = alert.pop("token")

    assert_refused(deliver(alert, path=f"/api/webhook?token={token}"), 400, "missing_field")


def test_a_token_may_come_in_the_header(deliver, test1):
    alert = test1.alert(BTC_LIMIT)
    token = alert.pop("token")

    assert deliver(alert, HTTP_AUTHORIZATION=f"Bearer {token}").status_code == 200


# Throttles


def test_a_token_that_is_used_too_often_has_to_wait(deliver, test1, settings):
    settings.WEBHOOK_TOKEN_RATE_PER_MINUTE = 2
    answers = [deliver(test1.alert(BTC_LIMIT, dry_run=True)) for _ in range(3)]

    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    assert_refused(answers[2], 429, "throttled")
    assert 1 <= int(answers[2]["Retry-After"]) <= 60


def test_a_token_has_to_wait_whatever_strategy_it_names(deliver, test1, settings):
    settings.WEBHOOK_TOKEN_RATE_PER_MINUTE = 2
    answers = [deliver(test1.alert(BTC_LIMIT, group_name=f"nowhere-{n}")) for n in range(3)]

    assert [answer.status_code for answer in answers] == [404, 404, 429]


def test_an_address_that_guesses_tokens_has_to_wait(deliver, test1, settings):
    settings.WEBHOOK_FAILED_AUTH_PER_MINUTE = 2
    for _ in range(2):
        deliver(test1.alert(BTC_LIMIT, token="th_wrong"))

    response = deliver(test1.alert(BTC_LIMIT, token="th_wrong"))

    assert_refused(response, 429, "throttled")
    assert int(response["Retry-After"]) >= 1


def test_wrong_tokens_from_an_address_that_many_share_cost_nobody_an_alert(deliver, test1, settings):
    settings.WEBHOOK_FAILED_AUTH_PER_MINUTE = 2
    for _ in range(5):
        deliver(test1.alert(BTC_LIMIT, token="th_wrong"))

    assert deliver(test1.alert(BTC_LIMIT)).status_code == 200


# Secrets


def everything_stored():
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(model._meta.db_table)}")
            yield from (str(value) for row in cursor.fetchall() for value in row)


@pytest.mark.parametrize(
    "change",
    [
        having(),
        having(side="up"),
        having(group_name="nowhere"),
        lambda alert: alert | {"side": alert["token"]},
        lambda alert: alert | {"symbol": alert["token"]},
        lambda alert: alert | {"group_name": alert["token"]},
        lambda alert: alert | {"id": alert["token"]},
        lambda alert: alert | {"orders": [{"order_type": "CANCEL", "order_id": alert["token"]}]},
        lambda alert: alert | {alert["token"]: 1},
    ],
)
def test_a_token_is_nowhere_in_the_database_answer_or_log(deliver, test1, caplog, change):
    response = deliver(change(test1.alert(BTC_LIMIT)))

    assert WebhookLog.objects.exists()
    assert not [value for value in everything_stored() if test1.token in value]
    assert test1.token not in response.content.decode()
    assert test1.token not in caplog.text


def test_the_accounts_secrets_are_nowhere_in_the_clear(deliver, test1, caplog):
    deliver(test1.alert(BTC_LIMIT))

    for name in ("A1", "A2"):
        secret = credentials_of(test1.accounts[name]).secret
        assert not [value for value in everything_stored() if secret in value or test1.key(name) in value]
        assert secret not in caplog.text


# Spot: coins that the strategy does not hold


@pytest.fixture
def spot(paper):
    desk = open_desk(paper, "A1", group_name="spot", market_type=MarketType.SPOT)
    paper.set_balances(desk.key("A1"), "spot", {"BTC": "5", "USDT": "1000000"})
    return desk


BTC_SALE = {"symbol": "BTC/USDT", "side": "sell", "order_type": "MARKET", "qty": "1"}


def test_coins_of_the_accounts_own_are_not_sold(deliver, spot):
    (row,) = deliver(spot.alert(BTC_SALE)).json()["results"]

    assert (row["status"], row["error_code"]) == ("failed", "not_enough_coins")
    assert spot.ledger_orders("A1") == []


def test_coins_of_the_strategy_are_sold_once(deliver, spot):
    deliver(spot.alert(BTC_SALE, side="buy", qty="2"))
    rests = {"order_type": "LIMIT", "price": "96000"}

    rows = [deliver(spot.alert(BTC_SALE, leg)).json()["results"][0] for leg in (rests, {"qty": "0.9"}, {})]

    assert [row["error_code"] for row in rows] == [None, None, "not_enough_coins"]
    assert "0.098" in rows[2]["error"]


def test_own_coins_are_sold_where_the_strategy_account_allows_it(deliver, spot):
    spot.strategy.strategy_accounts.update(may_sell_own_coins=True)

    (row,) = deliver(spot.alert(BTC_SALE)).json()["results"]

    assert (row["status"], row["filled"]) == ("success", "1")
