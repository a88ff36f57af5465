"""Messages of other services, from the POST to the order: what the strategy has to agree to, and what is kept."""

import json

import pytest

from orders.models import Order
from tests.desk import open_desk
from webhooks.models import WebhookLog

pytestmark = pytest.mark.django_db(transaction=True)

OCTOBOT = "EXCHANGE=BINANCE\nSYMBOL=BTCUSDT\nSIGNAL=BUY\nVOLUME={volume}\nTOKEN={token}\nGROUP_NAME={group}"


@pytest.fixture
def desk(paper, alice):
    return open_desk(paper, "A1", owner=alice)


@pytest.fixture
def post(client, desk):
    def post(text):
        return client.post("/api/webhook", text, content_type="text/plain", HTTP_ACCEPT_LANGUAGE="en")

    return post


def octobot(desk, volume, **lines):
    more = "".join(f"\n{name}={value}" for name, value in lines.items())
    return OCTOBOT.format(volume=volume, token=desk.token, group=desk.strategy.group_name) + more


def traderspost(desk, **fields):
    return json.dumps(desk.alert({"ticker": "BTCUSDT.P", "action": "buy", "quantity": "0.5"} | fields))


def test_a_message_of_another_service_trades_and_is_named(post, desk):
    answer = post(traderspost(desk)).json()

    assert answer["success"]
    assert desk.held("A1") == "0.5"
    assert any("traderspost" in warning for warning in answer["warnings"])
    assert WebhookLog.objects.get().dialect == "traderspost"


def test_text_of_key_value_pairs_trades(post, desk):
    answer = post(octobot(desk, "0.5")).json()
    assert answer["success"], answer
    assert desk.held("A1") == "0.5"


def test_a_percent_of_a_balance_needs_the_word_of_the_owner(post, desk):
    percent = traderspost(desk, quantityType="percent_of_equity", quantity=10)

    refused = post(percent)
    desk.strategy.percent_of_capital = True
    desk.strategy.save()
    taken = post(percent)

    assert (refused.status_code, refused.json()["code"]) == (400, "unsupported_field")
    assert taken.json()["success"]
    assert Order.objects.get(goal__isnull=True).terms["levered"] is False


def test_an_exit_by_percent_needs_no_word(post, desk):
    post(traderspost(desk))

    assert post(traderspost(desk, action="exit", quantityType="percent_of_position", quantity=50)).json()[
        "success"
    ]
    assert desk.held("A1") == "0.25"


@pytest.mark.parametrize(("trading_type", "status"), [("spot", 400), ("future", 200)])
def test_the_market_type_of_the_message_is_the_strategy_s(post, desk, trading_type, status):
    assert post(octobot(desk, "0.5", TRADING_TYPE=trading_type)).status_code == status


@pytest.mark.parametrize(("leverage", "status"), [("1", 200), ("5", 400)])
def test_the_leverage_of_the_message_is_the_accounts(post, desk, leverage, status):
    answer = post(octobot(desk, "0.5", LEVERAGE=leverage))

    assert answer.status_code == status


def test_the_dialect_of_the_strategy_decides(post, desk):
    desk.strategy.dialect = "poabot"
    desk.strategy.save()

    refused = post(traderspost(desk))

    assert refused.status_code == 400
    assert not Order.objects.exists()


def test_a_text_that_cannot_be_read_says_where_and_belongs_to_its_strategy(post, desk):
    text = json.dumps(desk.alert(symbol="BTCUSDT"), indent=1).replace('"BTCUSDT"', '"cross "up" now"')

    answer = post(text)
    row = WebhookLog.objects.get()

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert "line 4" in answer.json()["error"]
    assert (row.strategy, row.status) == (desk.strategy, "refused")
    assert "cross" in row.unread
    assert desk.token not in row.unread


def test_a_stranger_s_text_is_not_kept(post, desk):
    post(f'{{"group_name": "{desk.strategy.group_name}", "token": "th_{"x" * 43}", "symbol": }}')

    row = WebhookLog.objects.get()

    assert (row.strategy, row.unread) == (None, "")
