import re

import pytest

from orders.domain.ids import code_in, new_client_order_id
from strategies.codes import new_code


def test_a_client_order_id_leads_back_to_its_strategy_account():
    code = new_code()
    first, second = new_client_order_id(code), new_client_order_id(code)

    assert first != second
    assert re.fullmatch(r"th[a-z0-9]{30}", first)
    assert code_in(first) == code_in(second) == code


@pytest.mark.parametrize(
    "other", ["", "web_123", "th" + 40 * "0", "thABCDEFGH" + 22 * "0", "th" + 8 * "g" + 22 * "z"]
)
def test_an_id_of_another_form_carries_no_code(other):
    assert code_in(other) == ""
