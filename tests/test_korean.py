"""The seed's own sentences, to the letter: Korean is what a sender reads who asks for nothing else."""

import pytest

from tests.desk import BTC_CLOSE, BTC_LIMIT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("side", "text"),
    [("sell", "보유한 롱 포지션이 없습니다."), ("buy", "보유한 숏 포지션이 없습니다.")],
)
def test_closing_what_is_closed_is_told_in_the_documents_words(deliver, test1, side, text):
    answer = deliver(test1.alert(BTC_CLOSE, side=side)).json()

    assert {row["error"] for row in answer["results"]} == {text}


def without(alert, *names):
    return {name: value for name, value in alert.items() if name not in names}


REFUSALS = [
    (lambda alert: "{", "잘못된 JSON 형식입니다"),
    (lambda alert: "x" * 70_000, "요청 본문이 너무 큽니다"),
    (lambda alert: without(alert, "side"), "필수 필드 누락: side"),
    (lambda alert: without(alert, "group_name"), "필수 필드 누락: group_name"),
    (lambda alert: alert | {"group_name": "nowhere"}, "활성 전략을 찾을 수 없습니다: nowhere"),
    (lambda alert: alert | {"token": "th_wrong"}, "웹훅 토큰이 유효하지 않습니다"),
    (lambda alert: without(alert, "price"), "LIMIT 주문에는 price가 필수입니다"),
    (
        lambda alert: without(alert, "price") | {"order_type": "STOP_LIMIT", "stop_price": 1},
        "STOP_LIMIT 주문에는 price가 필수입니다",
    ),
    (lambda alert: alert | {"order_type": "STOP_LIMIT"}, "STOP_LIMIT 주문에는 stop_price가 필수입니다"),
    (lambda alert: alert | {"orders": [BTC_LIMIT] * 31}, "한 번에 최대 30개 주문까지 처리할 수 있습니다"),
]


@pytest.mark.parametrize(("change", "text"), REFUSALS)
def test_a_refusal_is_told_in_the_documents_words(deliver, test1, change, text):
    answer = deliver(change(test1.alert(BTC_LIMIT))).json()

    assert answer["error"] == text


def test_a_strategy_without_accounts_and_an_id_used_twice_are_told_in_the_documents_words(deliver, test1):
    deliver(test1.alert(BTC_LIMIT, id="a"))
    conflict = deliver(test1.alert(BTC_LIMIT, id="a", price="90001")).json()
    test1.strategy.strategy_accounts.update(is_active=False)

    lonely = deliver(test1.alert(BTC_LIMIT)).json()

    assert conflict["error"] == "같은 id로 다른 내용이 이미 접수되었습니다"
    assert lonely["error"] == "전략에 연결된 계좌가 없습니다: test1"


def test_english_is_spoken_to_those_who_ask_for_it(deliver, test1):
    answer = deliver(test1.alert(BTC_CLOSE), HTTP_ACCEPT_LANGUAGE="en").json()

    assert {row["error"] for row in answer["results"]} == {"There is no long position to close."}
