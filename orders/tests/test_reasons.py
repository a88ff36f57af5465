import re

import pytest
from django.utils.translation import override

from orders.domain.reasons import TEXTS, Denied, reason_text

CODES = """
below_min_quantity below_min_notional above_max_quantity below_lot no_long_position no_short_position
no_position unknown_symbol ambiguous_symbol price_unavailable markets_unavailable stale_signal expired
order_type_unsupported capital_currency_mismatch no_capital max_symbols earlier_order_unknown
credentials_unreadable not_taking_part not_whole_shares invalid_after_rounding not_found_at_exchange
order_not_found order_not_open insufficient_balance insufficient_margin reduce_only_rejected
filter_failure clock_skew authentication_failed throttled rejected outcome_unknown not_sent
canceled_before_sending market_closed hedge_mode
"""


@pytest.mark.parametrize("code", CODES.split())
def test_every_reason_has_a_sentence(code):
    with override("en"):
        template = str(TEXTS[code])
        params = {name: f"<{name}>" for name in re.findall(r"%\((\w+)\)s", template)}

        text = reason_text(code, params)

    assert all(value in text for value in params.values())
    assert "%(" not in text


def test_an_unknown_code_is_its_own_text():
    assert reason_text("something_new", {}) == "something_new"


@override("en")
def test_a_refusal_without_our_numbers_has_the_words_of_the_exchange():
    assert reason_text("below_min_notional", {"message": "No smaller than 5."}) == (
        "The exchange refused the order: No smaller than 5."
    )
    assert reason_text("below_lot", {}) == "The exchange refused the order: below_lot"


@override("en")
def test_a_denial_knows_its_sentence():
    denied = Denied("no_long_position")

    assert (denied.code, denied.params) == ("no_long_position", {})
    assert denied.text == "There is no long position to close."
