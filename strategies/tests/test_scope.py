from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from exchanges.enums import Side
from strategies.models import WebhookToken
from strategies.scope import UNLIMITED, Scope, text_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("BTC/USDT", ["BTC/USDT"]),
        (" BTC/USDT,ETH/USDT:USDT\n BTC/USDT ,, ", ["BTC/USDT", "ETH/USDT:USDT"]),
    ],
)
def test_a_list_of_words_is_read_as_people_type_it(text, words):
    assert words_of(text) == words
    assert words_of(text_of(words)) == words


def test_an_empty_scope_limits_nothing():
    assert WebhookToken().scope == UNLIMITED
    assert UNLIMITED.opens_for("")
    assert UNLIMITED.lets_enter(Side.BUY)
    assert WebhookToken().scope_text == ""


def test_a_scope_is_of_one_side_and_of_its_networks():
    token = WebhookToken(only_side="buy", only_symbols="BTC/USDT", max_notional=Decimal("1000.50"))
    token.only_addresses = "10.0.0.0/8, tradingview"

    scope = token.scope

    assert (scope.side, scope.symbols, scope.max_notional) == (Side.BUY, ("BTC/USDT",), Decimal("1000.50"))
    assert (scope.lets_enter(Side.BUY), scope.lets_enter(Side.SELL)) == (True, False)
    assert [scope.opens_for(text) for text in ("10.1.2.3", "52.89.214.238", "192.0.2.1", "")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert token.scope_text.split(" \u00b7 ")[1:] == ["BTC/USDT", "\u2264 1000.5", token.only_addresses]
    assert Scope(side=Side.SELL).lets_enter(Side.SELL)


def test_an_address_that_is_none_is_refused_when_a_person_enters_it():
    token = WebhookToken(only_addresses="10.0.0.0/8, nowhere")

    with pytest.raises(ValidationError) as refused:
        token.clean()

    assert "nowhere" in str(refused.value.message_dict["only_addresses"])
