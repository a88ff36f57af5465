"""Messages of other services, from the POST to the order: what the strategy has to agree to, and what is kept."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from orders.models import Order
from strategies.models import WebhookToken
from tests.desk import open_desk
from tests.factories import issue_token
from webhooks.message.unreadable import tokens_of
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


PLAIN = {"symbol": "BTCUSDT.P", "side": "buy", "order_type": "MARKET", "qty": "0.5"}


def set_dialects(desk, *, token, strategy=""):
    WebhookToken.objects.update(dialect=token)
    desk.strategy.dialect = strategy
    desk.strategy.save()


def test_the_dialect_of_the_token_decides_before_the_dialect_of_the_strategy(post, desk):
    set_dialects(desk, token="traderspost", strategy="poabot")

    answer = post(traderspost(desk)).json()

    assert answer["success"], answer
    assert desk.held("A1") == "0.5"
    assert not any(
        "was read as" in warning for warning in answer["warnings"]
    )  # named, so nothing was guessed


def test_the_dialect_of_the_token_decides_before_the_marks_and_no_other_is_tried(post, desk):
    set_dialects(desk, token="poabot")

    refused = post(traderspost(desk))

    assert refused.status_code == 400
    assert not Order.objects.exists()


def test_the_dialect_of_the_message_decides_before_the_dialect_of_the_token(post, desk):
    set_dialects(desk, token="traderspost", strategy="poabot")

    answer = post(json.dumps(desk.alert(PLAIN, dialect="own"))).json()

    assert answer["success"], answer
    assert desk.held("A1") == "0.5"


def test_without_a_dialect_of_the_token_the_strategy_decides(post, desk):
    set_dialects(desk, token="", strategy="poabot")

    assert post(traderspost(desk)).status_code == 400


def test_each_sender_of_a_strategy_has_the_dialect_of_its_own_token(post, desk, alice):
    set_dialects(desk, token="traderspost")
    plain = issue_token(alice, dialect="own")

    foreign = post(traderspost(desk)).json()
    own = post(json.dumps(desk.alert(PLAIN, token=plain))).json()

    assert foreign["success"]
    assert own["success"]
    assert desk.held("A1") == "1"


def test_the_token_of_the_header_has_a_dialect_too(client, desk):
    set_dialects(desk, token="traderspost", strategy="poabot")
    alert = {
        "group_name": desk.strategy.group_name,
        "ticker": "BTCUSDT.P",
        "action": "buy",
        "quantity": "0.5",
    }

    answer = client.post(
        "/api/webhook", alert, content_type="application/json", HTTP_AUTHORIZATION=f"Bearer {desk.token}"
    ).json()

    assert answer["success"], answer
    assert desk.held("A1") == "0.5"


@pytest.mark.parametrize("text", ["pairs", "one line", "unread"])
def test_the_token_is_found_in_text_that_is_no_json(post, desk, text):
    set_dialects(desk, token="octobot", strategy="poabot")
    body = octobot(desk, "0.5")

    answer = post({"pairs": body, "one line": body.replace("\n", "\\n"), "unread": "{" + body}[text]).json()

    if text == "unread":
        assert answer["code"] == "invalid_json"
    else:
        assert answer["success"], answer
        assert desk.held("A1") == "0.5"


@pytest.mark.parametrize("state", ["revoked", "expired", "unknown"])
def test_a_token_that_opens_nothing_has_no_dialect(post, desk, state):
    set_dialects(desk, token="traderspost", strategy="poabot")
    past = timezone.now() - timedelta(days=1)
    if state == "unknown":
        desk.token = "th_" + "x" * 43
    else:
        WebhookToken.objects.update(**{f"{state}_at" if state == "revoked" else "expires_at": past})

    by_token = post(traderspost(desk))
    by_strategy = post(json.dumps(desk.alert(PLAIN, dialect="own")))

    assert by_token.json()["code"] != "invalid_token"  # read as POABOT's, and refused there
    assert by_strategy.json()["code"] == "invalid_token"
    assert not Order.objects.exists()


@pytest.mark.parametrize("spelling", ["escaped", "two tokens"])
def test_a_token_that_is_not_found_in_the_text_is_never_read_in_another_dialect(post, desk, spelling):
    set_dialects(desk, token="poabot")
    body = traderspost(desk)
    if spelling == "escaped":
        body = body.replace(desk.token, "\\u0074" + desk.token[1:])
    else:
        body = body.replace('"action"', f'"note": "token: th_{"y" * 43}", "action"')

    refused = post(body)

    assert (refused.status_code, refused.json()["code"]) == (400, "ambiguous_dialect")
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


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('{"token": "%s"}', 1),
        ("{'user_token' : '%s'}", 1),
        ('[{"token": "%s"}, {"TOKEN": "%s"}]', 1),
        ("SIGNAL=BUY\nTOKEN=%s", 1),
        (r"SIGNAL=BUY\nTOKEN=%s\nVOLUME=1", 1),
        ("token=%s;signal=buy", 1),
        ('{"token": "%sx"}', 0),
        ('{"email_token": "%s"}', 0),
        ('{"note": "%s"}', 0),
        ('{"token": null, "note": "%s"}', 0),
        (f'{{"token": "%s", "note": "token={"th_" + "z" * 43}"}}', 2),
    ],
)
def test_a_token_is_found_in_its_field_only(text, count):
    token = "th_" + "a-_9" * 10 + "abc"
    found = tokens_of(text.replace("%s", token))

    assert len(found) == count
    assert not found or token in found
