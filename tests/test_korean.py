"""The seed's own sentences, to the letter: Korean is what a sender reads who asks for nothing else."""

import re
from decimal import Decimal

import pytest
from django.contrib.admin.utils import display_for_field
from django.utils import timezone
from django.utils.translation import override

from exchanges.enums import TradingState
from orders.controls.circuit_breaker import trip_circuit_breakers
from orders.controls.trading_state import set_trading_state
from orders.models import Order, Trade
from strategies.models import StrategyAccount, SystemRisk
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, PERSON

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

    assert answer["error"].partition(" (")[0] == text  # the place and the fault follow in brackets


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


# What staff read


def shown_reason(row):
    """As the admin shows it."""
    return display_for_field(row.state_reason, row._meta.get_field("state_reason"), "-")


def stop_by_loss(deliver, desk):
    StrategyAccount.objects.filter(pk=desk.strategy_account("A1").pk).update(max_daily_loss=Decimal(1000))
    deliver(desk.alert(BTC_MARKET))
    desk.paper.set_prices({"BTCUSDT": "94000"})
    deliver(desk.alert(BTC_CLOSE))
    trip_circuit_breakers(now=Trade.objects.latest("executed_at").executed_at)


def test_an_automatic_stop_is_told_in_the_readers_language(deliver, test1):
    stop_by_loss(deliver, test1)

    texts = {}
    for language in ("en", "ko"):
        with override(language):
            texts[language] = shown_reason(test1.strategy_account("A1"))
    korean = deliver(test1.alert(BTC_LIMIT)).json()["results"][0]["error"]
    order = Order.objects.get(reason="reduce_only")

    assert re.fullmatch(r"Loss today [\d.]+, allowed 1000\.", texts["en"])
    assert re.fullmatch(r"오늘 손실 [\d.]+, 한도 1000\.", texts["ko"])
    assert texts["ko"] in korean
    assert "전략 계좌" in korean
    with override("en"):
        assert f"Only exits go out now (strategy account): {texts['en']}" == order.reason_text


REASONS = ["Back at nine.", "[", '["something else", {}]', '["daily_loss", {}]', "7"]


@pytest.mark.parametrize("reason", REASONS)
def test_a_persons_own_words_stay_as_they_are(test1, reason):
    set_trading_state(test1.strategy, TradingState.HALTED, reason=reason, actor=PERSON, now=timezone.now())

    test1.strategy.refresh_from_db()

    assert shown_reason(test1.strategy) == reason


@pytest.mark.parametrize("scope", ["system", "strategy", "account", "strategy account"])
def test_who_halts_trading_is_told_in_korean(deliver, test1, scope):
    levels = {
        "system": SystemRisk(pk=1),
        "strategy": test1.strategy,
        "account": test1.accounts["A1"],
        "strategy account": test1.strategy_account("A1"),
    }
    names = {"system": "시스템", "strategy": "전략", "account": "계좌", "strategy account": "전략 계좌"}
    set_trading_state(
        levels[scope], TradingState.HALTED, reason="Back at nine.", actor=PERSON, now=timezone.now()
    )

    error = deliver(test1.alert(BTC_LIMIT)).json()["results"][0]["error"]

    assert f"({names[scope]}): Back at nine." in error
