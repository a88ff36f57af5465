"""Stopping trade: at every level, effective before the next send, with what may come along."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from exchanges.enums import TradingState
from orders.controls.trading_state import change_trading_state, set_trading_state
from orders.models import Order, Position
from strategies.models import SystemRisk
from tests.desk import BTC_CLOSE, BTC_LIMIT, BTC_MARKET, PERSON

pytestmark = pytest.mark.django_db(transaction=True)

LEVELS = {
    "system": lambda desk: SystemRisk.current(),
    "strategy": lambda desk: desk.strategy,
    "account": lambda desk: desk.accounts["A1"],
    "strategy account": lambda desk: desk.strategy_account("A1"),
}


def halt(level, state):
    set_trading_state(level, state, reason="drill", actor=PERSON, now=timezone.now())


def codes(response):
    return {result["account_name"]: result["error_code"] for result in response.json()["results"]}


@pytest.mark.parametrize("level", LEVELS)
def test_a_halt_denies_entries_and_exits(deliver, test1, level):
    deliver(test1.alert(BTC_MARKET))
    halt(LEVELS[level](test1), TradingState.HALTED)

    entry, leave = deliver(test1.alert(BTC_LIMIT)), deliver(test1.alert(BTC_CLOSE))

    assert codes(entry)["A1"] == codes(leave)["A1"] == "halted"
    assert len(test1.posts("A1")) == 1


@pytest.mark.parametrize("level", LEVELS)
def test_exits_only_lets_exits_through(deliver, test1, level):
    deliver(test1.alert(BTC_MARKET))
    halt(LEVELS[level](test1), TradingState.REDUCE_ONLY)

    entry, leave = deliver(test1.alert(BTC_LIMIT)), deliver(test1.alert(BTC_CLOSE))

    assert codes(entry)["A1"] == "reduce_only"
    assert codes(leave)["A1"] is None
    assert test1.held("A1") == "0"


def test_an_account_that_is_halted_leaves_the_others_trading(deliver, test1):
    halt(test1.accounts["A1"], TradingState.HALTED)

    response = deliver(test1.alert(BTC_LIMIT))

    assert codes(response) == {"A1": "halted", "A2": None}


def test_the_denial_says_who_halted_and_why(deliver, test1):
    halt(test1.strategy, TradingState.HALTED)

    deliver(test1.alert(BTC_LIMIT))

    assert Order.objects.first().reason_params == {"scope": "strategy", "reason": "drill"}


def test_trading_goes_on_once_activated(deliver, test1):
    halt(SystemRisk.current(), TradingState.HALTED)
    halt(SystemRisk.current(), TradingState.ACTIVE)

    response = deliver(test1.alert(BTC_LIMIT))

    assert codes(response) == {"A1": None, "A2": None}


def test_a_stop_may_cancel_what_is_open_and_close_what_is_held(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    deliver(test1.alert(BTC_LIMIT))

    change_trading_state(
        test1.strategy,
        TradingState.HALTED,
        reason="drill",
        actor=PERSON,
        clock=timezone.now,
        cancel_all=True,
        close_all=True,
    )

    test1.strategy.refresh_from_db()
    assert test1.strategy.trading_state == TradingState.HALTED
    assert not Order.objects.open().exists()
    assert not Position.objects.held().exists()
    assert (test1.held("A1"), test1.held("A2")) == ("0", "0")


def test_a_stop_of_one_account_touches_no_other(deliver, test1):
    deliver(test1.alert(BTC_LIMIT))

    change_trading_state(
        test1.accounts["A1"],
        TradingState.HALTED,
        reason="drill",
        actor=PERSON,
        clock=timezone.now,
        cancel_all=True,
    )

    assert [row["status"] for row in test1.ledger_orders("A1")] == ["CANCELED"]
    assert [row["status"] for row in test1.ledger_orders("A2")] == ["NEW"]


@pytest.mark.parametrize(
    ("language", "text"), [("en", "Set by desk."), ("ko", "desk 사용자가 설정했습니다.")]
)
def test_whoever_reads_why_it_stopped_reads_it_in_their_language(admin_client, test1, language, text):
    admin = User.objects.get(is_superuser=True)
    User.objects.filter(pk=admin.pk).update(username="desk")
    fields = {"action": "halt", "_selected_action": [test1.accounts["A1"].pk]}

    admin_client.post(reverse("admin:exchanges_account_changelist"), fields)

    test1.accounts["A1"].refresh_from_db()
    with override(language):
        assert str(test1.accounts["A1"].state_reason) == text
